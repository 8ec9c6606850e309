# SPDX-License-Identifier: Apache-2.0
"""rows are shown and written within the namespaces of who asks."""

from __future__ import annotations

from alembic import op

from audit import isolation

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

OWN = [
    "models", "model_versions", "aliases", "alias_moves", "stage_changes", "dataset_versions", "feature_view_versions",
    "training_authorisations", "transfer_authorisations", "deployments", "findings", "waivers", "jobs",
]  # fmt: skip
ABOUT = ["approvals", "evidence"]  # about version:NAMESPACE/NAME@NUMBER
NAMESPACE_OF_ABOUT = "split_part(split_part(about, ':', 2), '/', 1)"


def upgrade() -> None:
    """Apply."""
    statements = [one for table in OWN for one in isolation.policies(table)]
    statements += [one for table in ABOUT for one in isolation.policies(table, NAMESPACE_OF_ABOUT)]
    statements += isolation.following("monitor_runs", "deployments", "deployment_id")
    for statement in statements:
        op.execute(statement)


def downgrade() -> None:
    """Undo."""
    for table in [*OWN, *ABOUT, "monitor_runs"]:
        for statement in isolation.unbounded(table):
            op.execute(statement)
