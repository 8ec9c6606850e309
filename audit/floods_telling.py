# SPDX-License-Identifier: Apache-2.0
"""What the ledger hears of refusals that come in masses: one event for each source and minute, by each worker."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Final, Protocol

from audit.events import Event
from audit.floods import MINUTE, Count, Floods
from audit.quota import Quota

RECORDED_A_MINUTE: Final = 60


@dataclass(frozen=True, kw_only=True)
class RefusalsCounted(Event):
    """Nobody in particular was refused: `about` is a source (keyed, see `gateway.sources`) or all others together."""

    kind: ClassVar[str] = "refusals.counted"
    count: int
    reasons: Mapping[str, int]
    since: datetime
    until: datetime
    worker: str


@dataclass(frozen=True, kw_only=True)
class RefusalsSuppressed(Event):
    """An actor was refused more often than the ledger takes one by one; these many refusals stand nowhere else."""

    kind: ClassVar[str] = "refusals.suppressed"
    count: int
    reasons: Mapping[str, int]
    since: datetime
    until: datetime
    worker: str


class Telling(Protocol):
    """What takes events of the service itself (`audit.transaction.Ledger.tell`)."""

    def __call__(self, events: Sequence[Event], /) -> None:
        """Record *events* in one transaction; raises when they are not recorded."""
        ...


@dataclass
class Refusals:
    """Which refusals of this worker are told one by one, and the counts of the others.

    *per_minute* is how many of one actor are told in a minute; *worker* names the process that counted.
    """

    per_minute: int = RECORDED_A_MINUTE
    worker: str = field(default_factory=lambda: f"w-{secrets.token_hex(4)}")
    strangers: Floods = field(default_factory=Floods)
    suppressed: Floods = field(default_factory=Floods)

    def __post_init__(self) -> None:
        """Begin with full buckets."""
        self._quota = Quota(self.per_minute)
        self._lock = threading.Lock()

    def is_told(self, actor: str, reason: str, now: datetime) -> bool:
        """Whether this refusal of *actor* is told by itself; it is counted when not."""
        with self._lock:
            had = self._quota.take(actor, now)
        if had:
            return True
        self.suppressed.count(actor, reason, now)
        return False

    def flush(self, tell: Telling, now: datetime | None) -> int:
        """Tell the counts of every minute that is over at *now*, of all for None; return how many events that were.

        What could not be told is kept for the next time, and the error goes on.
        """
        told = 0
        for floods, kind in ((self.strangers, RefusalsCounted), (self.suppressed, RefusalsSuppressed)):
            counts = floods.take(now)
            if not counts:
                continue
            try:
                tell([self._event(kind, one) for one in counts])
            except BaseException:
                floods.give_back(counts)
                raise
            told += len(counts)
        return told

    def _event(self, kind: type[RefusalsCounted | RefusalsSuppressed], one: Count) -> Event:
        about = f"source:{one.source}" if kind is RefusalsCounted else f"actor:{one.source}"
        return kind(
            about=about, count=one.total, reasons=one.reasons, since=one.minute, until=one.minute + MINUTE,
            worker=self.worker,
        )  # fmt: skip
