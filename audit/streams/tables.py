# SPDX-License-Identifier: Apache-2.0
"""Where the ledger goes, as data: sinks, which people govern, and how far each has come, which its sender writes."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from audit.base import Base, Governed, Identifier, Long, Moment
from khatim.vocabulary import Resource

ACTIVE, PAUSED, REMOVED = "active", "paused", "removed"


class Sink(Base, Governed):
    """One receiver of the ledger, in a zone.  Only `state` and `because` change: another address is another sink."""

    __tablename__ = "sinks"
    __table_args__ = (
        CheckConstraint(f"state IN ('{ACTIVE}', '{PAUSED}', '{REMOVED}')", name="state"),
        CheckConstraint("format IN ('syslog', 'cef', 'ocsf', 'ecs')", name="format"),
        CheckConstraint("transport IN ('syslog', 'https', 'file')", name="transport"),
        Index("uq_sinks_name", "name", unique=True, postgresql_where=text(f"state <> '{REMOVED}'")),
    )

    id: Mapped[Identifier]
    name: Mapped[str]
    zone: Mapped[str]
    format: Mapped[str]
    transport: Mapped[str]
    target: Mapped[dict[str, Any]] = mapped_column(JSONB)
    start: Mapped[Long]
    state: Mapped[str]
    because: Mapped[str]
    added_by: Mapped[str]
    added_at: Mapped[Moment]

    @property
    def ref(self) -> str:
        """Return the ledger reference."""
        return f"sink:{self.id}"

    @property
    def resource(self) -> Resource:
        """Return the sink as access control sees it."""
        return Resource("sink", str(self.id), zone=self.zone)


class Delivery(Base):
    """How far a sink has come: every index below *following* was acknowledged.  Operational, written by the sender."""

    __tablename__ = "sink_deliveries"

    sink_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("sinks.id"), primary_key=True)
    following: Mapped[int] = mapped_column(BigInteger)
    sent: Mapped[int] = mapped_column(BigInteger)
    withheld: Mapped[int] = mapped_column(BigInteger)
    failures: Mapped[int] = mapped_column(BigInteger)
    error: Mapped[str]
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
