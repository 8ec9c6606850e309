# SPDX-License-Identifier: Apache-2.0
"""incidents, and when findings were resolved."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from audit import ddl, isolation

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

TABLE = "incidents"
TEXTS = (
    "kind", "about", "namespace", "zone", "severity", "summary", "state", "opened_by", "owner", "policy",
    "closed_because",
)  # fmt: skip


def upgrade() -> None:
    """Apply."""
    op.create_table(
        TABLE,
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in TEXTS),
        sa.Column("duties", JSONB(), nullable=False),
        *(sa.Column(name, sa.DateTime(timezone=True), nullable=False) for name in ("aware_at", "opened_at")),
        sa.Column("finding_id", sa.Uuid(), nullable=True),
        sa.Column("closed_by", sa.Text(), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{TABLE}")),
        sa.UniqueConstraint("number", name=op.f(f"uq_{TABLE}_number")),
        sa.ForeignKeyConstraint(["finding_id"], ["findings.id"], name=op.f(f"fk_{TABLE}_finding_id")),
        sa.CheckConstraint("state IN ('open', 'closed')", name=op.f(f"ck_{TABLE}_state")),
        sa.CheckConstraint("closed_by <> opened_by", name=op.f(f"ck_{TABLE}_two_people")),
    )
    op.create_index(op.f(f"ix_{TABLE}_about"), TABLE, ["about"])
    op.create_index("ix_incidents_open", TABLE, ["id"], postgresql_where=sa.text("state = 'open'"))
    for statement in [*ddl.service_grants([TABLE]), *isolation.policies(TABLE)]:
        op.execute(statement)
    op.execute(f"REVOKE DELETE ON {TABLE} FROM {ddl.SERVICE}")
    op.add_column("findings", sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    """Undo."""
    op.drop_column("findings", "resolved_at")
    op.drop_table(TABLE)
