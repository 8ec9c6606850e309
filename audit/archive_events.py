# SPDX-License-Identifier: Apache-2.0
"""The events of archives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from audit.events import Event


@dataclass(frozen=True, kw_only=True)
class LedgerArchived(Event):
    """The entries [first, end) also lie in a file; the checkpoint of *size* and *root* covers them."""

    kind: ClassVar[str] = "ledger.archived"

    first: int
    end: int
    digest: str
    place: str
    size: int
    root: str
    rule: str


@dataclass(frozen=True, kw_only=True)
class ArchivedRemoved(Event):
    """The rows of an archive may leave the database from now on: retention allowed it by *rule*, no hold stands."""

    kind: ClassVar[str] = "ledger.archived_removed"

    first: int
    end: int
    digest: str
    rule: str
