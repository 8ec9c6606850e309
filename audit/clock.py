# SPDX-License-Identifier: Apache-2.0
"""Whether this machine's clock can be signed with: against what was signed before, other clocks, and its own course.

A signed time is a promise, so whoever signs asks `ClockGuard.check` first.  It refuses when the clock runs behind the
last thing signed, when it is off from another clock, and when somebody set it while the process ran, unless a clock
elsewhere agrees with the new time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from khatim.errors import ClockUnreliable, Unavailable

NONE = "none"
FRESH_S = 30.0
TOLERANCE_S = 2.0
_ADVICE = "Set the clock of this machine (chronyc makestep, timedatectl), then try again."
_SET_ADVICE = (
    "Compare the clock of this machine with a good one. When it is right, start the process again, or name a time "
    "server (KHATIM_CLOCK__NTP) that can confirm it."
)


@dataclass(frozen=True, slots=True)
class ClockReading:
    """What our clock was compared with: the source, and our time minus its time in seconds (above 0: we are ahead).

    *source* is ``none`` when nobody could be asked; *silent* says in sentences who did not answer.
    """

    source: str = NONE
    offset_s: float = 0.0
    silent: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return it in words, as it stands beside a checkpoint."""
        return NONE if self.source == NONE else f"{self.source} {self.offset_s:+.3f}s"


class ClockSource(Protocol):
    """Another clock."""

    @property
    def name(self) -> str:
        """What it is called in a reading: ``database``, ``ntp:time.example``."""
        ...

    @property
    def is_elsewhere(self) -> bool:
        """Whether it is on another machine, so that setting our clock does not set it too."""
        ...

    def offset_s(self) -> float:
        """Return our time minus its time, corrected by half the way there and back; raises `Unavailable`."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """A clock that a function asks: a database by ``SELECT clock_timestamp()``."""

    name: str
    ask: Callable[[], datetime]
    clock: Callable[[], datetime]
    is_elsewhere: bool = False

    def offset_s(self) -> float:
        """Return our time minus its time; raises `Unavailable`, also for an answer on the way when our clock was set.

        Its time is compared with the middle of asking and answer.
        """
        before = self.clock()
        theirs = self.ask()
        after = self.clock()
        if after < before:
            raise Unavailable(f"our clock was set back while {self.name} answered")
        return (before + (after - before) / 2 - theirs).total_seconds()


@dataclass(frozen=True, slots=True)
class Course:
    """One moment on three clocks (seconds): the wall's, one that stands still in suspend, one that does not."""

    wall: float
    running: float
    booted: float

    def was_set(self, now: Course) -> float:
        """Return by how much the wall clock was set since then, forward above 0."""
        return (now.wall - self.wall) - (now.booted - self.booted)

    def slept(self, now: Course) -> float:
        """Return for how long the machine was suspended since then."""
        return (now.booted - self.booted) - (now.running - self.running)


def _booted() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class ClockGuard:
    """Judges one clock for a process that signs; safe for several threads.

    Sources are asked when the last answer is older than *fresh_s*, or the machine was suspended or the clock set since;
    the other checks cost microseconds.
    """

    def __init__(  # noqa: PLR0913 - a clock, whom to compare it with, and the two clocks that nobody can set
        self,
        clock: Callable[[], datetime],
        sources: Sequence[ClockSource] = (),
        tolerance_s: float = TOLERANCE_S,
        *,
        must_answer: bool = False,
        fresh_s: float = FRESH_S,
        running: Callable[[], float] = time.monotonic,
        booted: Callable[[], float] = _booted,
    ) -> None:
        """Judge *clock* by *sources*, the best first; with *must_answer* a silent one is a refusal, too."""
        self._clock, self._sources, self._tolerance_s = clock, tuple(sources), tolerance_s
        self._must_answer, self._fresh_s = must_answer, fresh_s
        self._running, self._booted = running, booted
        self._lock = threading.Lock()
        self._anchor = self._course()
        self._asked: Course | None = None
        self._reading = ClockReading()

    def check(self, last: datetime | None = None) -> ClockReading:
        """Return how our clock stands; raises `ClockUnreliable` when nothing may be signed by it.

        *last* is the time of the last thing signed.
        """
        with self._lock:
            now = self._course()
            self._require_not_behind(now, last)
            jump = self._anchor.was_set(now)
            is_set = abs(jump) > self._tolerance_s
            if is_set or self._is_stale(now):
                self._reading = self._ask(now, jump if is_set else None)
            return self._reading

    def _require_not_behind(self, now: Course, last: datetime | None) -> None:
        behind = last.timestamp() - now.wall if last else 0.0
        if behind > self._tolerance_s:
            raise ClockUnreliable(
                f"the clock is {behind:.1f} s behind the last thing that was signed by it", advice=_ADVICE
            )

    def _is_stale(self, now: Course) -> bool:
        since = self._asked
        if since is None:
            return True
        return now.running - since.running > self._fresh_s or since.slept(now) > self._tolerance_s

    def _ask(self, now: Course, jump: float | None) -> ClockReading:
        """Ask every source; all that answer must agree, and where the clock was set one elsewhere must."""
        self._asked = None  # whatever is raised below, the next check asks again
        answered: list[tuple[ClockSource, float]] = []
        silent: list[str] = []
        for source in self._sources:
            try:
                answered.append((source, source.offset_s()))
            except Unavailable as lost:
                silent.append(f"{source.name} does not tell its time: {lost.detail}")
        for source, offset in answered:
            if abs(offset) > self._tolerance_s:
                where = "ahead of" if offset > 0 else "behind"
                raise ClockUnreliable(f"the clock is {abs(offset):.1f} s {where} {source.name}", advice=_ADVICE)
        if silent and self._must_answer:
            raise ClockUnreliable(f"the clock cannot be compared: {silent[0]}", advice="Let the source answer again.")
        is_confirmed = any(source.is_elsewhere for source, _ in answered)
        if jump is not None and not is_confirmed:
            how = "forward" if jump > 0 else "back"
            raise ClockUnreliable(f"the clock was set {how} by {abs(jump):.1f} s while Khatim ran", advice=_SET_ADVICE)
        if is_confirmed:
            self._anchor = now
        self._asked = now
        best = answered[0] if answered else None
        return ClockReading(best[0].name if best else NONE, best[1] if best else 0.0, tuple(silent))

    def _course(self) -> Course:
        return Course(self._clock().timestamp(), self._running(), self._booted())
