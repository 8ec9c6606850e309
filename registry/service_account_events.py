# SPDX-License-Identifier: Apache-2.0
"""Facts about service accounts and their tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from audit.events import Event


@dataclass(frozen=True, kw_only=True)
class ServiceAccountOpened(Event):
    """A program got a name of its own, for which a person answers."""

    kind: ClassVar[str] = "service_account.opened"
    sponsor: str
    purpose: str
    issuer: str = ""
    audience: str = ""
    claims: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class ServiceAccountClosed(Event):
    """A service account opens nothing any more."""

    kind: ClassVar[str] = "service_account.closed"
    because: str


@dataclass(frozen=True, kw_only=True)
class ServiceTokenIssued(Event):
    """A token of a service account was issued; the ledger has nothing of its secret."""

    kind: ClassVar[str] = "service_token.issued"
    account: str
    roles: list[str]
    namespaces: list[str]
    expires_at: str


@dataclass(frozen=True, kw_only=True)
class ServiceTokenRevoked(Event):
    """A token of a service account opens nothing any more."""

    kind: ClassVar[str] = "service_token.revoked"
    account: str
    because: str
