# SPDX-License-Identifier: Apache-2.0
"""approvals under obligations, with a change ticket, or in somebody's absence."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

ADDED: dict[str, dict[str, tuple[Any, str]]] = {
    "approvals": {"stands_in_for": (sa.Text(), ""), "ticket": (JSONB(), "{}"), "obligations": (JSONB(), "[]"),
                  "answers": (JSONB(), "[]")},
    "role_assignments": {"stands_in_for": (sa.Text(), "")},
}  # fmt: skip


def upgrade() -> None:
    """Apply."""
    for table, columns in ADDED.items():
        for name, (kind, empty) in columns.items():
            op.add_column(table, sa.Column(name, kind, nullable=False, server_default=empty))
            op.alter_column(table, name, server_default=None)


def downgrade() -> None:
    """Undo.  What was signed with obligations, a ticket or for somebody else does not match its row any more."""
    for table, columns in ADDED.items():
        for name in columns:
            op.drop_column(table, name)
