# SPDX-License-Identifier: Apache-2.0
"""What was revoked, and what was lifted again: rows that are only ever added."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from audit.base import Base, Governed, Identifier, Moment
from khatim.vocabulary import Revoked


class RevocationRow(Base, Governed):
    """One revocation, or the lifting of one.  Never changes: the database refuses it.

    `number` counts every row by one, so that a list without a gap is a complete one.  `since` is the cut-off, None from
    the beginning.  A row that lifts names in `lifts` the number of the one that it ends.
    """

    __tablename__ = "revocations"
    __table_args__ = (
        UniqueConstraint("number"),
        UniqueConstraint("lifts"),
        CheckConstraint(f"kind IN ({', '.join(repr(one.value) for one in Revoked)})", name="kind"),
        CheckConstraint("number > 0 AND (lifts IS NULL OR lifts < number)", name="number"),
        CheckConstraint("since <= recorded_at", name="since"),
    )

    id: Mapped[Identifier]
    number: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str]
    target: Mapped[str]
    about: Mapped[str]
    since: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    because: Mapped[str]
    lifts: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("revocations.number"))
    recorded_by: Mapped[str]
    recorded_at: Mapped[Moment]

    @property
    def ref(self) -> str:
        """Return the ledger reference."""
        return ref_of(self.id)

    @property
    def as_row(self) -> dict[str, Any]:
        """Return the row as the signed list has it."""
        return {
            "number": self.number,
            "kind": self.kind,
            "target": self.target,
            "since": self.since,
            "because": self.because,
            "by": self.recorded_by,
            "at": self.recorded_at,
            "lifts": self.lifts,
        }


def ref_of(name: uuid.UUID) -> str:
    """Return the ledger reference of the revocation of that id."""
    return f"revocation:{name}"
