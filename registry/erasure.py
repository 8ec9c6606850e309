# SPDX-License-Identifier: Apache-2.0
"""Erasing a person: asked for by one, approved by another, done for good, and repeated after every restore.

The map's row goes, the record with it, and then its key, which no backup of the database holds.  What stays is a
tombstone: an event and a line outside the database, neither with personal data, so that the chain still verifies.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy import select

from audit import tombstones
from audit.transaction import Ledger, Reader, Transaction
from khatim.errors import Conflict, ErasureHeld, NotFound, SeparationOfDuties
from khatim.vocabulary import SERVICE, Action, Resource
from registry import accounts, people
from registry.erasure_tables import DONE, REQUESTED, Erasure
from registry.events import PersonErased, PersonErasureRequested
from registry.tables import Person
from registry.tombstones import Tombstone
from registry.vault import Vault

UNKNOWN = "unknown"
LISTED = 200


@dataclass(frozen=True, slots=True)
class Hold:
    """An obligation to keep a person's data: a retention period, or a legal hold (*until* None: not known yet)."""

    rule: str
    reason: str
    legal_basis: str = ""
    until: datetime | None = None


class HoldsOf(Protocol):
    """What knows the obligations to keep (retention and legal hold)."""

    def __call__(self, reader: Reader, person: str, /) -> Sequence[Hold]:
        """Return what stands against erasing *person* now."""
        ...


def nothing_held(_: Reader, __: str) -> Sequence[Hold]:
    """Know of no obligation: for installations whose policy has none."""
    return ()


@dataclass(frozen=True)
class Eraser:
    """What erasures are done with."""

    vault: Vault
    holds_of: HoldsOf = nothing_held


def request(tx: Transaction, person: str, *, legal_basis: str, because: str) -> Erasure:
    """Ask for an erasure; nothing is erased yet.  Raises `NotFound`, or `Conflict` when it was asked for or done."""
    tx.lock(f"person:{person}")
    tx.require(Action.PERSON_ERASE, Resource("person", person))
    if people.is_erased(tx, person):
        raise Conflict(f"{person} was erased already")
    if tx.scalar(select(Person.ref_).where(Person.ref_ == person)) is None:
        raise NotFound(f"nobody is known as {person}")
    if tx.scalar(select(Erasure.id).where(Erasure.person == person, Erasure.state == REQUESTED)):
        raise Conflict(f"the erasure of {person} was asked for already", advice="Somebody else approves it.")
    row = Erasure(
        id=tx.new_id(), person=person, state=REQUESTED, legal_basis=legal_basis, because=because,
        requested_by=tx.actor.ref, requested_at=tx.now, approved_by=None, approved_at=None,
    )  # fmt: skip
    tx.add(row)
    told = PersonErasureRequested(about=f"person:{person}", also=(row.ref,), legal_basis=legal_basis, because=because)
    tx.record(told)
    return row


def approve(tx: Transaction, name: str, *, eraser: Eraser) -> Erasure:
    """Approve an erasure that somebody else asked for, and do it; the key is destroyed when this has committed.

    Raises `SeparationOfDuties` for whoever asked for it and for the person themselves, and `ErasureHeld` with the
    ground while an obligation to keep stands against it.
    """
    row = _named(tx, name)
    tx.lock(f"person:{row.person}")
    tx.require(Action.PERSON_ERASE, Resource("person", row.person))
    if row.state == DONE:
        raise Conflict(f"{row.person} was erased already")
    if accounts.is_actor(tx, row.requested_by, row.person):
        raise SeparationOfDuties(
            "an erasure is approved by somebody who neither asked for it nor is its subject",
            advice="Ask another privacy officer.", rule="people/two-people",
        )  # fmt: skip
    if held := eraser.holds_of(tx, row.person):
        raise ErasureHeld(
            "; ".join(hold.reason for hold in held),
            advice="The record is kept until then, and can be erased afterwards.",
            rule=held[0].rule,
            holds=[_as_member(hold) for hold in held],
        )
    row.state, row.approved_by, row.approved_at = DONE, tx.actor.ref, tx.now
    _bury(tx, row, eraser.vault, repeated=False)
    return row


