# SPDX-License-Identifier: Apache-2.0
"""HTTP routes of access: roles on record, people who are cut off, and why something is allowed or not."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from audit.http import Read, SealedRoute, Tx
from governance import assignments, emergencies, explaining, queries, reviews
from governance.access_tables import AccessReview, RoleAssignment, Suspension
from khatim.vocabulary import Action, Role
from khatim.wire import access as wire
from khatim.wire import answers, requests
from registry import accounts, sessions
from registry.account_tables import AccountLink
from registry.routes import Pen, Rules

router = APIRouter(prefix="/v1", tags=["access"], route_class=SealedRoute)


@router.get("/access/roles")
def list_roles(reader: Read, cursor: str = "", limit: int = 50) -> answers.Page[wire.RoleAssignment]:
    """List the roles on record, the newest first, whatever their state."""
    rows, following = queries.page_of(reader, RoleAssignment, cursor=cursor, limit=limit)
    return answers.Page(items=[wire.RoleAssignment.model_validate(row) for row in rows], next=following)


@router.post("/access/roles", status_code=201)
def request_role(tx: Tx, rules: Rules, body: wire.RoleRequest) -> wire.RoleAssignment:
    """Ask that a person or group hold a role for a time; somebody else gives it."""
    return wire.RoleAssignment.model_validate(assignments.request(tx, body, rules=rules))


@router.post("/access/roles/{name}/approval")
def approve_role(tx: Tx, rules: Rules, pen: Pen, name: str, body: requests.Reason) -> wire.RoleAssignment:
    """Give a role that somebody else asked for, to somebody else than yourself."""
    row = assignments.approve(tx, name, because=body.because, notary=pen, rules=rules)
    return wire.RoleAssignment.model_validate(row)


@router.post("/access/roles/{name}/revocation")
def revoke_role(tx: Tx, name: str, body: requests.Reason) -> wire.RoleAssignment:
    """Take a role back, or turn its request down."""
    return wire.RoleAssignment.model_validate(assignments.revoke(tx, name, because=body.because))


@router.post("/access/emergencies", status_code=201)
def break_glass(tx: Tx, rules: Rules, body: wire.EmergencyRequest) -> wire.RoleAssignment:
    """Ask for a role for yourself at once, for some hours; a second person confirms."""
    return wire.RoleAssignment.model_validate(emergencies.request(tx, body, rules=rules))


@router.post("/access/emergencies/{name}/confirmation")
def confirm_emergency(tx: Tx, rules: Rules, pen: Pen, name: str, body: requests.Reason) -> wire.RoleAssignment:
    """Break the glass as the second person; a review of it is due."""
    row = emergencies.confirm(tx, name, because=body.because, notary=pen, rules=rules)
    return wire.RoleAssignment.model_validate(row)


@router.get("/access/links")
def list_links(reader: Read, cursor: str = "", limit: int = 50) -> answers.Page[wire.AccountLink]:
    """List accounts that are one person's, the newest link first, whatever its state."""
    rows, following = queries.page_of(reader, AccountLink, cursor=cursor, limit=limit)
    return answers.Page(items=[wire.AccountLink.model_validate(row) for row in rows], next=following)


@router.post("/access/links", status_code=201)
def request_link(tx: Tx, body: wire.LinkRequest) -> wire.AccountLink:
    """Ask that two accounts count as one person's; somebody else approves."""
    return wire.AccountLink.model_validate(accounts.request(tx, **body.model_dump()))


@router.post("/access/links/{name}/approval")
def approve_link(tx: Tx, name: str, body: requests.Reason) -> wire.AccountLink:
    """Let two accounts count as one person's from the next decision on."""
    return wire.AccountLink.model_validate(accounts.approve(tx, name, because=body.because))


@router.post("/access/links/{name}/release")
def release_link(tx: Tx, name: str, body: requests.Reason) -> wire.AccountLink:
    """Ask that two accounts count as two people again or, as a second person, let them."""
    return wire.AccountLink.model_validate(accounts.release(tx, name, because=body.because))


