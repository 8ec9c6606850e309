# SPDX-License-Identifier: Apache-2.0
"""ledger epochs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from audit import epoch_ddl

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "ledger_epochs",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False, comment="the entry that opened it, and says everything"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint('number > 1 AND "first" > 0', name=op.f("ck_ledger_epochs_epoch_is_a_later_one")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_ledger_epochs")),
        sa.UniqueConstraint("first", name=op.f("uq_ledger_epochs_first")),
        sa.UniqueConstraint("origin", name=op.f("uq_ledger_epochs_origin")),
        comment="Where the ledger went on as a new log after entries were lost.  The entry counts; this finds it.",
    )
    op.create_table(
        "ledger_recoveries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "plan", sa.LargeBinary(), nullable=False, comment="what would be done, canonical JSON; confirmed as it is"
        ),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("reason <> ''", name=op.f("ck_ledger_recoveries_recovery_has_a_reason")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_recoveries")),
        comment="Recoveries that one person asked for; another one confirms.",
    )
    op.create_table(
        "ledger_halts",
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("origin", name=op.f("pk_ledger_halts")),
        comment="A row while the ledger is read-only, and why.",
    )
    for statement in epoch_ddl.upgrade():
        op.execute(statement)


def downgrade() -> None:
    """Undo."""
    for name in ("ledger_halts", "ledger_recoveries", "ledger_epochs"):
        op.drop_table(name)
