# SPDX-License-Identifier: Apache-2.0
"""Access reviews: every role on record in a scope is answered for by a day, or taken back.

A review ends by itself: with its last answer, or on its due date, when what nobody answered for is revoked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select

from audit.events import moment
from audit.transaction import Reader, Transaction
from governance import assignments, queries
from governance.access_events import ReviewClosed, ReviewDecided, ReviewOpened
from governance.access_tables import LIVE, AccessReview, ReviewItem, RoleAssignment
from khatim.errors import AssignmentRefused, Conflict, NotFound, SeparationOfDuties
from khatim.vocabulary import Action, Resource
from khatim.wire import access as wire
from policies.loading import PolicyBundle
from registry import accounts


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A review with its items, each beside the assignment as it stands now."""

    review: AccessReview
    items: Sequence[tuple[ReviewItem, RoleAssignment]]


def open_(tx: Transaction, body: wire.OpenReview, *, rules: PolicyBundle) -> Reviewed:
    """Ask of every live role on record in the scope whether it is still needed.

    Raises `AssignmentRefused` for a due date later than the policy allows, and `NotFound` for a scope without roles.
    """
    tx.require(Action.REVIEW_OPEN, Resource("review", "new"))
    limit = rules.assignments.review_days
    if body.days > limit:
        raise AssignmentRefused(
            f"a review is due within {limit} days, not {body.days}", advice=rules.assignments.advice,
            rule="reviews/term", legal_basis=rules.assignments.basis,
        )  # fmt: skip
    query = select(RoleAssignment).where(RoleAssignment.state == LIVE, RoleAssignment.expires_at > tx.now)
    if body.role is not None:
        query = query.where(RoleAssignment.role == body.role.value)
    if body.namespace:
        query = query.where(RoleAssignment.namespace == body.namespace)
    live: list[RoleAssignment] = list(tx.scalars(query.order_by(RoleAssignment.id)))
    if not live:
        raise NotFound("no role on record is live in this scope", advice="See all of them: khatim access list.")
    review = AccessReview(
        id=tx.new_id(),
        role=body.role.value if body.role else "",
        namespace=body.namespace,
        because=body.because,
        due_at=tx.now + timedelta(days=body.days),
        opened_by=tx.actor.ref,
        opened_at=tx.now,
        state="open",
    )
    tx.add(review)
    items = [(ReviewItem(id=tx.new_id(), review_id=review.id, assignment_id=one.id), one) for one in live]
    for item, _ in items:
        tx.add(item)
    tx.record(
        ReviewOpened(
            about=review.ref, also=tuple(one.ref for one in live), role=review.role, in_namespace=review.namespace,
            items=len(items), due_at=moment(review.due_at), because=review.because,
        )
    )  # fmt: skip
    return Reviewed(review, items)


def decide(tx: Transaction, name: str, body: wire.ReviewDecision, *, rules: PolicyBundle) -> Reviewed:
    """Answer for one role on record: keep it, or take it back at once.

    Raises `SeparationOfDuties` for one's own role, and for keeping what one gave oneself.
    """
    review = queries.identified(tx, AccessReview, name, for_update=True)
    tx.require(Action.REVIEW_DECIDE, review.resource)
    if review.state != "open":
        raise Conflict("the review is closed")
    pairs = _items_of(tx, review)
    found = next((pair for pair in pairs if pair[1].id == body.assignment), None)
    if found is None:
        raise NotFound(f"the review has no assignment {body.assignment}")
    item, row = found
    if item.decision:
        raise Conflict(f"it was answered already: {item.decision}")
    who = accounts.naturals(tx)
    separate = rules.assignments.may_review(
        reviewer=who(tx.actor.ref), subject=accounts.subject_of(tx, row.subject), approver=who(row.approved_by or ""),
        groups=tx.actor.groups, is_kept=body.decision == "keep",
    )  # fmt: skip
    if not separate:
        raise SeparationOfDuties(separate.reason, advice=separate.advice, **separate.as_members())
    if not _is_live(row, tx):
        raise Conflict(f"the assignment is {row.state} already", advice="The review counts it as ended when it closes.")
    _answer(tx, item, row, body.decision, body.because)
    if all(one.decision or not _is_live(its, tx) for one, its in pairs):
        close(tx, review, pairs)
    return Reviewed(review, pairs)


def close(tx: Transaction, review: AccessReview, pairs: Sequence[tuple[ReviewItem, RoleAssignment]]) -> None:
    """End a review; the calling verb asked the permission.  What nobody answered for is taken back."""
    for item, row in pairs:
        if item.decision:
            continue
        if _is_live(row, tx):
            _answer(tx, item, row, "lapsed", f"nobody answered for it until {moment(review.due_at)}")
        else:
            item.decision, item.decided_at = "ended", tx.now
    count = Counter(item.decision for item, _ in pairs)
    review.state, review.closed_at = "closed", tx.now
    tx.record(
        ReviewClosed(
            about=review.ref, kept=count["keep"], revoked=count["revoke"], lapsed=count["lapsed"], ended=count["ended"]
        )
    )


def overdue(tx: Transaction, at_once: int) -> int:
    """Close the reviews whose due date is over; the sweep asked the permission.  Return how many."""
    query = select(AccessReview).where(AccessReview.state == "open", AccessReview.due_at <= tx.now)
    over: list[AccessReview] = list(tx.scalars(query.order_by(AccessReview.id).limit(at_once).with_for_update()))
    for review in over:
        close(tx, review, _items_of(tx, review))
    return len(over)


def one(reader: Reader, name: str) -> Reviewed:
    """Return a review with its items, as they stand now."""
    review = queries.identified(reader, AccessReview, name)
    return Reviewed(review, _items_of(reader, review))


def _answer(tx: Transaction, item: ReviewItem, row: RoleAssignment, decision: str, because: str) -> None:
    item.decision, item.because, item.decided_by, item.decided_at = decision, because, tx.actor.ref, tx.now
    tx.record(
        ReviewDecided(
            about=item.ref, also=(row.ref, row.subject), review=item.ref, assignment=row.ref, subject=row.subject,
            role=row.role, decision=decision, because=because,
        )
    )  # fmt: skip
    if decision != "keep":
        assignments.end(tx, row, "revoked", because=because)


def _items_of(reader: Reader, review: AccessReview) -> list[tuple[ReviewItem, RoleAssignment]]:
    query = select(ReviewItem, RoleAssignment).join(RoleAssignment, RoleAssignment.id == ReviewItem.assignment_id)
    rows = reader.rows(query.where(ReviewItem.review_id == review.id).order_by(ReviewItem.id))
    return [(item, row) for item, row in rows]


def _is_live(row: RoleAssignment, reader: Reader) -> bool:
    return row.state == LIVE and row.expires_at is not None and row.expires_at > reader.now
