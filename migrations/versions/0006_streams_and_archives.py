# SPDX-License-Identifier: Apache-2.0
"""Sinks of the ledger with their cursors, and legal holds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from audit import ddl
from audit.streams import ddl as stream_ddl

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "sinks",
        sa.Column("id", sa.Uuid(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("name", "zone", "format", "transport")),
        sa.Column("target", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("state", "because", "added_by")),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('active', 'paused', 'removed')", name=op.f("ck_sinks_state")),
        sa.CheckConstraint("format IN ('syslog', 'cef', 'ocsf', 'ecs')", name=op.f("ck_sinks_format")),
        sa.CheckConstraint("transport IN ('syslog', 'https', 'file')", name=op.f("ck_sinks_transport")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sinks")),
    )
    op.create_index("uq_sinks_name", "sinks", ["name"], unique=True, postgresql_where=sa.text("state <> 'removed'"))
    op.create_table(
        "sink_deliveries",
        sa.Column("sink_id", sa.Uuid(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("following", "sent", "withheld", "failures")),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["sink_id"], ["sinks.id"], name=op.f("fk_sink_deliveries_sink_id_sinks")),
        sa.PrimaryKeyConstraint("sink_id", name=op.f("pk_sink_deliveries")),
    )
    op.create_table(
        "legal_holds",
        sa.Column("id", sa.Uuid(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("namespace", "resource", "person", "zone")),
        *(sa.Column(name, sa.DateTime(timezone=True), nullable=True) for name in ("since", "until")),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("because", "legal_basis")),
        sa.Column("review_due", sa.DateTime(timezone=True), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("state", "placed_by")),
        sa.Column("placed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("release_asked_by", sa.Text(), nullable=True),
        sa.Column("release_because", sa.Text(), nullable=False),
        sa.Column("released_by", sa.Text(), nullable=True),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('placed', 'releasing', 'released')", name=op.f("ck_legal_holds_state")),
        sa.CheckConstraint(
            "(state = 'placed') = (release_asked_by IS NULL)", name=op.f("ck_legal_holds_release_is_asked")
        ),
        sa.CheckConstraint(
            "(state = 'released') = (released_by IS NOT NULL)", name=op.f("ck_legal_holds_release_is_done")
        ),
        sa.CheckConstraint("released_by <> release_asked_by", name=op.f("ck_legal_holds_two_people")),
        sa.CheckConstraint("since <= until", name=op.f("ck_legal_holds_scope_in_order")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_legal_holds")),
    )
    op.create_index(
        "ix_legal_holds_in_force", "legal_holds", ["state"], postgresql_where=sa.text("state <> 'released'")
    )
    for statement in (*stream_ddl.upgrade(), *ddl.service_grants(["legal_holds"])):
        op.execute(statement)
    op.execute(f"REVOKE DELETE ON legal_holds FROM {ddl.SERVICE}")


def downgrade() -> None:
    """Undo."""
    for table in ("legal_holds", "sink_deliveries", "sinks"):
        op.drop_table(table)
