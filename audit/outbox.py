# SPDX-License-Identifier: Apache-2.0
"""The outbox: where a transaction leaves its events, to be sequenced into the ledger once it has committed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import tuple_row
from sqlalchemy import Engine, LargeBinary, bindparam, exists, func, select
from sqlalchemy.orm import Session

from audit import entries, epoch_tables, ledger_tables
from khatim.errors import LedgerInvalid, LedgerReadOnly, Malformed, Unavailable
from khatim.vocabulary import Digest

_LOOK_S = 0.02  # the sequencer itself looks fifty times a second

_UNLESS_HALTED = (
    ledger_tables.outbox.insert()
    .from_select(
        ["body", "payload"],
        select(bindparam("body", type_=LargeBinary), bindparam("payload", type_=LargeBinary)).where(
            ~exists().select_from(epoch_tables.halts)
        ),
    )
    .returning(ledger_tables.outbox.c.id)
)


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits to be sequenced: how many events, and when the oldest happened (None if nothing waits)."""

    count: int
    oldest_at: datetime | None

    def age_s(self, now: datetime) -> float:
        """Return the age of the oldest waiting event in seconds; zero if nothing waits."""
        return max(0.0, (now - self.oldest_at).total_seconds()) if self.oldest_at else 0.0


def append(session: Session, body: bytes, payload: bytes | None, *, unless_halted: bool = False) -> None:
    """Leave an event in the transaction of *session*; *unless_halted* asks in the same statement (`audit.halts`).

    *body* is canonical JSON; *payload* is the part that did not fit, whose digest the body gives as
    ``payload_digest``.  Raises `Malformed` for what could not be sequenced: it must fail here, in the transaction that
    says it, and not stop the ledger later.  Raises `LedgerReadOnly` where the ledger stands still.
    """
    if len(body) > entries.BODY_MAX:
        raise Malformed(f"an event of {len(body)} bytes does not fit into a ledger entry (at most {entries.BODY_MAX})")
    try:
        event = entries.event_of(body, "the event")
        entries.columns_of(event, "the event")
    except LedgerInvalid as wrong:
        raise Malformed(f"this cannot be recorded: {wrong}") from wrong
    if entries.payload_digest_of(event) != (None if payload is None else str(Digest.of(payload))):
        raise Malformed("the event does not carry the digest of the payload kept aside")
    # The connection, not the session: the ledger's own insert is not a governed change.
    if not unless_halted:
        session.connection().execute(ledger_tables.outbox.insert(), {"body": body, "payload": payload})
    elif session.connection().execute(_UNLESS_HALTED, {"body": body, "payload": payload}).first() is None:
        raise LedgerReadOnly("nothing that must be recorded can change now: the ledger is read-only")


def pending_count(conn: Connection[Any]) -> int:
    """Return how many committed events wait to be sequenced."""
    return backlog(conn).count


def backlog(conn: Connection[Any]) -> Backlog:
    """Return how many events wait and since when; alert on it (trust.md, decision 4)."""
    cursor = conn.cursor(row_factory=tuple_row)
    count, body = cursor.execute(
        "SELECT count(*), (SELECT body FROM ledger_outbox ORDER BY id LIMIT 1) FROM ledger_outbox"
    ).fetchone() or (0, None)
    if body is None:
        return Backlog(0, None)
    event = entries.event_of(body, "the outbox")
    return Backlog(count, entries.columns_of(event, "the outbox").at)


def await_place(engine: Engine, timeout_s: float) -> None:
    """Wait until every event committed before now has its place in the ledger; raises `Unavailable` when it lags."""
    waiting = ledger_tables.outbox
    deadline = time.monotonic() + timeout_s
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        last = connection.execute(select(func.max(waiting.c.id))).scalar()
        while last is not None and connection.execute(select(exists().where(waiting.c.id <= last))).scalar():
            if time.monotonic() > deadline:
                raise Unavailable("the ledger lags behind what was committed", advice="Try again in a moment.")
            time.sleep(_LOOK_S)
