# SPDX-License-Identifier: Apache-2.0
"""what was agreed for each deployment, and until when its approvals stand."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_STATE = "ck_approvals_state"


def upgrade() -> None:
    """Apply.  What already serves gets no terms: an agent stops it on the first event, until it is deployed anew."""
    op.add_column("deployments", sa.Column("tier", sa.Integer(), nullable=True))
    op.add_column("deployments", sa.Column("runtime", postgresql.JSONB(), nullable=False, server_default="{}"))
    op.alter_column("deployments", "runtime", server_default=None)
    op.add_column("deployments", sa.Column("approved_until", sa.DateTime(timezone=True), nullable=True))
    op.add_column("deployments", sa.Column("warned_days", sa.Integer(), nullable=True))
    op.create_index(
        "ix_deployments_approved_until", "deployments", ["approved_until"], postgresql_where="state = 'serving'"
    )
    op.drop_constraint(op.f(_STATE), "approvals", type_="check")
    op.create_check_constraint(op.f(_STATE), "approvals", "state IN ('active', 'suspended', 'revoked', 'expired')")


def downgrade() -> None:
    """Undo."""
    op.execute("UPDATE approvals SET state = 'revoked' WHERE state = 'expired'")
    op.drop_constraint(op.f(_STATE), "approvals", type_="check")
    op.create_check_constraint(op.f(_STATE), "approvals", "state IN ('active', 'suspended', 'revoked')")
    op.drop_index("ix_deployments_approved_until", "deployments")
    for column in ("warned_days", "approved_until", "runtime", "tier"):
        op.drop_column("deployments", column)
