# SPDX-License-Identifier: Apache-2.0
"""The table of archives: which ranges of the ledger lie in a Parquet file, and what that file has to be."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, LargeBinary, Table, Text

from audit.base import Base

archives = Table(
    "ledger_archives",
    Base.metadata,
    Column("first", BigInteger, primary_key=True, autoincrement=False),
    Column("end", BigInteger, nullable=False, unique=True, comment="one past the last entry of the file"),
    Column("digest", Text, nullable=False, comment="sha256:<hex> of the file"),
    Column("place", Text, nullable=False, comment="the file's name in the archive folder"),
    Column("link", LargeBinary, nullable=False, comment="SHA-256 of the last entry: `prev` of the one after it"),
    Column("size", BigInteger, nullable=False, comment="of the checkpoint that it was made under"),
    Column("root", LargeBinary, nullable=False, comment="of that checkpoint"),
    Column("at", DateTime(timezone=True), nullable=False),
    CheckConstraint(
        '"first" >= 0 AND "first" < "end" AND "end" < size AND "first" % 256 = 0 AND "end" % 256 = 0',
        name="archive_is_of_full_tiles",
    ),
    CheckConstraint("octet_length(link) = 32 AND octet_length(root) = 32", name="archive_names_hashes"),
    comment="Ranges of the ledger that lie in a file.  Their rows may be gone; their tiles never are.",
)
