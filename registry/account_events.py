# SPDX-License-Identifier: Apache-2.0
"""The events of accounts that belong to one natural person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from audit.events import Event


@dataclass(frozen=True, kw_only=True)
class AccountLinkRequested(Event):
    """Somebody says that two accounts are one natural person's."""

    kind: ClassVar[str] = "account.link_requested"
    account: str
    person: str
    because: str


@dataclass(frozen=True, kw_only=True)
class AccountLinked(Event):
    """From now on separation of duties takes two accounts for one person."""

    kind: ClassVar[str] = "account.linked"
    account: str
    person: str
    because: str


@dataclass(frozen=True, kw_only=True)
class AccountReleaseAsked(Event):
    """Somebody says that two linked accounts are two people's after all."""

    kind: ClassVar[str] = "account.release_asked"
    account: str
    person: str
    because: str


@dataclass(frozen=True, kw_only=True)
class AccountReleased(Event):
    """Two accounts count as two people again, or the request to link them was turned down."""

    kind: ClassVar[str] = "account.released"
    account: str
    person: str
    because: str
