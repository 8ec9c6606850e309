# SPDX-License-Identifier: Apache-2.0
"""endorsements."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from audit import endorsements_ddl

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "ledger_endorsements",
        sa.Column(
            "size", sa.BigInteger(), autoincrement=False, nullable=False, comment="of the checkpoint that it is about"
        ),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column(
            "who", sa.Text(), nullable=False, comment="a witness's verifier key, a timestamp authority, a copy's name"
        ),
        sa.Column(
            "data",
            sa.LargeBinary(),
            nullable=False,
            comment="signature line, TimeStampResp (DER), or the copy's address",
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, comment="when it was received"),
        sa.CheckConstraint("kind IN ('cosignature', 'timestamp', 'copy')", name=op.f("ck_ledger_endorsements_kind")),
        sa.CheckConstraint("size >= 0", name=op.f("ck_ledger_endorsements_size_counts_from_zero")),
        sa.PrimaryKeyConstraint("size", "kind", "who", name=op.f("pk_ledger_endorsements")),
        comment="Cosignatures, timestamps and copies of checkpoints.",
    )
    for statement in endorsements_ddl.upgrade():
        op.execute(statement)


def downgrade() -> None:
    """Undo."""
    op.drop_table("ledger_endorsements")
