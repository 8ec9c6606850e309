# SPDX-License-Identifier: Apache-2.0
"""exceptions: waivers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from audit import ddl

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TABLES = ["waivers"]


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "waivers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("transition", sa.Text(), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("control", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("because", sa.Text(), nullable=False),
        sa.Column("binding", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("excuses", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("approved_by", sa.Text(), nullable=True),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("statement_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint("state IN ('requested', 'approved', 'revoked', 'expired')", name=op.f("ck_waivers_state")),
        sa.CheckConstraint("approved_by <> requested_by", name=op.f("ck_waivers_two_people")),
        sa.CheckConstraint(
            "(approved_by IS NULL) = (statement_id IS NULL)", name=op.f("ck_waivers_approval_is_signed")
        ),
        sa.CheckConstraint("(approved_by IS NULL) = (expires_at IS NULL)", name=op.f("ck_waivers_approval_ends")),
        sa.CheckConstraint(
            "state <> 'approved' OR approved_by IS NOT NULL", name=op.f("ck_waivers_approval_is_somebodys")
        ),
        sa.ForeignKeyConstraint(["statement_id"], ["statements.id"], name=op.f("fk_waivers_statement_id_statements")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_waivers")),
    )
    op.create_index(op.f("ix_waivers_about"), "waivers", ["about"])
    op.create_index("ix_waivers_running", "waivers", ["expires_at"], postgresql_where="state = 'approved'")
    for statement in ddl.service_grants(TABLES):
        op.execute(statement)


def downgrade() -> None:
    """Undo."""
    for table in reversed(TABLES):
        op.drop_table(table)
