# SPDX-License-Identifier: Apache-2.0
"""Events of a ledger's recovery.  They wait in the outbox and follow the entry that opens a new epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from audit.events import Event


@dataclass(frozen=True, kw_only=True)
class RecoveryRequested(Event):
    """Somebody asked for a plan to be carried out; *plan* is its digest, [lost_from, lost_to) what is missing."""

    kind: ClassVar[str] = "ledger.recovery_requested"

    recovery: str
    plan: str
    way: str
    lost_from: int
    lost_to: int
    because: str


@dataclass(frozen=True, kw_only=True)
class RecoveryConfirmed(Event):
    """Somebody else confirmed it; it is carried out at once."""

    kind: ClassVar[str] = "ledger.recovery_confirmed"

    recovery: str
    plan: str
    requested_by: str
