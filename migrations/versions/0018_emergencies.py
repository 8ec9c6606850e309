# SPDX-License-Identifier: Apache-2.0
"""roles taken in an emergency, for hours."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("role_assignments", sa.Column("hours", sa.Integer(), nullable=False, server_default="0"))
    op.alter_column("role_assignments", "hours", server_default=None)


def downgrade() -> None:
    """Undo.  An emergency that runs ends with it: its row no longer says what was signed."""
    op.drop_column("role_assignments", "hours")
