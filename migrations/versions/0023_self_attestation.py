# SPDX-License-Identifier: Apache-2.0
"""what one person attests alone, and what says so."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

ADDED: dict[str, tuple[str, Any, str]] = {
    "approvals": ("checklist", JSONB(), "{}"),
    "model_versions": ("assurance", sa.Text(), ""),
}


def upgrade() -> None:
    """Apply.  What is in production by now was approved by other people: there was no other way."""
    for table, (name, kind, empty) in {**ADDED, "deployments": ("assurance", sa.Text(), "independent")}.items():
        op.add_column(table, sa.Column(name, kind, nullable=False, server_default=empty))
        op.alter_column(table, name, server_default=None)
    op.execute("UPDATE model_versions SET assurance = 'independent' WHERE stage = 'production'")


def downgrade() -> None:
    """Undo.  Self-attestations are no approvals and go; their statements stay."""
    op.execute("DELETE FROM approvals WHERE role = 'self-attestation'")
    for table, name in (("approvals", "checklist"), ("model_versions", "assurance"), ("deployments", "assurance")):
        op.drop_column(table, name)
