# SPDX-License-Identifier: Apache-2.0
"""Tables of what happened to the ledger itself: its epochs, the recoveries asked for, and the halt it stands in."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, Integer, LargeBinary, Table, Text, Uuid

from audit.base import Base

epochs = Table(
    "ledger_epochs",
    Base.metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("origin", Text, nullable=False, unique=True),
    Column("first", BigInteger, nullable=False, unique=True, comment="the entry that opened it, and says everything"),
    Column("at", DateTime(timezone=True), nullable=False),
    CheckConstraint('number > 1 AND "first" > 0', name="epoch_is_a_later_one"),
    comment="Where the ledger went on as a new log after entries were lost.  The entry counts; this finds it.",
)

recoveries = Table(
    "ledger_recoveries",
    Base.metadata,
    Column("id", Uuid, primary_key=True),
    Column("plan", LargeBinary, nullable=False, comment="what would be done, canonical JSON; confirmed as it is"),
    Column("reason", Text, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("requested_at", DateTime(timezone=True), nullable=False),
    CheckConstraint("reason <> ''", name="recovery_has_a_reason"),
    comment="Recoveries that one person asked for; another one confirms.",
)

halts = Table(
    "ledger_halts",
    Base.metadata,
    Column("origin", Text, primary_key=True),
    Column("error", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    comment="A row while the ledger is read-only, and why.",
)

SEALED = (epochs, recoveries)
"""The tables that only grow."""
