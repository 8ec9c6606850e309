# SPDX-License-Identifier: Apache-2.0
"""Who was erased, kept outside the database as well: a restored backup is older than the erasures after it.

One JSON line each, without personal data.  Lines are only ever added.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from khatim.errors import Misconfigured


@dataclass(frozen=True, slots=True)
class Tombstone:
    """One erasure that was done: of whom, on which legal basis, by whom."""

    person: str
    legal_basis: str
    because: str
    requested_by: str
    approved_by: str
    at: datetime

    def line(self) -> str:
        """Return the tombstone as one line of JSON."""
        return json.dumps({**asdict(self), "at": self.at.isoformat()}, sort_keys=True, ensure_ascii=False)


@dataclass(frozen=True)
class Graveyard:
    """Files of tombstones: one beside the keys, and copies elsewhere.  What stands in one of them counts."""

    paths: Sequence[Path]

    def add(self, stones: Iterable[Tombstone]) -> None:
        """Add *stones* to every file that does not have them, and wait until they are on the disk."""
        wanted = {one.person: one for one in stones}
        for path in self.paths:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                text = file.read()
                whole = text[: text.rfind("\n") + 1]
                if whole != text:  # a crash cut the last line short
                    file.truncate(len(whole.encode()))
                known = {one.person for one in _read(whole, path)}
                file.writelines(f"{one.line()}\n" for person, one in wanted.items() if person not in known)
                file.flush()
                os.fsync(file.fileno())

    def read(self) -> dict[str, Tombstone]:
        """Return every tombstone of every file, by person; raises `Misconfigured` for a line that is none."""
        found: dict[str, Tombstone] = {}
        for path in self.paths:
            if path.exists():
                found.update({one.person: one for one in _read(path.read_text(encoding="utf-8"), path)})
        return found


def _read(text: str, path: Path) -> list[Tombstone]:
    stones = []
    # A line that a crash cut short was never told to have been written, and has no line end.
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        try:
            told = json.loads(line)
            stones.append(Tombstone(**{**told, "at": datetime.fromisoformat(told["at"])}))
        except (ValueError, TypeError, KeyError) as wrong:
            raise Misconfigured(f"{path}, line {number}, is no tombstone: {wrong}") from wrong
    return stones
