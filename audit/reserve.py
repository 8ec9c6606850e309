# SPDX-License-Identifier: Apache-2.0
"""How full the disk is, and what goes on when it is: pure decisions over bytes, and the ballast that buys time.

Room that the ballast gave up still counts as used: what was kept for revocations must not let ordinary writes in again.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from khatim.vocabulary import Action

MARGIN: Final = 0.01  # how far below a threshold the disk must fall before it counts as left behind
REVOKE: Final = ".revoke"  # whatever is revoked: a version, an authorisation, what comes later
GOES_ON: Final = frozenset(
    {
        "read",
        "ledger.read",
        "person.identify",
        "artifact.download",
        "engagement.export",
        "revocation.record",
        "revocation.record_key",
        "deployment.stop",
        "agent.retire",
        "job.claim",
        "job.report",
        "person.erase",
    }
)
"""What is not refused on a full disk: reading, also where a read leaves an entry; taking power or data away; and what
keeps zones serving: agents renew their identity and report what was handed to them before (new work is refused)."""


class Pressure(StrEnum):
    """How the disk stands: room, close to its end, or so full that governed writes are refused."""

    ROOM = "room"
    ALARM = "alarm"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Limits:
    """Shares (0 to 1) of a volume: from *alarm* on it is told, from *refuse* on governed writes are refused."""

    alarm: float = 0.90
    refuse: float = 0.95


@dataclass(frozen=True, slots=True)
class Volume:
    """A file system: its bytes, those a user may still write, and the share of its file numbers in use (0 to 1)."""

    size: int
    free: int
    numbers: float = 0.0

    def used(self, given_up: int = 0) -> float:
        """Return the share in use, counting *given_up* bytes of ballast as if they still stood there."""
        if self.size <= 0:
            return 1.0
        return max(1 - max(0, self.free - given_up) / self.size, self.numbers)


def pressure(used: float, limits: Limits, before: Pressure = Pressure.ROOM) -> Pressure:
    """Decide by the share in use; a threshold once crossed is left only `MARGIN` below it, so that nothing flaps."""
    refuse = limits.refuse - (MARGIN if before is Pressure.FULL else 0)
    alarm = limits.alarm - (MARGIN if before is not Pressure.ROOM else 0)
    if used >= refuse:
        return Pressure.FULL
    return Pressure.ALARM if used >= alarm else Pressure.ROOM


def goes_on(action: Action, at: Pressure) -> bool:
    """Whether *action* is done at this pressure."""
    return at is not Pressure.FULL or action.value in GOES_ON or action.value.endswith(REVOKE)


def steps_to_hold(held: int, whole: int, step: int, free: int) -> int:
    """Return how many of *whole* steps of ballast (*step* bytes each) should stand, *held* standing now.

    One is given up when less than a step is free, and taken back when three would be: between them nothing moves.
    """
    while held > 0 and free < step:
        held, free = held - 1, free + step
    while held < whole and free >= 3 * step:
        held, free = held + 1, free - step
    return held


def volume_of(path: Path) -> Volume:
    """Return the file system that holds *path*.  Raises `OSError`."""
    found = os.statvfs(path)
    numbers = 1 - found.f_favail / found.f_files if found.f_files else 0.0
    used = (found.f_blocks - found.f_bfree) * found.f_frsize
    free = found.f_bavail * found.f_frsize
    return Volume(used + free, free, numbers)  # what only root may write is nobody's room, as in df


@dataclass(frozen=True)
class Ballast:
    """Files of *step* bytes in *folder*, really allocated; given up one by one.  One process tends them."""

    folder: Path
    step: int
    whole: int

    def held(self) -> int:
        """Return how many steps stand."""
        return sum(path.exists() for path in self._paths())

    def given_up(self) -> int:
        """Return how many bytes of the ballast are not there now, whether given up or never allocated."""
        return (self.whole - self.held()) * self.step

    def hold(self, steps: int) -> int:
        """Bring the ballast to *steps*; return how many stand, fewer where the disk does not give them."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        for number, path in enumerate(self._paths()):
            if number >= steps:
                path.unlink(missing_ok=True)
            elif not path.exists() and not self._allocate(path):
                break
        return self.held()

    def _paths(self) -> Sequence[Path]:
        return [self.folder / f"ballast.{number}" for number in range(self.whole)]

    def _allocate(self, path: Path) -> bool:
        draft = path.with_suffix(".draft")
        try:
            with draft.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self.step)
            draft.rename(path)
        except OSError as error:
            draft.unlink(missing_ok=True)
            if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
                return False
            raise
        return True
