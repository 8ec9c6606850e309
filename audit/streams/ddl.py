# SPDX-License-Identifier: Apache-2.0
"""Grants of the tables of streams: people govern sinks through the service, the sender moves the cursors."""

from __future__ import annotations

from audit import ddl


def upgrade() -> list[str]:
    """Return the statements; the sender connects as the sequencer does."""
    return [
        *ddl.service_grants(["sinks"]),
        f"REVOKE DELETE ON sinks FROM {ddl.SERVICE}",
        f"GRANT SELECT ON sink_deliveries TO {ddl.SERVICE}",
        f"GRANT SELECT ON sinks TO {ddl.SEQUENCER}",
        f"GRANT SELECT, INSERT, UPDATE ON sink_deliveries TO {ddl.SEQUENCER}",
    ]
