# SPDX-License-Identifier: Apache-2.0
"""Refusals that are counted instead of told one by one: by source and minute, in bounded memory, nothing lost.

A stranger must not be able to fill the ledger, nor a signed-in program that asks in a loop.  Their refusals are counted
and each minute's counts become one event for each source.  Memory and entries are bounded: what does not fit is added
up under `OTHERS`, so that the sum of the counts is always the number of refusals.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

OTHERS: Final = "others"
MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Count:
    """How often one source was refused in one minute, and for which reasons (slugs of errors)."""

    source: str
    minute: datetime
    reasons: Mapping[str, int]

    @property
    def total(self) -> int:
        """Return the number of refusals."""
        return sum(self.reasons.values())


@dataclass
class Tally:
    """The counts of one minute: the *room* sources that were seen last, and all others together."""

    minute: datetime
    room: int
    sources: OrderedDict[str, Counter[str]] = field(default_factory=OrderedDict)
    others: Counter[str] = field(default_factory=Counter)

    def add(self, source: str, reason: str, times: int = 1) -> None:
        """Count a refusal; the source that was quiet longest makes room, and what it had goes to the others."""
        if source == OTHERS:
            self.others[reason] += times
            return
        counted = self.sources.get(source)
        if counted is None:
            counted = self.sources[source] = Counter()
            if len(self.sources) > self.room:
                self.others.update(self.sources.popitem(last=False)[1])
        else:
            self.sources.move_to_end(source)
        counted[reason] += times

    def largest(self, entries: int) -> list[Count]:
        """Return the *entries* largest counts, the largest first, and the sum of all others after them."""
        ordered = sorted(self.sources.items(), key=lambda one: (-one[1].total(), one[0]))
        rest = Counter(self.others)
        for _, counted in ordered[entries:]:
            rest.update(counted)
        told = [Count(source, self.minute, dict(counted)) for source, counted in ordered[:entries]]
        return [*told, Count(OTHERS, self.minute, dict(rest))] if rest else told


class Floods:
    """The refusals that wait to be told, minute by minute.  Safe to share between threads."""

    def __init__(self, *, room: int = 4096, entries: int = 100, minutes: int = 10) -> None:
        """Remember *room* sources a minute, tell *entries* of them, keep *minutes* while the ledger does not take."""
        self._room, self._entries, self._minutes = room, entries, minutes
        self._tallies: OrderedDict[datetime, Tally] = OrderedDict()
        self._lock = threading.Lock()

    def count(self, source: str, reason: str, now: datetime) -> None:
        """Count one refusal of *source* at *now* (keyed or opaque: it will stand in the ledger)."""
        minute = now.replace(second=0, microsecond=0)
        with self._lock:
            self._add(minute, source, reason, 1)

    def take(self, now: datetime | None) -> list[Count]:
        """Take out the counts of every minute that is over at *now*; of all minutes for None."""
        with self._lock:
            over = [minute for minute in self._tallies if now is None or minute + MINUTE <= now]
            tallies = [self._tallies.pop(minute) for minute in over]
        return [count for tally in tallies for count in tally.largest(self._entries)]

    def give_back(self, counts: list[Count]) -> None:
        """Take back what could not be told, to be told later."""
        with self._lock:
            for one in counts:
                for reason, times in one.reasons.items():
                    self._add(one.minute, one.source, reason, times)

    def __len__(self) -> int:
        """Return how many sources are remembered, over all minutes."""
        return sum(len(tally.sources) for tally in self._tallies.values())

    def _add(self, minute: datetime, source: str, reason: str, times: int) -> None:
        tally = self._tallies.get(minute)
        if tally is None:
            tally = self._tallies[minute] = Tally(minute, self._room)
        tally.add(source, reason, times)
        if len(self._tallies) > self._minutes:
            self._shrink()

    def _shrink(self) -> None:
        """Add the oldest minute to the next one: the sum stays, its minute is blurred."""
        oldest, following = sorted(self._tallies)[:2]
        for count in self._tallies.pop(oldest).largest(self._room):
            for reason, times in count.reasons.items():
                self._tallies[following].add(count.source, reason, times)
