# SPDX-License-Identifier: Apache-2.0
"""Legal holds: what must not be disposed of, whatever its period says."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, DateTime, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from audit.base import Base, Governed, Identifier, Moment
from khatim.vocabulary import Resource

PLACED, RELEASING, RELEASED = "placed", "releasing", "released"


class LegalHold(Base, Governed):
    """One legal hold.  Its scope and reason never change; its release is asked for by one and done by another."""

    __tablename__ = "legal_holds"
    __table_args__ = (
        CheckConstraint(f"state IN ('{PLACED}', '{RELEASING}', '{RELEASED}')", name="state"),
        CheckConstraint("(state = 'placed') = (release_asked_by IS NULL)", name="release_is_asked"),
        CheckConstraint("(state = 'released') = (released_by IS NOT NULL)", name="release_is_done"),
        CheckConstraint("released_by <> release_asked_by", name="two_people"),
        CheckConstraint("since <= until", name="scope_in_order"),
        Index("ix_legal_holds_in_force", "state", postgresql_where=text("state <> 'released'")),
    )

    id: Mapped[Identifier]
    namespace: Mapped[str]
    resource: Mapped[str]
    person: Mapped[str]
    zone: Mapped[str]
    since: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    because: Mapped[str]
    legal_basis: Mapped[str]
    review_due: Mapped[Moment]
    state: Mapped[str]
    placed_by: Mapped[str]
    placed_at: Mapped[Moment]
    release_asked_by: Mapped[str | None]
    release_because: Mapped[str]
    released_by: Mapped[str | None]
    released_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    @property
    def ref(self) -> str:
        """Return the ledger reference."""
        return f"hold:{self.id}"

    @property
    def resource_of(self) -> Resource:
        """Return the hold as access control sees it."""
        return Resource("hold", str(self.id), self.namespace, self.zone)
