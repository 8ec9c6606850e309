# SPDX-License-Identifier: Apache-2.0
"""What others said about our checkpoints: witnesses' cosignatures, timestamps, copies that nobody can overwrite.

Read by whoever serves and proves, written by the publisher alone.  A checkpoint is endorsed after it was signed, and
not every one is: the publisher takes the latest one each time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import tuple_row

from audit import stored
from audit.stored import Conn, StoredCheckpoint
from audit.witness_policy import WitnessPolicy
from audit.worm import written
from khatim.errors import NotFound

COSIGNATURE, TIMESTAMP, COPY = "cosignature", "timestamp", "copy"
_LOOK_BACK = 200  # endorsed checkpoints that are looked at for one that counts


@dataclass(frozen=True, slots=True)
class Endorsement:
    """One row of ``ledger_endorsements``."""

    size: int
    kind: str
    who: str
    data: bytes
    at: datetime


def of_size(conn: Conn, size: int) -> list[Endorsement]:
    """Return what was said about the checkpoint of *size*, in the order in which it came."""
    query = 'SELECT size, kind, who, data, "at" FROM ledger_endorsements WHERE size = %s ORDER BY "at", who'
    return [Endorsement(*row) for row in _cursor(conn).execute(query, (size,), binary=True)]


def last_size(conn: Conn, kind: str, who: str) -> int:
    """Return the largest size about which *who* has said something of that kind; 0 if none."""
    query = "SELECT coalesce(max(size), 0) FROM ledger_endorsements WHERE kind = %s AND who = %s"
    row = _cursor(conn).execute(query, (kind, who)).fetchone()
    return int(row[0]) if row else 0


def add(conn: Conn, size: int, kind: str, who: str, data: bytes) -> None:
    """Remember what *who* said about the checkpoint of *size*; the first word stands."""
    _cursor(conn).execute(
        'INSERT INTO ledger_endorsements (size, kind, who, data, "at") VALUES (%s, %s, %s, %s, clock_timestamp()) '
        "ON CONFLICT DO NOTHING",
        (size, kind, who, data),
    )


def cosigned_note(conn: Conn, checkpoint: StoredCheckpoint) -> str:
    """Return the checkpoint's note with every cosignature that came for it."""
    found = of_size(conn, checkpoint.size)
    return checkpoint.note + "".join(one.data.decode() for one in found if one.kind == COSIGNATURE)


def latest_that_counts(conn: Conn, policy: WitnessPolicy) -> str:
    """Return the largest checkpoint that meets *policy*, with its cosignatures.

    Without a quorum that is the latest one.  Raises `NotFound` before the first.
    """
    latest = stored.checkpoint_at(conn)
    if latest is None:
        raise NotFound("the ledger is not open yet")
    if not policy.is_demanding:
        return cosigned_note(conn, latest)
    for _, note in _endorsed(conn, (COSIGNATURE,)):
        if policy.judge(note).counts:
            return note
    raise NotFound(
        f"no checkpoint is witnessed by {policy.describe()} yet",
        advice="The witnesses are asked every few seconds: see docs/guides/witness.md if it lasts.",
    )


def latest_endorsed(conn: Conn, policy: WitnessPolicy) -> bytes:
    """Return the largest checkpoint that meets *policy* and of which a witness or a clock has said anything.

    It comes with all cosignatures and timestamps, in the form of a copy (`worm.written`).  Raises `NotFound` if there
    is none.
    """
    for size, note in _endorsed(conn, (COSIGNATURE, TIMESTAMP)):
        if policy.judge(note).counts:
            return written(note, [(one.who, one.data) for one in of_size(conn, size) if one.kind == TIMESTAMP])
    raise NotFound("nobody has endorsed a checkpoint yet", advice="Witnesses and clocks are asked every few seconds.")


def _endorsed(conn: Conn, kinds: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Yield sizes and cosigned notes of checkpoints of which something of these kinds was said, largest first."""
    query = "SELECT DISTINCT size FROM ledger_endorsements WHERE kind = ANY(%s) ORDER BY size DESC LIMIT %s"
    for (size,) in _cursor(conn).execute(query, (list(kinds), _LOOK_BACK)).fetchall():
        checkpoint = stored.checkpoint_at(conn, size)
        if checkpoint:
            yield size, cosigned_note(conn, checkpoint)


def _cursor(conn: Conn) -> Any:
    return conn.cursor(row_factory=tuple_row)
