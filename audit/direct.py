# SPDX-License-Identifier: Apache-2.0
"""The sequencer's own connection: direct, and refused where a proxy stands between.

The lead of the ledger is a lock of one session.  A pool that gives each transaction whatever server connection is
free (PgBouncer in transaction mode and its kin) would let two sequencers believe that they lead, so the connection is
tried before it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from audit.stored import Conn
from khatim.errors import LedgerInvalid, Misconfigured, Unavailable

LOCK = 0x4B_48_41_54_49_4D  # "KHATIM"; advisory locks are per database
NAME = "khatim-sequencer"
_CONNECT_S = 5
_ADVICE = (
    "Give the sequencer a URL of its own that leads to PostgreSQL itself (KHATIM_DATABASE__SEQUENCER_URL); the "
    "service's URL may go through a pool."
)


def connect(dsn: str) -> Conn:
    """Return a direct connection in autocommit; raises `Misconfigured` when something pools behind the address."""
    conn = _open(dsn)
    try:
        _require_direct(conn, dsn)
        conn.execute("SET synchronous_commit = on")  # what was signed must not be lost, whatever the server's default
    except BaseException:
        conn.close()
        raise
    return conn


def _open(dsn: str) -> Conn:
    return psycopg.connect(dsn, autocommit=True, connect_timeout=_CONNECT_S, application_name=NAME)


def _require_direct(conn: Conn, dsn: str) -> None:
    # A proxy gives a number of its own at the start of a session; PostgreSQL gives that of the process that serves it.
    if _process(conn) != conn.info.backend_pid:
        raise Misconfigured(f"the sequencer's connection goes through a proxy ({_address(conn)})", advice=_ADVICE)
    require_unshared(conn, dsn)


def require_unshared(conn: Conn, dsn: str) -> None:
    """Raise `Misconfigured` when the session's server process also serves another session of the same address.

    While another transaction holds a server connection, a pool that shares them has to give this one a different one;
    or it gave that very one away.
    """
    own = _process(conn)
    with _open(dsn) as other, other.transaction():
        if _process(other) == own or _process(conn) != own:
            raise Misconfigured(f"the sequencer's connection is shared with others ({_address(conn)})", advice=_ADVICE)


def _process(conn: Conn) -> int:
    return int(value(conn.cursor(row_factory=tuple_row).execute("SELECT pg_backend_pid()")))


def _address(conn: Conn) -> str:
    return f"{conn.info.host}:{conn.info.port}"


class DatabaseTime:
    """The database's clock, on a connection of its own that is opened when it is first asked."""

    def __init__(self, dsn: str) -> None:
        """Take a connection string."""
        self._dsn = dsn
        self._conn: Conn | None = None

    def now(self) -> datetime:
        """Return the time there; raises `Unavailable`."""
        try:
            with translated():
                if self._conn is None:
                    self._conn = _open(self._dsn)
                told: datetime = value(self._conn.execute("SELECT clock_timestamp()"))
                return told
        except Unavailable:
            self.close()
            raise

    def close(self) -> None:
        """Hang up."""
        if self._conn is not None:
            self._conn.close()
        self._conn = None


def value(cursor: Any) -> Any:
    """Return the first column of the one row."""
    return cursor.fetchone()[0]


def take_lead(conn: Conn) -> bool:
    """Take the lock that only one session of a database can hold; False while another one has it."""
    return bool(value(conn.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,))))


def is_led(conn: Conn) -> bool:
    """Whether some sequencer holds the lead of this database now."""
    query = (
        "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
        "AND (classid::bigint << 32 | objid::bigint) = %s)"
    )
    return bool(value(conn.cursor(row_factory=tuple_row).execute(query, (LOCK,))))


@contextmanager
def translated() -> Iterator[None]:
    """Turn what the driver raises into our own errors: gone for a moment, or wrong for good."""
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError) as lost:
        raise Unavailable(f"the database does not answer: {lost}") from lost
    except psycopg.IntegrityError as taken:
        raise LedgerInvalid(f"somebody else has written to the ledger: {taken}", place="tail") from taken
    except psycopg.Error as wrong:
        raise Unavailable(f"the database refuses the sequencer: {wrong}") from wrong
