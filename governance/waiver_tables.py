# SPDX-License-Identifier: Apache-2.0
"""Waivers: the records that excuse one requirement of one version until a day."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, DateTime, ForeignKey, Index
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Text

from audit.base import Base, Governed, Identifier, Moment
from khatim.vocabulary import Resource


class Waiver(Base, Governed):
    """One waiver.  What is asked for never changes; `state`, who approved, when it ends and its statement do.

    `control` says what protects in place of the requirement; `excuses` are the findings that were open when it was
    approved, `binding` what the version was then.
    """

    __tablename__ = "waivers"
    __table_args__ = (
        CheckConstraint("state IN ('requested', 'approved', 'revoked', 'expired')", name="state"),
        CheckConstraint("approved_by <> requested_by", name="two_people"),
        CheckConstraint("(approved_by IS NULL) = (statement_id IS NULL)", name="approval_is_signed"),
        CheckConstraint("(approved_by IS NULL) = (expires_at IS NULL)", name="approval_ends"),
        CheckConstraint("state <> 'approved' OR approved_by IS NOT NULL", name="approval_is_somebodys"),
        Index("ix_waivers_running", "expires_at", postgresql_where="state = 'approved'"),
    )

    id: Mapped[Identifier]
    about: Mapped[str] = mapped_column(index=True)
    namespace: Mapped[str]
    zone: Mapped[str]
    rule: Mapped[str]
    transition: Mapped[str]
    days: Mapped[int]
    reason: Mapped[str]
    control: Mapped[str]
    requested_by: Mapped[str]
    requested_at: Mapped[Moment]
    state: Mapped[str]
    because: Mapped[str] = mapped_column(default="")
    binding: Mapped[dict[str, Any]] = mapped_column(JSONB, default_factory=dict)
    excuses: Mapped[list[str]] = mapped_column(ARRAY(Text), default_factory=list)
    approved_by: Mapped[str | None] = mapped_column(default=None)
    approved_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), default=None)
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), default=None)
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), default=None)
    statement_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("statements.id"), default=None)

    @property
    def ref(self) -> str:
        """Return the ledger reference."""
        return str(self.resource)

    @property
    def resource(self) -> Resource:
        """Return the resource that access decides about."""
        return Resource("waiver", str(self.id), self.namespace, self.zone)
