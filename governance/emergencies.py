# SPDX-License-Identifier: Apache-2.0
"""Break-glass: a role at once, for hours, by two people; everybody hears of it, and somebody else must review it.

It opens what access closes, nothing else: gates, separation of duties and residency hold as ever.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from sqlalchemy import select

from audit.canonical import canonical
from audit.events import moment
from audit.transaction import Transaction
from governance import assignments, findings, queries
from governance.access_events import EmergencyConfirmed, EmergencyRequested
from governance.access_tables import LIVE, RoleAssignment
from khatim.errors import AssignmentRefused, Conflict, SeparationOfDuties
from khatim.vocabulary import Action, Digest, Role, Severity
from khatim.wire import access as wire
from policies.assignments import PERSON
from policies.loading import PolicyBundle
from policies.runtime import Reaction
from registry.notary import Notary
from registry.signing import statements

KIND: Final = "break-glass"
RULE: Final = "break-glass/review"


def request(tx: Transaction, body: wire.EmergencyRequest, *, rules: PolicyBundle) -> RoleAssignment:
    """Ask for a role for oneself, now, for some hours.  Raises `AssignmentRefused` for one that no glass guards."""
    row = RoleAssignment(
        id=tx.new_id(), subject=PERSON + tx.actor.ref, role=body.role.value, zone=body.zone, namespace=body.namespace,
        days=0, hours=body.hours, reason=body.because, ticket=body.ticket, requested_by=tx.actor.ref,
        requested_at=tx.now, state="requested",
    )  # fmt: skip
    tx.require(Action.ROLE_BREAK_GLASS, row.resource)
    decision = rules.assignments.may_break_glass(body.role, body.hours)
    if not decision:
        raise AssignmentRefused(decision.reason, advice=decision.advice, **decision.as_members())
    tx.lock(f"assignments:{row.subject}")
    running = select(RoleAssignment).where(
        RoleAssignment.subject == row.subject, RoleAssignment.hours > 0, RoleAssignment.role == row.role
    )
    for one in tx.scalars(running.where(RoleAssignment.state.in_(["requested", LIVE]))):
        if one.state == "requested" or (one.expires_at is not None and tx.now < one.expires_at):
            raise Conflict(f"you asked for {row.role} already: {one.ref} is {one.state}")
    tx.add(row)
    tx.record(
        EmergencyRequested(
            about=row.ref, also=(row.subject,), namespace=row.resource.namespace, zone=row.resource.zone, role=row.role,
            in_zone=row.zone, in_namespace=row.namespace, hours=row.hours, reason=row.reason, ticket=row.ticket,
            policy=str(rules.digest),
        )
    )  # fmt: skip
    return row


def confirm(tx: Transaction, name: str, *, because: str, notary: Notary, rules: PolicyBundle) -> RoleAssignment:
    """Break the glass as the second person: the role is held from now on, and a review of it is due.

    Raises `SeparationOfDuties` for whoever asked.
    """
    row = queries.identified(tx, RoleAssignment, name, for_update=True)
    tx.require(Action.ROLE_CONFIRM_EMERGENCY, row.resource)
    if not row.hours or row.state != "requested":
        raise Conflict(f"the assignment is {row.state}" if row.hours else "that is no emergency: khatim access approve")
    separate = assignments.may_give(tx, row, rules=rules)
    if not separate:
        raise SeparationOfDuties(separate.reason, advice=separate.advice, **separate.as_members())
    allowed = rules.assignments.may_break_glass(Role(row.role), row.hours)
    if not allowed:
        raise AssignmentRefused(allowed.reason, advice=allowed.advice, **allowed.as_members())
    expires_at = tx.now + timedelta(hours=row.hours)
    terms = assignments.terms_of(row, approved_by=tx.actor.ref, approved_at=tx.now, expires_at=expires_at)
    who, subject = notary.person(tx.actor.ref), (row.ref, Digest.of(canonical(terms)))
    statement = notary.attest(tx, row.ref, who, statements.ASSIGNMENT, [subject], terms)
    row.approved_by, row.approved_at, row.expires_at = tx.actor.ref, tx.now, expires_at
    row.state, row.because, row.statement_id = LIVE, because, statement.id
    with tx.whole():  # the review may belong to no namespace, and is due all the same
        review = findings.open_(
            tx,
            about=row.resource,
            kind=KIND,
            severity=Severity.HIGH,
            summary=f"{row.role} was taken for {row.hours} hours by breaking the glass",
            details={
                "assignment": str(row.id), "people": [row.requested_by, tx.actor.ref], "runs_until": moment(expires_at),
                "role": row.role,
            },
            consequence=Reaction.WARN,
            rule=RULE,
            rules=rules.findings,
            owner=tx.actor.ref,
            due_at=expires_at + timedelta(days=rules.assignments.break_glass.review_days),
        )  # fmt: skip
    tx.record(
        EmergencyConfirmed(
            about=row.ref, also=(row.subject,), namespace=row.resource.namespace, zone=row.resource.zone,
            subject=row.subject, role=row.role, in_zone=row.zone, in_namespace=row.namespace,
            expires_at=moment(expires_at), because=because, ticket=row.ticket, statement=str(statement.id),
            review=review.ref, policy=str(rules.digest),
        )
    )  # fmt: skip
    return row
