# SPDX-License-Identifier: Apache-2.0
"""Which accounts belong to one natural person."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import CheckConstraint, DateTime, Index
from sqlalchemy.orm import Mapped, mapped_column

from audit.base import Base, Governed, Identifier, Moment
from khatim.vocabulary import Resource

REQUESTED: Final = "requested"
LINKED: Final = "linked"
RELEASING: Final = "releasing"
RELEASED: Final = "released"
IN_FORCE: Final = (LINKED, RELEASING)


class AccountLink(Base, Governed):
    """Two references that one natural person acts under.  `state` and who changed it change, the two never do.

    It counts from its approval until its release, each by two people.
    """

    __tablename__ = "account_links"
    __table_args__ = (
        CheckConstraint("state IN ('requested', 'linked', 'releasing', 'released')", name="state"),
        CheckConstraint("account <> person", name="two_accounts"),
        CheckConstraint("approved_by <> requested_by", name="two_people"),
        CheckConstraint("released_by <> release_asked_by", name="two_people_release"),
        Index("ix_account_links_in_force", "account", "person", postgresql_where="state <> 'released'", unique=True),
    )

    id: Mapped[Identifier]
    account: Mapped[str]
    person: Mapped[str]
    because: Mapped[str]
    state: Mapped[str]
    requested_by: Mapped[str]
    requested_at: Mapped[Moment]
    approved_by: Mapped[str | None] = mapped_column(default=None)
    approved_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), default=None)
    release_asked_by: Mapped[str | None] = mapped_column(default=None)
    release_because: Mapped[str] = mapped_column(default="")
    released_by: Mapped[str | None] = mapped_column(default=None)
    released_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), default=None)

    @property
    def ref(self) -> str:
        """Return the ledger reference."""
        return str(self.resource)

    @property
    def resource(self) -> Resource:
        """Return the resource that access decides about."""
        return Resource("account-link", str(self.id))
