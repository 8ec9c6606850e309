# SPDX-License-Identifier: Apache-2.0
"""What was asked and decided about erasing a person.  No personal data: the reference is opaque and stays."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, DateTime, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from audit.base import Base, Governed, Identifier, Moment
from khatim.vocabulary import Resource

REQUESTED, DONE = "requested", "done"


class Erasure(Base, Governed):
    """One erasure of one person: asked for by somebody, done when somebody else approves.  Done is for good."""

    __tablename__ = "erasures"
    __table_args__ = (
        CheckConstraint(f"state IN ('{REQUESTED}', '{DONE}')", name="state"),
        CheckConstraint("(state = 'done') = (approved_by IS NOT NULL AND approved_at IS NOT NULL)", name="done"),
        CheckConstraint("approved_by <> requested_by", name="two_people"),
        Index("uq_erasures_open", "person", unique=True, postgresql_where=text(f"state = '{REQUESTED}'")),
        Index("ix_erasures_person", "person"),
    )

    id: Mapped[Identifier]
    person: Mapped[str]
    state: Mapped[str]
    legal_basis: Mapped[str]
    because: Mapped[str]
    requested_by: Mapped[str]
    requested_at: Mapped[Moment]
    approved_by: Mapped[str | None]
    approved_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    @property
    def ref(self) -> str:
        """Return the ledger reference."""
        return f"erasure:{self.id}"

    @property
    def resource(self) -> Resource:
        """Return the erasure as access control sees it."""
        return Resource("erasure", str(self.id))
