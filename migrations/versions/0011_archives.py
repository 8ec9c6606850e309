# SPDX-License-Identifier: Apache-2.0
"""archives of the ledger."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from audit import archive_ddl

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "ledger_archives",
        sa.Column("first", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("end", sa.BigInteger(), nullable=False, comment="one past the last entry of the file"),
        sa.Column("digest", sa.Text(), nullable=False, comment="sha256:<hex> of the file"),
        sa.Column("place", sa.Text(), nullable=False, comment="the file's name in the archive folder"),
        sa.Column(
            "link", sa.LargeBinary(), nullable=False, comment="SHA-256 of the last entry: `prev` of the one after it"
        ),
        sa.Column("size", sa.BigInteger(), nullable=False, comment="of the checkpoint that it was made under"),
        sa.Column("root", sa.LargeBinary(), nullable=False, comment="of that checkpoint"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            '"first" >= 0 AND "first" < "end" AND "end" < size AND "first" % 256 = 0 AND "end" % 256 = 0',
            name=op.f("ck_ledger_archives_archive_is_of_full_tiles"),
        ),
        sa.CheckConstraint(
            "octet_length(link) = 32 AND octet_length(root) = 32", name=op.f("ck_ledger_archives_archive_names_hashes")
        ),
        sa.PrimaryKeyConstraint("first", name=op.f("pk_ledger_archives")),
        sa.UniqueConstraint("end", name=op.f("uq_ledger_archives_end")),
        comment="Ranges of the ledger that lie in a file.  Their rows may be gone; their tiles never are.",
    )
    for statement in archive_ddl.upgrade():
        op.execute(statement)


def downgrade() -> None:
    """Undo."""
    for statement in archive_ddl.downgrade():
        op.execute(statement)
    op.drop_table("ledger_archives")
