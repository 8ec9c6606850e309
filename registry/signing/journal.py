# SPDX-License-Identifier: Apache-2.0
"""The signer's own log: what it signed for whom, and what it refused, one line of JSON each, only ever appended.

It is beside the keys and not in the database, so that a server that was taken over cannot remove what it asked for.
Its last line is also the last time that was signed with, which the clock must not run behind.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from khatim.errors import Misconfigured, StoreFull

_MODE = 0o600
_TAIL = 64 * 1024  # bytes: many lines, of which the last complete one is wanted


class Journal:
    """One file; safe for several threads, and for several processes (each line is one write)."""

    def __init__(self, path: Path) -> None:
        """Open the file, or start it; raises `Misconfigured` when that cannot be."""
        self._lock = threading.Lock()
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE)
        except OSError as wrong:
            raise Misconfigured(f"the signer's log {path} cannot be opened: {wrong.strerror}") from wrong
        self._last = _last(self._file)

    @property
    def last(self) -> datetime | None:
        """When something was signed last, by the clock of then."""
        return self._last

    def signed(self, at: datetime, **what: Any) -> None:
        """Note that something is about to leave; raises `StoreFull`, and then it must not."""
        self._write({"at": at.astimezone(UTC).isoformat(), "did": "signed", **what})
        with self._lock:
            self._last = max(at, self._last or at)

    def enrolled(self, at: datetime, **what: Any) -> None:
        """Note that a key is about to be registered."""
        self._write({"at": at.astimezone(UTC).isoformat(), "did": "enrolled", **what})

    def refused(self, at: datetime, why: str, **what: Any) -> None:
        """Note that something was asked for and not given."""
        self._write({"at": at.astimezone(UTC).isoformat(), "did": "refused", "why": why, **what})

    def lines(self) -> Iterator[Mapping[str, Any]]:
        """Return every line, oldest first."""
        size = os.fstat(self._file).st_size
        yield from (json.loads(line) for line in os.pread(self._file, size, 0).splitlines())

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)

    def _write(self, line: Mapping[str, Any]) -> None:
        data = json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        try:
            written = os.write(self._file, data)
        except OSError as wrong:
            raise StoreFull(f"the signer's log cannot be written: {wrong.strerror}") from wrong
        if written != len(data):
            raise StoreFull("the signer's log cannot be written: the disk is full")


def _last(file: int) -> datetime | None:
    """Return the time of the last line in which something was signed; a line cut short by a crash is passed over."""
    size = os.fstat(file).st_size
    for line in reversed(os.pread(file, _TAIL, max(0, size - _TAIL)).splitlines()):
        try:
            found = json.loads(line)
            if found["did"] == "signed":
                return datetime.fromisoformat(found["at"])
        except (ValueError, KeyError, TypeError):
            continue
    return None
