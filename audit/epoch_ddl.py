# SPDX-License-Identifier: Apache-2.0
"""Triggers and grants of the tables of `audit.epoch_tables`; all statements may be run again."""

from __future__ import annotations

from audit import ddl, epoch_tables


def upgrade() -> list[str]:
    """Return the statements: sealed tables only grow, epochs and halts are the sequencer's to write."""
    epochs, recoveries, halts = (
        table.name for table in (epoch_tables.epochs, epoch_tables.recoveries, epoch_tables.halts)
    )
    statements: list[str] = []
    for table in epoch_tables.SEALED:
        statements += ddl.sealed(table.name)
    return [
        *statements,
        f"REVOKE ALL ON {epochs}, {recoveries}, {halts} FROM PUBLIC, {ddl.SERVICE}, {ddl.SEQUENCER}",
        f"GRANT SELECT ON {epochs}, {halts} TO {ddl.SERVICE}",
        f"GRANT SELECT, INSERT ON {recoveries} TO {ddl.SERVICE}",
        f"GRANT SELECT ON {recoveries} TO {ddl.SEQUENCER}",
        f"GRANT SELECT, INSERT ON {epochs} TO {ddl.SEQUENCER}",
        f"GRANT SELECT, INSERT, DELETE ON {halts} TO {ddl.SEQUENCER}",
    ]
