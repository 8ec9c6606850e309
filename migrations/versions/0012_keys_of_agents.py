# SPDX-License-Identifier: Apache-2.0
"""keys of agents."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

# The ledger has known every agent's key since its enrolment; where that entry lies in an archive, the agent enrols anew.
_KNOWN = """
UPDATE agents SET key = convert_from(e.entry, 'UTF8')::json #>> '{event,payload,key}'
FROM ledger_entries e
WHERE e.kind = 'agent.enrolled' AND e.resource = 'agent:' || agents.id
  AND convert_from(e.entry, 'UTF8')::json #>> '{event,payload,key}' IS NOT NULL
"""


def upgrade() -> None:
    """Apply."""
    op.add_column("agents", sa.Column("key", sa.Text(), server_default="", nullable=False))
    op.execute(_KNOWN)


def downgrade() -> None:
    """Undo."""
    op.drop_column("agents", "key")
