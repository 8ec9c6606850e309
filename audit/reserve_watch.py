# SPDX-License-Identifier: Apache-2.0
"""Looks at the disks of the database and the ledger, refuses governed writes when one is full, tends the ballast."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from audit.reserve import Ballast, Limits, Pressure, goes_on, pressure, steps_to_hold, volume_of
from khatim.errors import RegistryFull, Unavailable
from khatim.vocabulary import Action

_log = logging.getLogger("khatim.disk")
LOOK_S: Final = 0.2
ASK_S: Final = 5.0
_LEVELS: Final = {Pressure.ROOM: logging.INFO, Pressure.ALARM: logging.WARNING, Pressure.FULL: logging.ERROR}


@dataclass(frozen=True, slots=True)
class Standing:
    """How the fullest disk stands; *used* is its share in use, ballast that was given up counted in."""

    pressure: Pressure
    used: float
    where: str


NO_DISK: Final = Standing(Pressure.ROOM, 0.0, "")


class Reserve:
    """What the processes of one server know about their disks.  Safe to share between threads."""

    def __init__(
        self,
        volumes: Sequence[Path] = (),
        ballast: Ballast | None = None,
        limits: Limits | None = None,
        *,
        ask: Callable[[], float] | None = None,
    ) -> None:
        """Take folders on the volumes to look at, the ballast, and *ask*, which tells the share used elsewhere."""
        self._volumes = tuple(volumes)
        self._ballast = ballast
        self._limits = limits or Limits()
        self._ask = ask
        self._asked: tuple[float, float] = (-ASK_S, 0.0)
        self._looked = -LOOK_S
        self._standing = NO_DISK
        self._lock = threading.Lock()

    def look(self) -> Standing:
        """Return how the fullest disk stands, by a look that is at most `LOOK_S` seconds old."""
        with self._lock:
            now = time.monotonic()
            if now - self._looked >= LOOK_S:
                self._looked = now
                self._take(now)
            return self._standing

    def admit(self, action: Action) -> None:
        """Raise `RegistryFull` when the disk is too full for *action*."""
        standing = self.look()
        if not goes_on(action, standing.pressure):
            raise RegistryFull(
                f"the disk of the registry is {standing.used:.0%} full: no {action.value}",
                action=action.value,
                used=round(standing.used, 4),
                refused_from=self._limits.refuse,
            )

    def tend(self) -> Standing:
        """Give ballast up, or take it back, as the room says.  For one process only, about once a second."""
        if self._ballast is not None:
            free = volume_of(self._ballast.folder.parent).free
            held = self._ballast.held()
            wanted = steps_to_hold(held, self._ballast.whole, self._ballast.step, free)
            if wanted != held:
                stands = self._ballast.hold(wanted)
                _log.warning("ballast: %d of %d steps stand (%d before)", stands, self._ballast.whole, held)
        return self.look()

    def _take(self, now: float) -> None:
        found = [(self._used(path), str(path)) for path in self._volumes]
        if self._ask is not None:
            found.append((self._elsewhere(now), "the database's own volume"))
        if not found:
            return
        used, where = max(found)
        before = self._standing.pressure
        self._standing = Standing(pressure(used, self._limits, before), used, where)
        if self._standing.pressure is not before:
            level = max(_LEVELS[before], _LEVELS[self._standing.pressure])
            _log.log(level, "disk: %s (%.1f %% of %s in use)", self._standing.pressure.value, used * 100, where)

    def _used(self, path: Path) -> float:
        ballast = self._ballast
        given_up = ballast.given_up() if ballast is not None and _is_same(path, ballast.folder.parent) else 0
        try:
            return volume_of(path).used(given_up)
        except OSError as error:
            _log.error("disk: %s cannot be looked at: %s", path, error.strerror)
            return 0.0

    def _elsewhere(self, now: float) -> float:
        asked, used = self._asked
        if self._ask is not None and now - asked >= ASK_S:
            try:
                used = self._ask()
            except Unavailable as silent:
                _log.warning("disk: %s", silent)
            self._asked = (now, used)
        return used


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.stat().st_dev == other.stat().st_dev
    except OSError:
        return False
