# SPDX-License-Identifier: Apache-2.0
"""transfer authorisations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from audit import ddl

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "transfer_authorisations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("from_zone", sa.Text(), nullable=False),
        sa.Column("to_zone", sa.Text(), nullable=False),
        sa.Column("mechanism", sa.Text(), nullable=False),
        sa.Column("evidence_digest", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("tags", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("scope", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("from_regimes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("to_location", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_to", sa.DateTime(timezone=True), nullable=False),
        sa.Column("review_due", sa.DateTime(timezone=True), nullable=False),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("because", sa.Text(), nullable=False),
        sa.Column("approvals", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('requested', 'approved', 'revoked')", name=op.f("ck_transfer_authorisations_state")
        ),
        sa.CheckConstraint("valid_from < valid_to", name=op.f("ck_transfer_authorisations_validity")),
        sa.CheckConstraint(
            "(state = 'revoked') = (revoked_at IS NOT NULL)", name=op.f("ck_transfer_authorisations_revocation")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transfer_authorisations")),
    )
    op.create_index(
        "ix_transfer_authorisations_way",
        "transfer_authorisations",
        ["to_zone", "from_zone"],
        postgresql_where="state = 'approved'",
    )
    for statement in ddl.service_grants(["transfer_authorisations"]):
        op.execute(statement)


def downgrade() -> None:
    """Undo."""
    op.drop_index("ix_transfer_authorisations_way", table_name="transfer_authorisations")
    op.drop_table("transfer_authorisations")