@router.get("/access/suspensions")
def list_suspensions(reader: Read, cursor: str = "", limit: int = 50) -> answers.Page[wire.Suspension]:
    """List who was cut off, the newest first, those who came back included."""
    rows, following = queries.page_of(reader, Suspension, cursor=cursor, limit=limit)
    return answers.Page(items=[wire.Suspension.model_validate(row) for row in rows], next=following)


@router.post("/people/{ref}/suspension", status_code=201)
def suspend(tx: Tx, ref: str, body: requests.Reason) -> wire.Suspension:
    """Cut a person off from everything, on every worker within seconds."""
    return wire.Suspension.model_validate(assignments.suspend(tx, ref, because=body.because))


@router.post("/people/{ref}/sign-out")
def sign_out(tx: Tx, ref: str, body: requests.Reason) -> wire.SessionsEnded:
    """End every session of a person, who may sign in again: a browser was lost."""
    return wire.SessionsEnded(person=ref, sessions=sessions.end_all(tx, ref, because=body.because))


@router.post("/people/{ref}/restoration")
def restore(tx: Tx, ref: str, body: requests.Reason) -> wire.Suspension:
    """Let a person back in whom somebody else cut off."""
    return wire.Suspension.model_validate(assignments.restore(tx, ref, because=body.because))


@router.get("/access/reviews")
def list_reviews(reader: Read, cursor: str = "", limit: int = 50) -> answers.Page[wire.Review]:
    """List the access reviews, the newest first."""
    rows, following = queries.page_of(reader, AccessReview, cursor=cursor, limit=limit)
    return answers.Page(items=[wire.Review.model_validate(row) for row in rows], next=following)


@router.post("/access/reviews", status_code=201)
def open_review(tx: Tx, rules: Rules, body: wire.OpenReview) -> wire.ReviewWithItems:
    """Ask of every role on record in a scope whether it is still needed; what nobody answers for is taken back."""
    return _told(reviews.open_(tx, body, rules=rules))


@router.get("/access/reviews/{name}")
def review(reader: Read, name: str) -> wire.ReviewWithItems:
    """Show a review: what was answered by whom, and what became of each role."""
    return _told(reviews.one(reader, name))


@router.post("/access/reviews/{name}/decisions")
def decide(tx: Tx, rules: Rules, name: str, body: wire.ReviewDecision) -> wire.ReviewWithItems:
    """Answer for one role on record: keep it, or take it back at once."""
    return _told(reviews.decide(tx, name, body, rules=rules))


def _told(found: reviews.Reviewed) -> wire.ReviewWithItems:
    items = [
        wire.ReviewItem(
            decision=item.decision, because=item.because, decided_by=item.decided_by, decided_at=item.decided_at,
            assignment=wire.RoleAssignment.model_validate(row),
        )
        for item, row in found.items
    ]  # fmt: skip
    told = wire.Review.model_validate(found.review)
    return wire.ReviewWithItems(**told.model_dump(), items=items)


@router.get("/access/explanation")
def explanation(  # noqa: PLR0913, PLR0917 - a question: who, what, to what, under which circumstances
    reader: Read,
    rules: Rules,
    action: Action,
    resource: str,
    person: str = "",
    role: Annotated[list[Role] | None, Query()] = None,
    group: Annotated[list[str] | None, Query()] = None,
    zone: str = "",
    tag: Annotated[list[str] | None, Query()] = None,
    stage: str = "",
    alias: str = "",
    strength: Annotated[int | None, Query(ge=1, le=3)] = None,
) -> wire.Explanation:
    """Explain whether a person (without one: you) may do *action*: the row of the policy, and every role that counts.

    What a sign-in brings is known when somebody signs in: name it with *role* and *group*.
    """
    what = explaining.resource_of(resource, zone, tags=tag or (), stage=stage, alias=alias)
    who = explaining.person(person, role or (), group or (), strength) if person else None
    found = explaining.explain(reader, who, action, what, rules=rules)
    decision = found.decision
    return wire.Explanation(
        allowed=decision.allowed,
        rule=decision.rule,
        reason=decision.reason,
        advice=decision.advice,
        policy=decision.policy,
        roles=list(found.roles),
        on_record=[wire.RoleAssignment.model_validate(row) for row in found.on_record],
        suspended=found.suspended,
    )
