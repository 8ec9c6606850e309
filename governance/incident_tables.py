# SPDX-License-Identifier: Apache-2.0
"""Incidents and what must be done about them."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Identity, Index
from sqlalchemy.orm import Mapped, mapped_column

from audit.base import Base, Governed, Identifier, Json, Moment
from khatim.vocabulary import Resource


class Incident(Base, Governed):
    """Something that happened, and its duties as the policy of the day had them.  Never deleted.

    Of a duty (`id`, `title`, `basis`, `certainty`, `dueAt`, `warnAt`) what was done about it changes (`doneBy`,
    `doneAt`, `said`), and when it was told that it is late (`warnedAt`, `overdueAt`); `aware_at` never does.
    """

    __tablename__ = "incidents"
    __table_args__ = (
        CheckConstraint("state IN ('open', 'closed')", name="state"),
        CheckConstraint("closed_by <> opened_by", name="two_people"),
        Index("ix_incidents_open", "id", postgresql_where="state = 'open'"),
    )

    id: Mapped[Identifier]
    number: Mapped[int] = mapped_column(BigInteger, Identity(always=True), init=False, unique=True)
    kind: Mapped[str]
    about: Mapped[str] = mapped_column(index=True)
    namespace: Mapped[str]
    zone: Mapped[str]
    severity: Mapped[str]
    summary: Mapped[str]
    duties: Mapped[list[Json]]
    aware_at: Mapped[Moment]
    state: Mapped[str]
    opened_by: Mapped[str]
    opened_at: Mapped[Moment]
    owner: Mapped[str]
    policy: Mapped[str]
    finding_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("findings.id"), default=None)
    closed_by: Mapped[str | None] = mapped_column(default=None)
    closed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), default=None)
    closed_because: Mapped[str] = mapped_column(default="")

    @property
    def ref(self) -> str:
        """Return the ledger reference."""
        return f"incident:{self.id}"

    @property
    def resource(self) -> Resource:
        """Return the resource that access decides about."""
        return Resource("incident", str(self.id), self.namespace, self.zone)
