# SPDX-License-Identifier: Apache-2.0
"""who answers for a finding, and by when."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_SEVERITY = "ck_findings_severity"


def upgrade() -> None:
    """Apply.  What is open from before is due as a grave finding is, and whoever resolves it answers for it."""
    for name in ("opened_by", "owner"):
        op.add_column("findings", sa.Column(name, sa.Text(), nullable=False, server_default=""))
        op.alter_column("findings", name, server_default=None)
    op.add_column("findings", sa.Column("due_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE findings SET due_at = opened_at + interval '30 days'")
    op.alter_column("findings", "due_at", nullable=False)
    op.add_column("findings", sa.Column("overdue_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_findings_due", "findings", ["due_at"], postgresql_where="state = 'open'")
    op.create_check_constraint(op.f(_SEVERITY), "findings", "severity IN ('critical', 'high', 'medium', 'low')")


def downgrade() -> None:
    """Undo."""
    op.drop_constraint(op.f(_SEVERITY), "findings", type_="check")
    op.drop_index("ix_findings_due", "findings")
    for column in ("overdue_at", "due_at", "owner", "opened_by"):
        op.drop_column("findings", column)
