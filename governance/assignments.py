# SPDX-License-Identifier: Apache-2.0
"""Roles on record: asked for by one, given by another until a day, taken back or run out; and people who are cut off.

The approver signs what is given; a row without that statement gives nothing (`governance.roles_held`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select

from audit.canonical import canonical
from audit.events import moment
from audit.transaction import Reader, Transaction
from governance import queries
from governance.access_events import PersonRestored, PersonSuspended, RoleApproved, RoleEnded, RoleRequested
from governance.access_tables import LIVE, RoleAssignment, Suspension
from khatim.errors import AssignmentRefused, Conflict, NotFound, SeparationOfDuties
from khatim.vocabulary import Action, Decision, Digest, Resource, Role
from khatim.wire import access as wire
from policies.assignments import PERSON
from policies.loading import PolicyBundle
from registry import accounts
from registry.notary import Notary
from registry.signing import statements


def request(tx: Transaction, body: wire.RoleRequest, *, rules: PolicyBundle) -> RoleAssignment:
    """Ask that a person or group hold a role; another person must give it.

    Raises `AssignmentRefused` for a role that is not assigned, more days than it allows, and a ticket that is none.
    """
    row = RoleAssignment(
        id=tx.new_id(),
        subject=body.subject,
        role=body.role.value,
        zone=body.zone,
        namespace=body.namespace,
        days=body.days,
        hours=0,
        reason=body.because,
        ticket=body.ticket,
        stands_in_for=tx.actor.ref if body.in_my_absence else "",
        requested_by=tx.actor.ref,
        requested_at=tx.now,
        state="requested",
    )
    tx.require(Action.ROLE_REQUEST, row.resource)
    decision = rules.assignments.may_ask(body.role, body.days, body.ticket, subject=body.subject)
    if decision and body.in_my_absence:
        is_self = accounts.is_actor(tx, body.subject.removeprefix(PERSON))
        subject = PERSON + tx.actor.ref if is_self else body.subject
        decision = rules.assignments.may_stand_in(
            tx.actor, subject, body.role, body.days, zone=body.zone, namespace=body.namespace, at=tx.now
        )
    if not decision:
        raise AssignmentRefused(decision.reason, advice=decision.advice, **decision.as_members())
    tx.lock(f"assignments:{body.subject}")
    same = [getattr(RoleAssignment, name) == getattr(row, name) for name in ("subject", "role", "zone", "namespace")]
    if tx.scalar(select(RoleAssignment).where(RoleAssignment.state == "requested", *same)) is not None:
        raise Conflict(f"a request of {row.role} for {row.subject} waits for its approval already")
    tx.add(row)
    tx.record(
        RoleRequested(
            about=row.ref, also=(row.subject,), namespace=row.resource.namespace, zone=row.resource.zone,
            subject=row.subject, role=row.role, in_zone=row.zone, in_namespace=row.namespace, days=row.days,
            reason=row.reason, ticket=row.ticket, stands_in_for=row.stands_in_for, policy=str(rules.digest),
        )
    )  # fmt: skip
    return row


def approve(tx: Transaction, name: str, *, because: str, notary: Notary, rules: PolicyBundle) -> RoleAssignment:
    """Give the role that was asked for, from now on until it ends.

    Raises `SeparationOfDuties` for whoever asked for it or would hold it.
    """
    row = queries.identified(tx, RoleAssignment, name, for_update=True)
    tx.require(Action.ROLE_APPROVE, row.resource)
    if row.state != "requested" or row.hours:
        raise Conflict(
            "an emergency is confirmed: khatim access confirm" if row.hours else f"the assignment is {row.state}"
        )
    separate = may_give(tx, row, rules=rules)
    if not separate:
        raise SeparationOfDuties(separate.reason, advice=separate.advice, **separate.as_members())
    # Asked again: the policy may have changed since it was asked for.
    role = Role(row.role)
    allowed = rules.assignments.may_ask(role, row.days, row.ticket, subject=row.subject)
    if not allowed:
        raise AssignmentRefused(allowed.reason, advice=allowed.advice, **allowed.as_members())
    expires_at = rules.assignments.end_of(role, row.days, tx.now)
    terms = terms_of(row, approved_by=tx.actor.ref, approved_at=tx.now, expires_at=expires_at)
    who, subject = notary.person(tx.actor.ref), (row.ref, Digest.of(canonical(terms)))
    statement = notary.attest(tx, row.ref, who, statements.ASSIGNMENT, [subject], terms)
    row.approved_by, row.approved_at, row.expires_at = tx.actor.ref, tx.now, expires_at
    row.state, row.because, row.statement_id = LIVE, because, statement.id
    tx.record(
        RoleApproved(
            about=row.ref, also=(row.subject,), namespace=row.resource.namespace, zone=row.resource.zone,
            subject=row.subject, role=row.role, in_zone=row.zone, in_namespace=row.namespace,
            expires_at=moment(expires_at), because=because, ticket=row.ticket, statement=str(statement.id),
            stands_in_for=row.stands_in_for, policy=str(rules.digest),
        )
    )  # fmt: skip
    return row


def may_give(reader: Reader, row: RoleAssignment, *, rules: PolicyBundle) -> Decision:
    """Decide whether the actor, under whatever account, may give what *row* asks for."""
    who = accounts.naturals(reader)
    return rules.assignments.may_give(
        approver=who(reader.actor.ref), asked_by=who(row.requested_by),
        subject=accounts.subject_of(reader, row.subject), groups=reader.actor.groups,
    )  # fmt: skip


def revoke(tx: Transaction, name: str, *, because: str) -> RoleAssignment:
    """Take a role back, or turn its request down; it counts no more from the next request on."""
    row = queries.identified(tx, RoleAssignment, name, for_update=True)
    tx.require(Action.ROLE_REVOKE, row.resource)
    if row.state in ("revoked", "expired"):
        raise Conflict(f"the assignment is {row.state}")
    return end(tx, row, "revoked", because=because)


def end(tx: Transaction, row: RoleAssignment, state: str, *, because: str) -> RoleAssignment:
    """End an assignment; the calling verb asked the permission."""
    row.state, row.because, row.ended_by, row.ended_at = state, because, tx.actor.ref, tx.now
    tx.record(
        RoleEnded(
            about=row.ref, also=(row.subject,), namespace=row.resource.namespace, zone=row.resource.zone,
            subject=row.subject, role=row.role, state=state, because=because,
        )
    )  # fmt: skip
    return row


def suspend(tx: Transaction, person: str, *, because: str) -> Suspension:
    """Cut a person off from everything: their tokens, sessions and roles open nothing more on any worker."""
    tx.require(Action.PERSON_SUSPEND, Resource("person", person))
    tx.lock(f"suspension:{person}")
    if suspension_of(tx, person) is not None:
        raise Conflict("the person is suspended already")
    row = Suspension(
        id=tx.new_id(), person=person, because=because, suspended_by=tx.actor.ref, suspended_at=tx.now
    )  # fmt: skip
    tx.add(row)
    tx.record(PersonSuspended(about=row.ref, because=because))
    return row


def restore(tx: Transaction, person: str, *, because: str) -> Suspension:
    """Lift a suspension.  Raises `SeparationOfDuties` for one's own, `NotFound` when there is none."""
    tx.require(Action.PERSON_SUSPEND, Resource("person", person))
    row = suspension_of(tx, person)
    if row is None:
        raise NotFound(f"{person} is not suspended")
    if accounts.is_actor(tx, person, row.suspended_by):
        raise SeparationOfDuties(
            "a suspension is lifted by somebody else than who is suspended and who suspended",
            advice="Ask another access administrator.", rule="suspensions/two-people",
        )  # fmt: skip
    row.lifted_by, row.lifted_at, row.lifted_because = tx.actor.ref, tx.now, because
    tx.record(PersonRestored(about=row.ref, because=because))
    return row


def suspension_of(reader: Reader, person: str) -> Suspension | None:
    """Return the suspension that stands against a person; no permission is asked: sign-in must know."""
    found: Suspension | None = reader.scalar(
        select(Suspension).where(Suspension.person == person, Suspension.lifted_at.is_(None))
    )
    return found


def terms_of(row: RoleAssignment, *, approved_by: str, approved_at: datetime, expires_at: datetime) -> dict[str, Any]:
    """Return what the approver of *row* signs; the row must say the same for as long as it is to give anything."""
    return {
        "approver": approved_by,
        "requester": row.requested_by,
        "assignment": str(row.id),
        "subject": row.subject,
        "role": row.role,
        "zone": row.zone,
        "namespace": row.namespace,
        "reason": row.reason,
        "ticket": row.ticket,
        "approvedAt": moment(approved_at),
        "expiresAt": moment(expires_at),
        **({"emergencyHours": row.hours} if row.hours else {}),
        **({"standsInFor": row.stands_in_for} if row.stands_in_for else {}),
    }
