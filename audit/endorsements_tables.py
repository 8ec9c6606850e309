# SPDX-License-Identifier: Apache-2.0
"""The table of endorsements: what others said about our checkpoints.  Sealed like the ledger's own: it only grows."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, LargeBinary, Table, Text

from audit.base import Base

endorsements = Table(
    "ledger_endorsements",
    Base.metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False, comment="of the checkpoint that it is about"),
    Column("kind", Text, primary_key=True),
    Column("who", Text, primary_key=True, comment="a witness's verifier key, a timestamp authority, a copy's name"),
    Column("data", LargeBinary, nullable=False, comment="signature line, TimeStampResp (DER), or the copy's address"),
    Column("at", DateTime(timezone=True), nullable=False, comment="when it was received"),
    CheckConstraint("kind IN ('cosignature', 'timestamp', 'copy')", name="kind"),
    CheckConstraint("size >= 0", name="size_counts_from_zero"),
    comment="Cosignatures, timestamps and copies of checkpoints.",
)
