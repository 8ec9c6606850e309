# SPDX-License-Identifier: Apache-2.0
"""Transfer authorisations: the records that open what the transfer matrix closes (compliance.md 2.5)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, DateTime, Index
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Text

from audit.base import Base, Governed, Identifier, Moment
from khatim.vocabulary import Resource


class Transfer(Base, Governed):
    """One authorisation to move data of some tags from zone to zone, for one purpose, on one mechanism.

    Its terms never change; `state`, who approved and when it was taken back do.  `details` holds what the mechanism
    asks for besides (contract, assessments, consents).
    """

    __tablename__ = "transfer_authorisations"
    __table_args__ = (
        CheckConstraint("state IN ('requested', 'approved', 'revoked')", name="state"),
        CheckConstraint("valid_from < valid_to", name="validity"),
        CheckConstraint("(state = 'revoked') = (revoked_at IS NOT NULL)", name="revocation"),
        Index("ix_transfer_authorisations_way", "to_zone", "from_zone", postgresql_where="state = 'approved'"),
    )

    id: Mapped[Identifier]
    namespace: Mapped[str]
    from_zone: Mapped[str]
    to_zone: Mapped[str]
    mechanism: Mapped[str]
    evidence_digest: Mapped[str]
    purpose: Mapped[str]
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text))
    scope: Mapped[list[str]] = mapped_column(ARRAY(Text))
    from_regimes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    to_location: Mapped[str]
    valid_from: Mapped[Moment]
    valid_to: Mapped[Moment]
    review_due: Mapped[Moment]
    details: Mapped[dict[str, Any]] = mapped_column(JSONB)
    requested_by: Mapped[str]
    requested_at: Mapped[Moment]
    state: Mapped[str]
    because: Mapped[str]
    approvals: Mapped[list[str]] = mapped_column(ARRAY(Text))
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), default=None)

    @property
    def ref(self) -> str:
        """Return the ledger reference."""
        return str(self.resource)

    @property
    def resource(self) -> Resource:
        """Return the resource that access decides about."""
        return Resource("transfer", str(self.id), self.namespace, self.from_zone, frozenset(self.tags))
