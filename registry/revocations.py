# SPDX-License-Identifier: Apache-2.0
"""Revoking what was signed, and by whom: rows that are only added, a list that the registry signs.

Governance asks these verbs, because it knows what rests on what is revoked (`governance.revoking`).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

from sqlalchemy import select

from audit.events import moment
from audit.transaction import Reader, Transaction
from khatim.errors import Conflict, NotFound, SeparationOfDuties
from khatim.vocabulary import Action, Resource
from registry import accounts, standing
from registry.events import RevocationLifted, RevocationRecorded
from registry.naming import namespace_of
from registry.notary import Notary
from registry.revocation_drafts import Draft
from registry.revocation_tables import RevocationRow
from registry.signing import revocation_list

TOUCHED_LIMIT = 200
_LOCK = "revocations"
LISTED = Resource("revocation", "list")


def record(tx: Transaction, what: Draft, *, because: str, touched: Sequence[str] = ()) -> tuple[RevocationRow, bool]:
    """Revoke; *touched* names what rests on it.  Return the row, and whether it is new.

    What is revoked at least so far back already stays as it is.
    """
    tx.require(what.action, what.resource)
    tx.lock(_LOCK)
    rows = standing.rows_of(tx)
    known = standing.book_from(rows)
    for one in known.revocations:
        reaches = one.since is None or (what.since is not None and one.since <= what.since)
        if (one.kind, one.target) == (what.kind, what.target) and one.lifted_at is None and reaches:
            return next(row for row in rows if row.number == one.number), False
    row = RevocationRow(
        id=tx.new_id(),
        number=known.number + 1,
        kind=what.kind.value,
        target=what.target,
        about=what.about,
        since=what.since,
        because=because,
        lifts=None,
        recorded_by=tx.actor.ref,
        recorded_at=tx.now,
    )
    tx.add(row)
    tx.record(
        RevocationRecorded(
            about=row.ref,
            namespace=what.resource.namespace,
            number=row.number,
            revoked=row.kind,
            target=row.target,
            since=moment(row.since) if row.since else "the beginning",
            because=because,
            subject=row.about,
            touched=list(touched)[:TOUCHED_LIMIT],
        )
    )
    return row, True


def lift(tx: Transaction, name: str, *, because: str) -> RevocationRow:
    """End a revocation from now on; what it covered until now stays revoked.  Raises `SeparationOfDuties`."""
    before = _identified(tx, name)
    tx.require(Action.REVOCATION_LIFT, Resource("revocation", before.target, namespace_of(before.about)))
    tx.lock(_LOCK)
    rows = standing.rows_of(tx)
    if before.lifts is not None or any(row.lifts == before.number for row in rows):
        raise Conflict("that revocation is lifted already, or is itself a lifting")
    if accounts.is_actor(tx, before.recorded_by):
        raise SeparationOfDuties(
            "who revoked it cannot lift it",
            advice="Ask another person who may revoke; they answer for it beside you.",
            rule="revocation/second-person",
        )
    row = RevocationRow(
        id=tx.new_id(),
        number=rows[-1].number + 1,
        kind=before.kind,
        target=before.target,
        about=before.about,
        since=None,
        because=because,
        lifts=before.number,
        recorded_by=tx.actor.ref,
        recorded_at=tx.now,
    )
    tx.add(row)
    tx.record(
        RevocationLifted(
            about=row.ref,
            namespace=namespace_of(row.about),
            number=row.number,
            lifts=before.number,
            revoked=row.kind,
            target=row.target,
            because=because,
            subject=row.about,
        )
    )
    return row


def listed(reader: Reader) -> list[RevocationRow]:
    """Return every revocation and lifting, oldest first."""
    reader.require(Action.READ, LISTED)
    return standing.rows_of(reader)


def signed(reader: Reader, notary: Notary) -> str:
    """Return the list as the registry signs it (a Sigstore bundle); the calling query has asked the permission.

    It is signed once for each hour and state of the list, in each process: a reader may be handed the issue of another
    process with the same number and other dates.
    """
    issue = _Issue(notary, standing.rows_of(reader), reader.now)
    return _signed(issue, int(reader.now.timestamp() // revocation_list.RENEWED.total_seconds()))


class _Issue:
    """One state of the list, compared by what it lists and by whose it is; when it is signed makes no difference."""

    def __init__(self, notary: Notary, rows: Sequence[RevocationRow], at: datetime) -> None:
        self.notary = notary
        self.rows = [row.as_row for row in rows]
        self.at = at
        # A rotated authority has another trust root; this object keeps it alive, so its id is not given away.
        self._key = (notary.instance, id(notary.root), tuple(tuple(map(str, row.values())) for row in self.rows))

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Issue) and other._key == self._key


@lru_cache(maxsize=8)
def _signed(issue: _Issue, hour: int) -> str:
    del hour  # it is part of the key: a new hour, a new issue
    return issue.notary.signer_for(issue.notary.service()).sign(revocation_list.statement_of(issue.rows, at=issue.at))


def _identified(reader: Reader, name: str) -> RevocationRow:
    try:
        key = uuid.UUID(name.rpartition(":")[2])
    except ValueError as wrong:
        raise NotFound(f"there is no revocation {name[:80]!r}") from wrong
    row: RevocationRow | None = reader.scalar(select(RevocationRow).where(RevocationRow.id == key))
    if row is None:
        raise NotFound(f"there is no revocation {name}", advice="List them: khatim revocations.")
    return row