def listed(reader: Reader) -> list[Erasure]:
    """Return the erasures that were asked for, the newest first."""
    reader.require(Action.PERSON_ERASE, Resource("erasure", "all"))
    return list(reader.scalars(select(Erasure).order_by(Erasure.id.desc()).limit(LISTED)))


def _named(tx: Transaction, name: str) -> Erasure:
    try:
        query = select(Erasure).where(Erasure.id == uuid.UUID(name)).with_for_update()
    except ValueError as error:
        raise NotFound(f"there is no erasure {name[:80]!r}") from error
    row: Erasure | None = tx.scalar(query)
    if row is None:
        raise NotFound(f"there is no erasure {name}")
    return row


def repeat(ledger: Ledger, vault: Vault) -> list[str]:
    """Repeat every erasure that a restore may have undone; return whom.  Run before the first request is served.

    An erasure counts that stands in the ledger, in the table or in a file outside the database; afterwards it stands in
    all of them, the person's row is gone and so is the key.
    """
    outside = vault.graves.read()
    with ledger.transaction(SERVICE) as tx:
        tx.lock("erasures")  # every worker of a server does this at its start
        done = {row.person: row for row in tx.scalars(select(Erasure).where(Erasure.state == DONE))}
        told = tombstones.subjects_of(tx.connection(), PersonErased.kind)
        inside = {ref.removeprefix("person:") for ref in told}
        everybody = sorted(inside | done.keys() | outside.keys())
        back = set(tx.scalars(select(Person.ref_).where(Person.ref_.in_(everybody))))
        undone = [ref for ref in everybody if ref in back or ref not in inside or ref not in done]
        for person in undone:
            tx.lock(f"person:{person}")
            tx.require(Action.PERSON_ERASE, Resource("person", person))
            row = done.get(person) or _restored(tx, person, outside.get(person))
            _bury(tx, row, vault, repeated=True)
        tx.afterwards(lambda: _finish(vault, [_stone(row) for row in done.values() if row.person not in outside]))
    for person in everybody:
        vault.keys.destroy(person)
    return undone


def _restored(tx: Transaction, person: str, stone: Tombstone | None) -> Erasure:
    """Return the row of an erasure that this database does not know (any more) as done."""
    row: Erasure | None = tx.scalar(select(Erasure).where(Erasure.person == person, Erasure.state == REQUESTED))
    told = stone or Tombstone(person, UNKNOWN, "repeated from the ledger", UNKNOWN, SERVICE.ref, tx.now)
    if row is None:
        row = Erasure(
            id=tx.new_id(), person=person, state=DONE, legal_basis=told.legal_basis, because=told.because,
            requested_by=told.requested_by, requested_at=told.at, approved_by=told.approved_by, approved_at=told.at,
        )  # fmt: skip
        tx.add(row)
    row.state, row.requested_by = DONE, told.requested_by
    row.approved_by, row.approved_at = told.approved_by, told.at
    return row


def _bury(tx: Transaction, row: Erasure, vault: Vault, *, repeated: bool) -> None:
    person: Person | None = tx.scalar(select(Person).where(Person.ref_ == row.person))
    if person is not None:
        tx.remove(person)
    stone = _stone(row)
    tx.record(
        PersonErased(
            about=f"person:{row.person}", also=(row.ref,), legal_basis=row.legal_basis, because=row.because,
            requested_by=row.requested_by, approved_by=stone.approved_by, repeated=repeated,
        )
    )  # fmt: skip
    tx.afterwards(lambda: _finish(vault, [stone]))


def _finish(vault: Vault, stones: Sequence[Tombstone]) -> None:
    # The line first: a crash between the two is mended at the next start, when the line is found.
    vault.graves.add(stones)
    for stone in stones:
        vault.keys.destroy(stone.person)


def _stone(row: Erasure) -> Tombstone:
    at = row.approved_at or row.requested_at
    return Tombstone(row.person, row.legal_basis, row.because, row.requested_by, row.approved_by or SERVICE.ref, at)


def _as_member(hold: Hold) -> dict[str, str]:
    until = {"until": hold.until.isoformat()} if hold.until else {}
    return {"rule": hold.rule, "reason": hold.reason, "legal_basis": hold.legal_basis, **until}
