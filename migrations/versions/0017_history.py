# SPDX-License-Identifier: Apache-2.0
"""what was in which stage and under which alias."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from audit import ddl

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

TABLES = ["stage_changes", "alias_moves"]
# What the ledger tells of the time before.  Entries in archives are told there.
FROM_THE_LEDGER = """
INSERT INTO stage_changes (id, namespace, model, version_ref, digest, zone, stage, because, policy, changed_by, at)
SELECT gen_random_uuid(), v.namespace, v.name, e.resource, v.digest, v.zone,
       CASE WHEN e.kind = 'version.revoked' THEN 'revoked' ELSE e.said #>> '{payload,to}' END,
       coalesce(e.said #>> '{payload,because}', ''), coalesce(e.said #>> '{payload,policy}', ''), e.actor, e.at
FROM (SELECT resource, kind, actor, at, convert_from(entry, 'UTF8')::jsonb -> 'event' AS said
      FROM ledger_entries WHERE kind IN ('version.promoted', 'version.revoked')) e
JOIN model_versions v ON e.resource = 'version:' || v.namespace || '/' || v.name || '@' || v.number
"""


def upgrade() -> None:
    """Apply."""
    texts = {
        "stage_changes": (
            "namespace", "model", "version_ref", "digest", "zone", "stage", "because", "policy", "changed_by"
        ),
        "alias_moves": ("namespace", "model", "alias", "because", "moved_by"),
    }  # fmt: skip
    for table, names in texts.items():
        op.create_table(
            table,
            sa.Column("id", sa.Uuid(), nullable=False),
            *(sa.Column(name, sa.Text(), nullable=False) for name in names),
            *([sa.Column("number", sa.Integer(), nullable=False)] if table == "alias_moves" else []),
            sa.Column("at", sa.DateTime(timezone=True), nullable=False),
            sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}")),
        )
    op.create_index("ix_stage_changes_model", "stage_changes", ["namespace", "model", "version_ref", "at"])
    op.create_index("ix_alias_moves_alias", "alias_moves", ["namespace", "model", "alias", "id"])
    op.execute(FROM_THE_LEDGER)
    for statement in ddl.service_grants(TABLES):
        op.execute(statement)
    # History is only added to; the owner of the tables alone may correct it.
    op.execute(f"REVOKE UPDATE, DELETE ON {', '.join(TABLES)} FROM {ddl.SERVICE}")


def downgrade() -> None:
    """Undo."""
    for table in reversed(TABLES):
        op.drop_table(table)
