# SPDX-License-Identifier: Apache-2.0
"""The signer's own book of agents: which key each one enrolled with, one line of JSON each, only ever appended.

The first registration of an agent holds for ever: nothing that a web server can ask replaces a key.  A new agent may
be registered by whoever has a voucher, and a server that was taken over can make one; it stands here, in the signer's
log and, if the server is honest, in the ledger (``agent.enrolled`` names the key), so that the difference shows.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from khatim.errors import Conflict, Misconfigured, StoreFull, Unauthenticated
from registry.signing.possession import Enrolment

_MODE = 0o600
_ADVICE = "Enrol it as a new agent: khatim agent invite."


class AgentBook:
    """One file; safe for several threads, and for several processes (local mode has one in each)."""

    def __init__(self, path: Path) -> None:
        """Open the file, or start it; raises `Misconfigured` when that cannot be."""
        self._lock = threading.Lock()
        self._known: dict[str, Enrolment] = {}
        self._read = 0
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = os.open(path, flags, _MODE)
        except OSError as wrong:
            raise Misconfigured(f"the signer's book of agents {path} cannot be opened: {wrong.strerror}") from wrong

    def agents(self) -> Mapping[str, Enrolment]:
        """Return every agent by its id, as it stands now."""
        with self._lock:
            self._catch_up()
            return dict(self._known)

    def register(self, asked: Enrolment, at: datetime) -> bool:
        """Keep the key of an agent, durably; whether it is new.  The same again changes nothing.

        Raises `Conflict` when the agent is known with another key or zone.
        """
        with self._lock, self._alone():
            self._catch_up()
            known = self._known.get(asked.agent)
            if known is None:
                self._append(asked, at)
                self._catch_up()
                return True
        if known != asked:
            raise Conflict(f"agent {asked.agent} is registered with another key", advice=_ADVICE)
        return False

    def require(self, agent: str, zone: str, key: str) -> None:
        """Raise `Unauthenticated` unless *agent* of *zone* enrolled with *key*."""
        known = self._known.get(agent)
        if known is None:  # another process may have registered it meanwhile
            known = self.agents().get(agent)
        if known is None:
            raise Unauthenticated(f"the signer knows no agent {agent[:80]}", advice=_ADVICE)
        if (known.zone, known.key) != (zone, key):
            raise Unauthenticated(f"agent {agent} enrolled with another key or in another zone", advice=_ADVICE)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _catch_up(self) -> None:
        """Read what was appended since; what a crash cut short has no end of line, and is no registration."""
        size = os.fstat(self._file).st_size
        if size < self._read:
            raise Misconfigured("the signer's book of agents was shortened", advice="Bring it back from a backup.")
        text = os.pread(self._file, size - self._read, self._read)
        whole = text[: text.rfind(b"\n") + 1]
        for line in whole.splitlines():
            try:
                one = json.loads(line)
                found = Enrolment(one["agent"], one["zone"], one["key"])
            except (ValueError, KeyError, TypeError):
                continue
            self._known.setdefault(found.agent, found)
        self._read += len(whole)

    def _append(self, asked: Enrolment, at: datetime) -> None:
        line = {"agent": asked.agent, "zone": asked.zone, "key": asked.key, "at": at.astimezone(UTC).isoformat()}
        data = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        if os.fstat(self._file).st_size > self._read:  # a line that a crash cut short
            data = b"\n" + data
        try:
            written = os.write(self._file, data)
            os.fsync(self._file)
        except OSError as wrong:
            raise StoreFull(f"the signer's book of agents cannot be written: {wrong.strerror}") from wrong
        if written != len(data):
            raise StoreFull("the signer's book of agents cannot be written: the disk is full")
