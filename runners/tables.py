# SPDX-License-Identifier: Apache-2.0
"""Who works in zones, and which agent holds which job."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, DateTime, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from audit.base import Base, Governed, Identifier, Moment
from khatim.vocabulary import Resource


class Agent(Base, Governed):
    """One enrolled agent process of one zone.  `state` and the door's address change; the zone never.

    `enrolment` is the id of its one-time token: a second use violates the constraint.  `key` is the fingerprint of the
    agent's own key, empty for one that enrolled before keys stood here.
    """

    __tablename__ = "agents"

    id: Mapped[Identifier]
    zone: Mapped[str]
    name: Mapped[str]
    door: Mapped[str]
    state: Mapped[str]
    enrolled_at: Mapped[Moment]
    enrolment: Mapped[str] = mapped_column(unique=True)
    key: Mapped[str] = mapped_column(server_default="")

    @property
    def ref(self) -> str:
        """Return the ledger reference."""
        return f"agent:{self.id}"

    @property
    def resource(self) -> Resource:
        """Return the resource that access decides about."""
        return Resource("agent", str(self.id), zone=self.zone)


class Lease(Base):
    """Which agent holds a job until when, by the database's clock.  Operational: claim and end are the facts."""

    __tablename__ = "leases"

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    agent: Mapped[str]
    fence: Mapped[int] = mapped_column(BigInteger)
    lease_until: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class Presence(Base):
    """When an agent was last heard of.  Operational."""

    __tablename__ = "presence"

    agent: Mapped[str] = mapped_column(primary_key=True)
    seen_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
