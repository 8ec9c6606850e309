# SPDX-License-Identifier: Apache-2.0
"""sessions of the console."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

from audit import ddl

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

TABLE = "sign_in_sessions"
LIVE = sa.text("ended_at IS NULL")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        TABLE,
        sa.Column("id", sa.Uuid(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("person", "provider_session")),
        *(sa.Column(name, ARRAY(sa.Text()), nullable=False) for name in ("roles", "groups")),
        sa.Column("strength", sa.Integer(), nullable=True),
        *(sa.Column(name, sa.DateTime(timezone=True), nullable=False) for name in ("opened_at", "expires_at")),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{TABLE}")),
    )
    op.create_index("ix_sign_in_sessions_live", TABLE, ["person"], postgresql_where=LIVE)
    op.create_index("ix_sign_in_sessions_provider", TABLE, ["provider_session"], postgresql_where=LIVE)
    for statement in ddl.service_grants([TABLE]):
        op.execute(statement)


def downgrade() -> None:
    """Undo."""
    op.drop_table(TABLE)
