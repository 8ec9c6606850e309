# SPDX-License-Identifier: Apache-2.0
"""The ledger read-only: why it stands still, and what goes on meanwhile.

The sequencer leaves a row where every server process sees it, in the statement that would add to the outbox.  What
waits there stays, what only reads or takes power away goes on and is recorded later, and everything else is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg import Connection
from psycopg.rows import tuple_row

from audit.reserve import GOES_ON as GOES_ON_WHEN_FULL
from khatim.errors import LedgerInvalid
from khatim.vocabulary import Action

GOES_ON: Final = GOES_ON_WHEN_FULL | {Action.LEDGER_RECOVER.value}
"""What is not refused while the ledger is read-only: what a full disk does not stop either, and the way out."""


@dataclass(frozen=True, slots=True)
class Halt:
    """Why the ledger is read-only: the slug of the error, its sentence, and since when."""

    error: str
    detail: str
    at: datetime


def halt_of(conn: Connection[Any]) -> Halt | None:
    """Return why the ledger is read-only, None if it is not."""
    row = conn.cursor(row_factory=tuple_row).execute('SELECT error, detail, "at" FROM ledger_halts').fetchone()
    return Halt(*row) if row else None


def halt(conn: Connection[Any], origin: str, error: LedgerInvalid) -> None:
    """Make the ledger read-only because of *error*; a halt that stands already keeps its moment."""
    with conn.transaction():
        conn.execute(
            'INSERT INTO ledger_halts (origin, error, detail, "at") VALUES (%s, %s, %s, clock_timestamp()) '
            "ON CONFLICT DO NOTHING",
            (origin, error.slug(), str(error)),
        )


def lift(conn: Connection[Any]) -> None:
    """End the halt, if there is one."""
    conn.execute("DELETE FROM ledger_halts")
