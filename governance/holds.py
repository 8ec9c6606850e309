# SPDX-License-Identifier: Apache-2.0
"""Legal holds and disposal: placed by one, released by two, and asked before anything is erased or removed."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from audit import ledger_tables
from audit.events import moment
from audit.transaction import Reader, Transaction
from governance.hold_events import HoldPlaced, HoldReleaseAsked, HoldReleased
from governance.hold_tables import PLACED, RELEASED, RELEASING, LegalHold
from khatim.errors import Conflict, ErasureHeld, Malformed, NotFound, SeparationOfDuties
from khatim.vocabulary import Action, Decision, Resource
from khatim.wire import holds as wire
from policies import retention
from policies.loading import PolicyBundle
from policies.retention import Record, Retention
from registry import accounts, erasure

_SCOPE = ("namespace", "resource", "person", "zone", "since", "until")


def place(tx: Transaction, body: wire.PlaceHold) -> LegalHold:
    """Place a hold; it stands from this moment on.  Raises `Malformed` for one without any scope."""
    tx.require(Action.HOLD_PLACE, Resource("hold", "new", body.namespace, body.zone))
    given = body.model_dump()
    if not any(given[name] for name in _SCOPE):
        raise Malformed("a hold names a namespace, resource, person, zone or time; everything at once is none")
    if body.since and body.until and body.until < body.since:
        raise Malformed("a hold's time ends after it begins")
    row = LegalHold(
        id=tx.new_id(), **given, state=PLACED, placed_by=tx.actor.ref, placed_at=tx.now, release_asked_by=None,
        release_because="", released_by=None, released_at=None,
    )  # fmt: skip
    tx.add(row)
    tx.record(
        HoldPlaced(
            about=row.ref, namespace=row.namespace, zone=row.zone, scope=_scope(row), because=row.because,
            legal_basis=row.legal_basis, review_due=moment(row.review_due),
        )
    )  # fmt: skip
    return row


def release(tx: Transaction, name: str, *, because: str) -> LegalHold:
    """Ask that a hold end or, as a second person, end it.

    Raises `SeparationOfDuties` for whoever asked already, and `Conflict` for one that has ended.
    """
    row = _named(tx, name)
    tx.require(Action.HOLD_RELEASE, row.resource_of)
    if row.state == RELEASED:
        raise Conflict("the hold was released already")
    if row.state == PLACED:
        row.state, row.release_asked_by, row.release_because = RELEASING, tx.actor.ref, because
        tx.record(HoldReleaseAsked(about=row.ref, namespace=row.namespace, zone=row.zone, because=because))
        return row
    if accounts.is_actor(tx, row.release_asked_by):
        raise SeparationOfDuties(
            "a hold is released by somebody else than who asked for it",
            advice="Ask another officer.", rule="holds/two-people",
        )  # fmt: skip
    row.state, row.released_by, row.released_at = RELEASED, tx.actor.ref, tx.now
    tx.record(
        HoldReleased(
            about=row.ref, namespace=row.namespace, zone=row.zone, because=because, asked_by=row.release_asked_by or ""
        )
    )
    return row


def listed(reader: Reader) -> list[LegalHold]:
    """Return every hold, those that have ended included, oldest first."""
    reader.require(Action.LEDGER_READ, Resource("hold", "all"))
    return list(reader.scalars(select(LegalHold).order_by(LegalHold.id)))


def in_force(reader: Reader) -> list[retention.Hold]:
    """Return the holds that stand, as values; no permission is asked: whoever disposes of something must know."""
    rows = reader.scalars(select(LegalHold).where(LegalHold.state != RELEASED).order_by(LegalHold.id))
    return [
        retention.Hold(
            str(row.id), row.because, row.legal_basis, row.namespace, row.resource, row.person, row.zone,
            row.since, row.until,
        )
        for row in rows
    ]  # fmt: skip


def may_dispose(reader: Reader, record: Record, *, rules: Retention) -> Decision:
    """Decide whether *record* may go now."""
    return rules.may_dispose(record, in_force(reader), reader.now)


def require_disposable(reader: Reader, record: Record, *, rules: Retention) -> Decision:
    """Return the decision that lets *record* go; raises `ErasureHeld` with the rule, which is recorded."""
    decision = may_dispose(reader, record, rules=rules)
    if not decision:
        raise ErasureHeld(decision.reason, advice=decision.advice, **decision.as_members())
    return decision


_NO_ACTS = ("person.known", "person.signed_in")


def holds_of(rules: PolicyBundle) -> erasure.HoldsOf:
    """Return what knows which obligations stand against erasing a person: legal holds, and the period of identities.

    The period counts from the last entry in which the person acted; who never did is under none.
    """

    def found(reader: Reader, person: str) -> Sequence[erasure.Hold]:
        last = _last_act(reader, person)
        record = Record(
            f"who stands behind {person}", "identity", last or reader.now, last or reader.now,
            people=frozenset({person}), resources=frozenset({f"person:{person}"}),
        )  # fmt: skip
        standing = [
            erasure.Hold(f"hold/{one.ref}", f"legal hold: {one.reason}", one.basis)
            for one in in_force(reader)
            if one.covers(_whenever(record)) and (one.person or one.resource)
        ]
        decision = rules.retention.may_dispose(record, (), reader.now)
        if last and not decision:
            years = rules.retention.asked(record)[decision.rule].minimum_years
            until = retention.years_after(last, years) if years else None
            standing.append(erasure.Hold(decision.rule, decision.reason, decision.legal_basis, until))
        return standing

    return found


def _whenever(record: Record) -> Record:
    # A hold for a time covers what was done in it; who stands behind it must stay known, whenever that was.
    least, most = datetime.min.replace(tzinfo=record.since.tzinfo), datetime.max.replace(tzinfo=record.since.tzinfo)
    return Record(record.name, record.record_class, least, most, people=record.people, resources=record.resources)


def _last_act(reader: Reader, person: str) -> datetime | None:
    columns = ledger_tables.entries.c
    # Having been here is no act: else nobody who ever signed in could be forgotten.
    acted = (columns.actor == person, columns.kind.not_in(_NO_ACTS))
    found: datetime | None = reader.scalar(select(func.max(columns["at"])).where(*acted))
    return found


def _scope(row: LegalHold) -> dict[str, Any]:
    return {name: value for name in _SCOPE if (value := getattr(row, name))}


def _named(tx: Transaction, name: str) -> LegalHold:
    try:
        query = select(LegalHold).where(LegalHold.id == uuid.UUID(name)).with_for_update()
    except ValueError as error:
        raise NotFound(f"there is no hold {name[:80]!r}") from error
    row: LegalHold | None = tx.scalar(query)
    if row is None:
        raise NotFound(f"there is no hold {name}")
    return row
