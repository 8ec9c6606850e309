# SPDX-License-Identifier: Apache-2.0
"""The ledger's own tables: no foreign keys into or out of them, and no row is ever changed (see `audit.ddl`).

They are plain tables, not mapped classes: nothing can hold a ledger row in a session and flush a change to it.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
)

from audit.base import Base

outbox = Table(
    "ledger_outbox",
    Base.metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("payload", LargeBinary, comment="the payload that was too large for the body, which names its digest"),
    # What could never be sequenced must fail here, in the transaction that says it, and not stop the ledger later.
    # One function, not a constraint each: PostgreSQL prepares the expression of a constraint for every statement.
    CheckConstraint("ledger_event_holds(body, payload)", name="event_holds"),
    comment="Events of committed transactions that wait for their place in the ledger.",
)

entries = Table(
    "ledger_entries",
    Base.metadata,
    Column("index", BigInteger, primary_key=True, autoincrement=False),
    Column("entry", LargeBinary, nullable=False, comment="the exact bytes that are hashed"),
    Column("leaf", LargeBinary, nullable=False, comment="SHA-256(0x00 || entry)"),
    Column("kind", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("zone", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    CheckConstraint('"index" >= 0', name="index_counts_from_zero"),
    CheckConstraint("octet_length(leaf) = 32", name="leaf_is_a_hash"),
    Index("ix_ledger_entries_kind", "kind", "index"),
    Index("ix_ledger_entries_actor", "actor", "index"),
    Index("ix_ledger_entries_resource", "resource", "index"),
    Index("ix_ledger_entries_at", "at"),
    comment="The ledger. Kind, actor, resource, namespace, zone and at repeat what the entry says, for look-ups.",
)

tiles = Table(
    "ledger_tiles",
    Base.metadata,
    Column("level", SmallInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hashes", LargeBinary, nullable=False, comment="256 hashes side by side"),
    Column("root", LargeBinary, nullable=False, comment="the root of these hashes: one hash of the level above"),
    CheckConstraint("octet_length(hashes) = 8192 AND octet_length(root) = 32", name="tile_is_full"),
    comment="Full Merkle tiles (C2SP tlog-tiles); partial ones are made when asked for.",
)

checkpoints = Table(
    "ledger_checkpoints",
    Base.metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("root", LargeBinary, nullable=False),
    Column("note", Text, nullable=False, comment="the signed note (C2SP tlog-checkpoint)"),
    Column("at", DateTime(timezone=True), nullable=False, comment="when it was signed"),
    CheckConstraint("size > 0 AND octet_length(root) = 32", name="checkpoint_has_a_root"),
    comment="Every checkpoint that was ever signed, one per batch.",
)

payloads = Table(
    "ledger_payloads",
    Base.metadata,
    Column("digest", Text, primary_key=True, comment="sha256:<hex>, named by an entry's payload_digest"),
    Column("body", LargeBinary, nullable=False),
    comment="Payloads too large for an entry.",
)

SEALED = (entries, tiles, checkpoints, payloads)
"""The tables that only grow."""
