# SPDX-License-Identifier: Apache-2.0
"""What the ledger says was done to whom, whether it has its place already or still waits for it."""

from __future__ import annotations

from typing import Any

from psycopg import Connection
from psycopg.rows import tuple_row


def subjects_of(conn: Connection[Any], kind: str) -> set[str]:
    """Return what the events of *kind* are about; those that wait in the outbox are counted in."""
    query = (
        "SELECT resource FROM ledger_entries WHERE kind = %(kind)s UNION "
        "SELECT event ->> 'resource' FROM (SELECT convert_from(body, 'UTF8')::json AS event FROM ledger_outbox "
        "WHERE position(%(mark)s IN body) > 0) waiting WHERE event ->> 'kind' = %(kind)s"
    )
    with conn.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(query, {"kind": kind, "mark": kind.encode()}).fetchall()
    return {str(row[0]) for row in rows}
