# SPDX-License-Identifier: Apache-2.0
"""Triggers and grants of the table of endorsements: it only grows, and by the publisher alone."""

from __future__ import annotations

from audit import ddl
from audit.endorsements_tables import endorsements


def upgrade() -> list[str]:
    """Return the statements; all of them may be run again.  The publisher connects as the sequencer does."""
    table = endorsements.name
    return [
        *ddl.sealed(table),
        f"REVOKE ALL ON {table} FROM PUBLIC, {ddl.SERVICE}, {ddl.SEQUENCER}",
        f"GRANT SELECT ON {table} TO {ddl.SERVICE}",
        f"GRANT SELECT, INSERT ON {table} TO {ddl.SEQUENCER}",
    ]
