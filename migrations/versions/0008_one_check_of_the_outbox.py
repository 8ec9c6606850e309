# SPDX-License-Identifier: Apache-2.0
"""one check of the outbox."""

from __future__ import annotations

from alembic import op

from audit import ddl

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# Rows come and go by the thousand a second: left to the default, dead ones pile up and every look walks past them.
_VACUUM = "autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0"
_JSON = r"replace(convert_from(body, 'UTF8'), '\u0000', '\ufffd')::json"
_MOMENT = r"^\d{4}-\d{2}-\d{2}T([01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{6}Z$"
_BEFORE = {
    "body_fits": "octet_length(body) <= 65335",
    "body_is_an_object": f"json_typeof({_JSON}) = 'object'",
    "body_has_a_moment": f"coalesce(({_JSON} ->> 'at') ~ '{_MOMENT}' AND ({_JSON} ->> 'at')::timestamptz IS NOT NULL, false)",
    "body_names_the_payload": f"({_JSON} ->> 'payload_digest') IS NOT DISTINCT FROM 'sha256:' || encode(sha256(payload), 'hex')",
}


def upgrade() -> None:
    """Apply."""
    op.execute(ddl.event_holds())
    for name in _BEFORE:
        op.execute(f"ALTER TABLE ledger_outbox DROP CONSTRAINT ck_ledger_outbox_{name}")
    op.execute(
        "ALTER TABLE ledger_outbox ADD CONSTRAINT ck_ledger_outbox_event_holds CHECK (ledger_event_holds(body, payload))"
    )
    op.execute(f"ALTER TABLE ledger_outbox SET ({_VACUUM})")


def downgrade() -> None:
    """Undo."""
    names = ", ".join(pair.partition(" ")[0] for pair in _VACUUM.split(", "))
    op.execute(f"ALTER TABLE ledger_outbox RESET ({names})")
    op.execute("ALTER TABLE ledger_outbox DROP CONSTRAINT ck_ledger_outbox_event_holds")
    for name, check in _BEFORE.items():
        op.execute(f"ALTER TABLE ledger_outbox ADD CONSTRAINT ck_ledger_outbox_{name} CHECK ({check})")
    op.execute("DROP FUNCTION ledger_event_holds(bytea, bytea)")
