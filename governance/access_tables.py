# SPDX-License-Identifier: Apache-2.0
"""Roles on record, and who is cut off."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, DateTime, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from audit.base import Base, Governed, Identifier, Moment
from khatim.vocabulary import Resource

LIVE = "approved"


class RoleAssignment(Base, Governed):
    """One role of one person (``person:REF``) or group (``group:NAME``) in some zones and namespaces until a day.

    One with `hours` is an emergency (break-glass).  What is asked for never changes; `state`, who approved, when it
    ends and its statement do.
    """

    __tablename__ = "role_assignments"
    __table_args__ = (
        CheckConstraint("state IN ('requested', 'approved', 'revoked', 'expired')", name="state"),
        CheckConstraint("approved_by <> requested_by", name="two_people"),
        CheckConstraint("subject <> 'person:' || approved_by", name="not_to_oneself"),
        CheckConstraint("(approved_by IS NULL) = (statement_id IS NULL)", name="approval_is_signed"),
        CheckConstraint("(approved_by IS NULL) = (expires_at IS NULL)", name="approval_ends"),
        CheckConstraint("state <> 'approved' OR approved_by IS NOT NULL", name="approval_is_somebodys"),
        Index("ix_role_assignments_live", "subject", postgresql_where="state = 'approved'"),
    )

    id: Mapped[Identifier]
    subject: Mapped[str]
    role: Mapped[str]
    zone: Mapped[str]
    namespace: Mapped[str]
    days: Mapped[int]
    hours: Mapped[int]
    reason: Mapped[str]
    ticket: Mapped[str]
    stands_in_for: Mapped[str] = mapped_column(default="", kw_only=True)
    requested_by: Mapped[str]
    requested_at: Mapped[Moment]
    state: Mapped[str]
    because: Mapped[str] = mapped_column(default="")
    approved_by: Mapped[str | None] = mapped_column(default=None)
    approved_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), default=None)
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), default=None)
    ended_by: Mapped[str | None] = mapped_column(default=None)
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), default=None)
    statement_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("statements.id"), default=None)

    @property
    def ref(self) -> str:
        """Return the ledger reference."""
        return str(self.resource)

    @property
    def resource(self) -> Resource:
        """Return the resource that access decides about; only who may act everywhere decides about a pattern."""
        namespace = "" if self.namespace.endswith("*") else self.namespace
        return Resource("assignment", str(self.id), namespace, "" if self.zone.endswith("*") else self.zone)


class Suspension(Base, Governed):
    """One person cut off from everything, whatever their sign-in brings, until somebody lifts it."""

    __tablename__ = "suspensions"
    __table_args__ = (
        CheckConstraint("(lifted_by IS NULL) = (lifted_at IS NULL)", name="lifting_is_somebodys"),
        CheckConstraint("lifted_by <> person", name="not_by_oneself"),
        Index("ix_suspensions_running", "person", unique=True, postgresql_where="lifted_at IS NULL"),
    )

    id: Mapped[Identifier]
    person: Mapped[str]
    because: Mapped[str]
    suspended_by: Mapped[str]
    suspended_at: Mapped[Moment]
    lifted_because: Mapped[str] = mapped_column(default="")
    lifted_by: Mapped[str | None] = mapped_column(default=None)
    lifted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), default=None)

    @property
    def ref(self) -> str:
        """Return the ledger reference: the person's."""
        return str(self.resource)

    @property
    def resource(self) -> Resource:
        """Return the resource that access decides about."""
        return Resource("person", self.person)


class AccessReview(Base, Governed):
    """One campaign: every role on record that was live in its scope when it was opened, and by when it is answered for.

    `role` and `namespace` bound the scope where they are given; the namespace is a pattern of assignments, not a place.
    """

    __tablename__ = "access_reviews"
    __table_args__ = (
        CheckConstraint("state IN ('open', 'closed')", name="state"),
        CheckConstraint("(state = 'closed') = (closed_at IS NOT NULL)", name="closed_at_some_time"),
    )

    id: Mapped[Identifier]
    role: Mapped[str]
    namespace: Mapped[str]
    because: Mapped[str]
    due_at: Mapped[Moment]
    opened_by: Mapped[str]
    opened_at: Mapped[Moment]
    state: Mapped[str]
    closed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), default=None)

    @property
    def ref(self) -> str:
        """Return the ledger reference."""
        return str(self.resource)

    @property
    def resource(self) -> Resource:
        """Return the resource that access decides about."""
        return Resource("review", str(self.id))


class ReviewItem(Base, Governed):
    """One role on record in a review: ``keep``, ``revoke``, ``lapsed`` (nobody answered), ``ended`` (by itself)."""

    __tablename__ = "access_review_items"
    __table_args__ = (
        CheckConstraint("decision IN ('', 'keep', 'revoke', 'lapsed', 'ended')", name="decision"),
        CheckConstraint("(decision = '') = (decided_at IS NULL)", name="decided_at_some_time"),
        UniqueConstraint("review_id", "assignment_id", name="uq_access_review_items_once"),
    )

    id: Mapped[Identifier]
    review_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("access_reviews.id"))
    assignment_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("role_assignments.id"))
    decision: Mapped[str] = mapped_column(default="")
    because: Mapped[str] = mapped_column(default="")
    decided_by: Mapped[str | None] = mapped_column(default=None)
    decided_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), default=None)

    @property
    def ref(self) -> str:
        """Return the ledger reference: the review's, whose events speak about its items."""
        return f"review:{self.review_id}"
