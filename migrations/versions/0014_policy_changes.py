# SPDX-License-Identifier: Apache-2.0
"""policy changes, and which rules workers applied."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from audit import ddl

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

TABLES = ["policy_changes", "policy_loads"]


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "policy_changes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("files", postgresql.JSONB(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("base", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("ticket", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("because", sa.Text(), nullable=False),
        sa.Column("approved_by", sa.Text(), nullable=True),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_by", sa.Text(), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("statement_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "state IN ('requested', 'active', 'superseded', 'withdrawn')", name=op.f("ck_policy_changes_state")
        ),
        sa.CheckConstraint("approved_by <> requested_by", name=op.f("ck_policy_changes_two_people")),
        sa.CheckConstraint(
            "(approved_by IS NULL) = (statement_id IS NULL)", name=op.f("ck_policy_changes_approval_is_signed")
        ),
        sa.CheckConstraint(
            "state NOT IN ('active', 'superseded') OR approved_by IS NOT NULL",
            name=op.f("ck_policy_changes_approval_is_somebodys"),
        ),
        sa.ForeignKeyConstraint(
            ["statement_id"], ["statements.id"], name=op.f("fk_policy_changes_statement_id_statements")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policy_changes")),
    )
    op.create_index(
        "ix_policy_changes_active", "policy_changes", ["state"], unique=True, postgresql_where="state = 'active'"
    )
    op.create_table(
        "policy_loads",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("change", sa.Text(), nullable=False),
        sa.Column("loaded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policy_loads")),
    )
    for statement in ddl.service_grants(TABLES):
        op.execute(statement)


def downgrade() -> None:
    """Undo."""
    for table in reversed(TABLES):
        op.drop_table(table)
