# SPDX-License-Identifier: Apache-2.0
"""What a browser's session brought, asked of the database at most every `KNOWN_FOR` by each worker.

So long may a session that was ended go on, on a worker that did not hear of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from audit.transaction import Ledger
from gateway.standings import KNOWN_FOR
from khatim.vocabulary import SERVICE, Role
from registry import sessions

_ROOM: Final = 10_000  # sessions that a worker remembers; then it asks for all of them anew


@dataclass(frozen=True, slots=True)
class Brought:
    """What a sign-in brought: roles of a local link, groups of the identity provider, how strong it was."""

    roles: frozenset[Role] = frozenset()
    groups: frozenset[str] = frozenset()
    strength: int | None = None


@dataclass
class LiveSessions:
    """Answers for one worker."""

    ledger: Ledger
    _known: dict[str, tuple[datetime, Brought]] = field(default_factory=dict)

    def of(self, name: str) -> Brought:
        """Return what the live session *name* brought; raises `Unauthenticated` for one that has ended."""
        now = self.ledger.clock()
        asked = self._known.get(name)
        if asked is not None and abs(now - asked[0]) <= KNOWN_FOR:
            return asked[1]
        self._known.pop(name, None)
        with self.ledger.reading(SERVICE) as reader:
            row = sessions.of(reader, name)
        found = Brought(frozenset(map(Role, row.roles)), frozenset(row.groups), row.strength)
        if len(self._known) >= _ROOM:
            self._known.clear()
        self._known[name] = now, found
        return found

    def forget(self, name: str) -> None:
        """Ask anew about *name*: this worker has just ended it."""
        self._known.pop(name, None)
