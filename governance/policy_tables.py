# SPDX-License-Identifier: Apache-2.0
"""Policy changes: what is laid over the shipped rules, proposed by one person and activated by another."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, DateTime, ForeignKey, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from audit.base import Base, Governed, Identifier, Moment
from khatim.vocabulary import Resource

ACTIVE, REQUESTED = "active", "requested"


class PolicyChange(Base, Governed):
    """One overlay as a whole: texts by file name, and the digest of the bundle that they make.

    What is proposed never changes; `state`, who decided and the statement do.  At most one is active.
    """

    __tablename__ = "policy_changes"
    __table_args__ = (
        CheckConstraint("state IN ('requested', 'active', 'superseded', 'withdrawn')", name="state"),
        CheckConstraint("approved_by <> requested_by", name="two_people"),
        CheckConstraint("(approved_by IS NULL) = (statement_id IS NULL)", name="approval_is_signed"),
        CheckConstraint(
            "state NOT IN ('active', 'superseded') OR approved_by IS NOT NULL", name="approval_is_somebodys"
        ),
        Index("ix_policy_changes_active", "state", unique=True, postgresql_where="state = 'active'"),
    )

    id: Mapped[Identifier]
    files: Mapped[dict[str, str]] = mapped_column(JSONB)
    digest: Mapped[str]
    base: Mapped[str]
    reason: Mapped[str]
    ticket: Mapped[str]
    requested_by: Mapped[str]
    requested_at: Mapped[Moment]
    state: Mapped[str]
    because: Mapped[str] = mapped_column(default="")
    approved_by: Mapped[str | None] = mapped_column(default=None)
    approved_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), default=None)
    ended_by: Mapped[str | None] = mapped_column(default=None)
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), default=None)
    statement_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("statements.id"), default=None)

    @property
    def ref(self) -> str:
        """Return the ledger reference."""
        return str(self.resource)

    @property
    def resource(self) -> Resource:
        """Return the resource that access decides about."""
        return Resource("policy-change", str(self.id))


class PolicyLoad(Base):
    """The rules that workers applied from a moment on, each beside an event; `change` is empty for configured ones."""

    __tablename__ = "policy_loads"

    id: Mapped[Identifier]
    digest: Mapped[str]
    change: Mapped[str]
    loaded_at: Mapped[Moment]
