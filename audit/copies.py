# SPDX-License-Identifier: Apache-2.0
"""Who copies the ledger: recorded once an hour for each actor, before the first byte leaves.

Not once a tile: whoever follows the ledger would make it grow by reading it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar, Final

from audit.events import Event
from khatim.vocabulary import Actor, Resource

EVERY: Final = timedelta(hours=1)
LEDGER: Final = Resource("ledger", "ledger")


@dataclass(frozen=True, kw_only=True)
class LedgerCopied(Event):
    """An actor began to copy the ledger's tiles or payloads (a sensitive read)."""

    kind: ClassVar[str] = "ledger.copied"


@dataclass
class Copies:
    """Who was recorded when, by this process."""

    _noted: dict[str, datetime] = field(default_factory=dict)

    def is_due(self, actor: Actor, now: datetime) -> bool:
        """Whether the copying of *actor* was not recorded lately."""
        last = self._noted.get(actor.ref)
        return last is None or abs(now - last) >= EVERY

    def noted(self, actor: Actor, now: datetime) -> None:
        """Remember that it was recorded, and committed, at *now*."""
        self._noted[actor.ref] = now
