# SPDX-License-Identifier: Apache-2.0
"""accounts of one natural person."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from audit import ddl

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

TABLE = "account_links"
CHECKS = {
    "state": "state IN ('requested', 'linked', 'releasing', 'released')",
    "two_accounts": "account <> person",
    "two_people": "approved_by <> requested_by",
    "two_people_release": "released_by <> release_asked_by",
}


def upgrade() -> None:
    """Apply."""
    op.create_table(
        TABLE,
        sa.Column("id", sa.Uuid(), nullable=False),
        *(
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("account", "person", "because", "state", "requested_by", "release_because")
        ),
        *(sa.Column(name, sa.Text(), nullable=True) for name in ("approved_by", "release_asked_by", "released_by")),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        *(sa.Column(name, sa.DateTime(timezone=True), nullable=True) for name in ("approved_at", "released_at")),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{TABLE}")),
        *(sa.CheckConstraint(rule, name=op.f(f"ck_{TABLE}_{name}")) for name, rule in CHECKS.items()),
    )
    op.create_index(
        "ix_account_links_in_force", TABLE, ["account", "person"], unique=True,
        postgresql_where=sa.text("state <> 'released'"),
    )  # fmt: skip
    for statement in ddl.service_grants([TABLE]):
        op.execute(statement)
    op.execute(f"REVOKE DELETE ON {TABLE} FROM {ddl.SERVICE}")


def downgrade() -> None:
    """Undo."""
    op.drop_table(TABLE)
