# SPDX-License-Identifier: Apache-2.0
"""What the registry knows about somebody beside their sign-in: that they are cut off, and which roles stand on record.

Asked of the database at most every `KNOWN_FOR` by each worker and person: so long may somebody go on who is cut off,
or whose role was taken back, on a worker that did not hear of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from audit.transaction import Ledger
from governance import assignments, roles_held
from khatim.errors import Unauthenticated
from khatim.vocabulary import SERVICE, Assignment
from registry.notary import Notary

KNOWN_FOR: Final = timedelta(seconds=2)
_ROOM: Final = 10_000  # people whom a worker remembers; then it asks all of them anew


@dataclass
class Standings:
    """Answers for one worker.  Without a notary no role on record counts, as at the desks of local recovery."""

    ledger: Ledger
    notary: Notary | None = None
    _known: dict[tuple[str, frozenset[str]], tuple[datetime, frozenset[Assignment]]] = field(default_factory=dict)

    def of(self, person: str, groups: frozenset[str]) -> frozenset[Assignment]:
        """Return the roles on record of *person*, a member of *groups*; raises `Unauthenticated` for one cut off."""
        now = self.ledger.clock()
        asked = self._known.get((person, groups))
        if asked is not None and abs(now - asked[0]) <= KNOWN_FOR:
            return asked[1]
        with self.ledger.reading(SERVICE) as reader:
            cut = assignments.suspension_of(reader, person)
            if cut is not None:
                raise Unauthenticated(
                    "this account is suspended",
                    advice="Ask an access administrator; the reason stands in the ledger.",
                )
            found = roles_held.held(reader, person, groups, self.notary) if self.notary else frozenset()
        if len(self._known) >= _ROOM:
            self._known.clear()
        self._known[person, groups] = now, found
        return found
