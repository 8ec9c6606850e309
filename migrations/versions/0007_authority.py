# SPDX-License-Identifier: Apache-2.0
"""Which changes of the signing authority the ledger has been told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from audit import ddl

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "authority_told",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_authority_told")),
    )
    for statement in ddl.service_grants(["authority_told"]):
        op.execute(statement)


def downgrade() -> None:
    """Undo; the next start tells the whole history again."""
    op.drop_table("authority_told")
