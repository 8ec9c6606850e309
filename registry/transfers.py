# SPDX-License-Identifier: Apache-2.0
"""Transfer authorisations: asked for with everything that their mechanism needs, approved by somebody else, taken back.

A movement that the matrix closes with A+R or M is open when exactly one approved authorisation covers it
(compliance.md 2.5).  `decide` is the one place where the rules meet the records.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import or_, select

from audit.events import moment
from audit.transaction import Reader, Transaction
from khatim.errors import Conflict, Malformed, NotFound, SeparationOfDuties
from khatim.vocabulary import Action, Decision, Resource
from khatim.wire.transfers import Ruling, Rulings, TransferQuestion, TransferRequest
from policies import residency
from policies.loading import PolicyBundle
from policies.residency import Movement, MovementKind, TransferAuthorisation
from registry import accounts, identified
from registry.events import TransferApproved, TransferRequested, TransferRevoked
from registry.naming import checked
from registry.transfer_tables import Transfer

Names = Callable[[], Sequence[str]]


def request(tx: Transaction, namespace: str, body: TransferRequest, *, rules: PolicyBundle) -> Transfer:
    """Ask for an authorisation; another person must approve it.

    Raises `Malformed` naming what the mechanism asks for and the request lacks, `NotFound` for a zone or mechanism
    that does not exist.
    """
    tx.require(
        Action.TRANSFER_REQUEST,
        Resource("transfer", "new", checked(namespace, "namespace"), body.from_zone, frozenset(body.tags)),
    )
    origin, target = (rules.residency.zone(name) for name in (body.from_zone, body.to_zone))
    _check_terms(body, rules, tx.now)
    regimes = origin.regimes.union(*(rules.residency.transfers.tags[tag].regimes for tag in body.tags))
    row = Transfer(
        id=tx.new_id(),
        namespace=namespace,
        from_zone=origin.name,
        to_zone=target.name,
        mechanism=body.mechanism,
        evidence_digest=body.evidence_digest,
        purpose=body.purpose,
        tags=sorted(set(body.tags)),
        scope=sorted(set(body.scope)),
        from_regimes=sorted(regimes),
        to_location=target.location,
        valid_from=body.valid_from or tx.now,
        valid_to=body.valid_to,
        review_due=body.review_due or body.valid_to,
        details=body.details.model_dump(exclude_defaults=True, mode="json"),
        requested_by=tx.actor.ref,
        requested_at=tx.now,
        state="requested",
        because="",
        approvals=[],
    )
    tx.add(row)
    terms = {
        "mechanism": row.mechanism,
        "evidence_digest": row.evidence_digest,
        "purpose": row.purpose,
        "tags": row.tags,
        "scope": row.scope,
        "from_regimes": row.from_regimes,
        "to_location": row.to_location,
        "valid_from": moment(row.valid_from),
        "valid_to": moment(row.valid_to),
        "review_due": moment(row.review_due),
        "details": row.details,
    }
    tx.record(
        TransferRequested(
            about=row.ref,
            namespace=namespace,
            zone=row.from_zone,
            to_zone=row.to_zone,
            terms=terms,
            policy=str(rules.digest),
        )
    )
    return row


def approve(tx: Transaction, name: str, *, because: str, rules: PolicyBundle) -> Transfer:
    """Approve it.  Raises `SeparationOfDuties` for the requester, `Conflict` when another one covers the same way."""
    row = _named(tx, name)
    tx.require(Action.TRANSFER_APPROVE, row.resource)
    if accounts.is_actor(tx, row.requested_by):
        raise SeparationOfDuties("you asked for this transfer; another person must approve it", rule="sod/requester")
    if row.state != "requested":
        raise Conflict(f"the transfer authorisation is {row.state}")
    if row.valid_to <= tx.now:
        raise Conflict("the transfer authorisation has run out before anybody approved it", advice="Ask for a new one.")
    # compliance.md 2.5: allowed iff exactly one covers; a second would close the way instead of opening it.
    if double := next((one for one in _approved(tx, row.from_zone, row.to_zone) if _overlaps(one, row)), None):
        raise Conflict(
            f"{double.ref} covers the same movements until {moment(double.valid_to)}",
            advice="Revoke that one first, or ask for a period after it.",
        )
    row.state, row.because, row.approvals = "approved", because, [tx.actor.ref]
    tx.record(
        TransferApproved(
            about=row.ref,
            namespace=row.namespace,
            zone=row.from_zone,
            to_zone=row.to_zone,
            because=because,
            policy=str(rules.digest),
        )
    )
    return row


def revoke(tx: Transaction, name: str, *, because: str) -> Transfer:
    """Take it back: from now on nothing moves on it."""
    row = _named(tx, name)
    tx.require(Action.TRANSFER_REVOKE, row.resource)
    if row.state == "revoked":
        raise Conflict("the transfer authorisation is revoked already")
    row.state, row.because, row.revoked_at = "revoked", because, tx.now
    said = TransferRevoked(
        about=row.ref, namespace=row.namespace, zone=row.from_zone, to_zone=row.to_zone, because=because
    )
    tx.record(said)
    return row


def decide(reader: Reader, movement: Movement, rules: PolicyBundle, names: Names = tuple) -> Decision:
    """Decide whether *movement* may happen now, with the authorisations on record.

    *names* gives those under which the bytes are known; one that is covered is enough.  It is called, and the records
    are read, only when the matrix alone refuses.
    """
    first = residency.decide(rules.residency, movement, at=reader.now)
    if first:
        return first
    with reader.whole():  # who gave it, and in which namespace, does not matter to the law
        records = [value_of(row) for row in _approved(reader, movement.from_zone, movement.to_zone)]
    if not records:
        return first
    decisions = [
        residency.decide(rules.residency, replace(movement, artefact=name), records, at=reader.now)
        for name in (tuple(names()) or (movement.artefact,))
    ]
    return next((one for one in decisions if one), decisions[0])


def rulings(reader: Reader, body: TransferQuestion, rules: PolicyBundle) -> Rulings:
    """Say what every rule says to a movement that nobody makes; raises `Malformed` for a kind that there is not."""
    reader.require(Action.READ, Resource("transfer", "question", zone=body.from_zone, tags=frozenset(body.tags)))
    try:
        kind = MovementKind(body.kind)
    except ValueError as wrong:
        known = ", ".join(MovementKind)
        raise Malformed(f"there is no kind of movement {body.kind[:80]!r}", advice=f"Known: {known}.") from wrong
    movement = Movement(
        kind=kind,
        from_zone=body.from_zone,
        to_zone=body.to_zone,
        tags=frozenset(body.tags),
        purpose=body.purpose,
        artefact=body.artefact,
    )
    records = [value_of(row) for row in _approved(reader, body.from_zone, body.to_zone)]
    found = residency.weigh(rules.residency, movement, records, at=reader.now)
    return Rulings(allowed=all(found), rulings=[_ruling(one) for one in found])


def _ruling(one: Decision) -> Ruling:
    return Ruling(
        allowed=one.allowed,
        rule=one.rule,
        reason=one.reason,
        legal_basis=one.legal_basis,
        certainty=one.certainty.value if one.certainty else "",
        advice=one.advice,
        policy=one.policy,
    )


def value_of(row: Transfer) -> TransferAuthorisation:
    """Return the record as the pure rules read it."""
    details: dict[str, Any] = {
        key: frozenset(value) if isinstance(value, list) else value for key, value in row.details.items()
    }
    return TransferAuthorisation(
        ref=row.ref,
        from_zone=row.from_zone,
        to_zone=row.to_zone,
        from_regimes=frozenset(row.from_regimes),
        to_location=row.to_location,
        purpose=row.purpose,
        data_tags=frozenset(row.tags),
        artefact_scope=tuple(row.scope),
        mechanism=row.mechanism,
        mechanism_evidence_digest=row.evidence_digest,
        valid_from=row.valid_from,
        valid_to=row.valid_to,
        review_due=row.review_due,
        approvals=tuple(row.approvals),
        revoked_at=row.revoked_at,
        **details,
    )


def _approved(reader: Reader, from_zone: str, to_zone: str) -> list[Transfer]:
    # An authorisation into a zone is also the basis for staying there (policies.residency).
    way = or_(Transfer.from_zone == from_zone, Transfer.to_zone == from_zone)
    query = select(Transfer).where(Transfer.state == "approved", Transfer.to_zone == to_zone, way).order_by(Transfer.id)
    return list(reader.scalars(query))


def _overlaps(one: Transfer, other: Transfer) -> bool:
    return (
        (one.from_zone, one.to_zone, one.mechanism, one.purpose)
        == (other.from_zone, other.to_zone, other.mechanism, other.purpose)
        and one.valid_from < other.valid_to
        and other.valid_from < one.valid_to
        and not set(one.tags).isdisjoint(other.tags)
        and any(_meet(mine, theirs) for mine in one.scope for theirs in other.scope)
    )


def _meet(one: str, other: str) -> bool:
    """Whether two scopes, exact or ending in a star, have a name in common."""
    head, tail = one.removesuffix("*"), other.removesuffix("*")
    if one.endswith("*") and other.endswith("*"):
        return head.startswith(tail) or tail.startswith(head)
    if one.endswith("*"):
        return other.startswith(head)
    return one.startswith(tail) if other.endswith("*") else one == other


def _check_terms(body: TransferRequest, rules: PolicyBundle, now: datetime) -> None:
    known = rules.residency.transfers
    mechanism = known.mechanisms.get(body.mechanism)
    if mechanism is None:
        raise NotFound(f"there is no mechanism {body.mechanism!r}", advice=f"Known: {', '.join(known.mechanisms)}.")
    if unknown := sorted(set(body.tags) - set(known.tags)):
        raise Malformed(f"there is no tag {', '.join(unknown)}", advice=f"Known: {', '.join(sorted(known.tags))}.")
    start = body.valid_from or now
    if body.valid_to <= max(start, now):
        raise Malformed("valid_to must lie after valid_from and in the future")
    if body.review_due is not None and not start < body.review_due <= body.valid_to:
        raise Malformed("review_due must lie within the validity")
    given: dict[str, Any] = {**body.details.model_dump(), "mechanism_evidence_digest": body.evidence_digest}
    missing = [name for name in mechanism.requires if not given.get(name)]
    if missing:
        raise Malformed(
            f"{body.mechanism} ({mechanism.title}) needs {', '.join(missing)}",
            advice="Put it on file first, and name it in the request.",
            missing=missing,
            legal_basis=mechanism.basis,
            certainty=mechanism.certainty.value,
        )
    if lacking := sorted(mechanism.safeguards - set(body.details.safeguards)):
        raise Malformed(f"{body.mechanism} needs the safeguards {', '.join(lacking)}", missing=lacking)


def _named(tx: Transaction, name: str) -> Transfer:
    return identified.one(tx, Transfer, name, for_update=True)
