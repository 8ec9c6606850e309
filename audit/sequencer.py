# SPDX-License-Identifier: Apache-2.0
"""The one process that gives committed events their place: index, chain, tiles and signed checkpoint in one commit.

It holds a session advisory lock on the very connection that it writes with, so whoever lost the lock cannot commit
either; a second sequencer stands by and takes over.  It never signs a tree that it has not re-derived from the stored
rows, and stops with `LedgerInvalid` rather than go on from a ledger that does not re-derive (fail closed: the outbox
keeps what waits).  A lost or restarting database is waited for.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from audit import entries, stored
from audit.checkpoint import Checkpoint, NoteSigner, open_checkpoint, sign_checkpoint
from audit.merkle import leaf_hash
from audit.tiles import Frontier, FullTile
from khatim.errors import LedgerInvalid, Misconfigured, Unavailable
from khatim.vocabulary import Digest

LOCK = 0x4B_48_41_54_49_4D  # "KHATIM"; advisory locks are per database
_STANDBY_S = 0.2  # how often a standing-by sequencer asks for the lock
_RECONNECT_S = 0.25
_CONNECT_S = 5
_log = logging.getLogger("khatim.sequencer")

# DELETE ... RETURNING takes whatever is committed and visible; never a cursor "id > last", which would miss
# transactions that took their id early and committed late (trust.md, B4).
_TAKE = """
WITH taken AS (
    DELETE FROM ledger_outbox WHERE id = ANY (ARRAY(SELECT id FROM ledger_outbox ORDER BY id LIMIT %s))
    RETURNING id, body, payload
) SELECT id, body, payload FROM taken ORDER BY id"""
_COPY = (
    'COPY ledger_entries ("index", entry, leaf, kind, actor, resource, namespace, zone, "at") '
    "FROM STDIN WITH (FORMAT BINARY)"
)
_ADD_PAYLOAD = "INSERT INTO ledger_payloads (digest, body) VALUES (%s, %s) ON CONFLICT DO NOTHING"
_ADD_TILE = "INSERT INTO ledger_tiles (level, number, hashes, root) VALUES (%s, %s, %s, %s)"
_ADD_CHECKPOINT = (
    'INSERT INTO ledger_checkpoints (size, root, note, "at") VALUES (%s, %s, %s, clock_timestamp()) RETURNING "at"'
)
_COPY_TYPES = ["int8", "bytea", "bytea", "text", "text", "text", "text", "text", "timestamptz"]


@dataclass(frozen=True, slots=True)
class Lag:
    """The state of the last batch: ledger size after it, its number of events, age in seconds of its oldest event."""

    size: int = 0
    batch: int = 0
    seconds: float = 0.0
    is_leading: bool = False


@dataclass(slots=True)
class _Head:
    """The end of the ledger in memory: the tree's right edge and the link of the last entry."""

    frontier: Frontier
    prev: bytes


class Sequencer:
    """Sequences the outbox of one database into one ledger; `run` in a process or thread of its own."""

    def __init__(self, dsn: str, origin: str, signer: NoteSigner, *, batch: int = 1000, poll_s: float = 0.02) -> None:
        """Take a psycopg connection string and the ledger's origin, which must be the name of the signing key."""
        if signer.name != origin:
            raise Misconfigured(f"the ledger {origin!r} cannot be signed by a key named {signer.name!r}")
        self.origin = origin
        self.lag = Lag()
        self._dsn, self._signer, self._batch, self._poll_s = dsn, signer, batch, poll_s
        self._conn: stored.Conn | None = None
        self._head: _Head | None = None

    def run(self, stop: threading.Event) -> None:
        """Sequence until *stop* is set; wait out a database that is gone, raise `LedgerInvalid` for a broken ledger."""
        said = ""
        try:
            while not stop.is_set():
                try:
                    taken = self.run_once()
                except Unavailable as lost:
                    if said != str(lost):  # once, not four times a second
                        said = str(lost)
                        _log.warning("%s", said)
                    stop.wait(_RECONNECT_S)
                    continue
                said = ""
                if taken < self._batch:
                    stop.wait(self._poll_s if self.lag.is_leading else _STANDBY_S)
        finally:
            self.close()

    def run_once(self) -> int:
        """Sequence one batch and return its size; 0 when nothing waits or another sequencer leads.

        Raises `Unavailable` when the database cannot be reached or refuses (the next call connects anew), and
        `LedgerInvalid` when the stored ledger does not re-derive.
        """
        try:
            with _translated():
                if self._conn is None:
                    self._conn = _connect(self._dsn)
                if self._head is None:
                    self._head = self._lead(self._conn)
                return self._sequence(self._conn, self._head) if self._head else 0
        except BaseException:
            self.close()  # gives up the lock: whatever is in memory is derived anew before the next batch
            raise

    def close(self) -> None:
        """Give up the lead and the connection."""
        if self._conn is not None:
            self._conn.close()
        self._conn = self._head = None
        self.lag = Lag(self.lag.size)

    def _lead(self, conn: stored.Conn) -> _Head | None:
        """Take the lock and derive the end of the ledger from its rows; None while another sequencer has the lock."""
        if not _value(conn.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,))):
            return None
        head = self._restore(conn)
        if head.frontier.size == 0:
            now = _value(conn.execute("SELECT clock_timestamp()"))
            body = entries.genesis_body(self.origin, self._signer.vkey, now)
            with conn.transaction():
                self._append(conn, head, [(body, None)])
        self.lag = Lag(head.frontier.size, is_leading=True)
        _log.info("leading the ledger %s from size %d", self.origin, head.frontier.size)
        return head

    def _restore(self, conn: stored.Conn) -> _Head:
        last = stored.checkpoint_at(conn)
        count = _value(conn.execute('SELECT coalesce(max("index") + 1, 0) FROM ledger_entries'))
        size = last.size if last else 0
        if count != size:
            raise LedgerInvalid(f"the ledger has {count} entries but a checkpoint of {size}", place="checkpoint")
        if last is None:
            return _Head(Frontier(), entries.NO_ENTRY)
        signed = open_checkpoint(last.note, self.origin, [self._signer.verifier])
        frontier = stored.frontier_at(conn, size)
        root = frontier.root()
        if (signed.size, signed.root, last.root) != (size, root, root):
            raise LedgerInvalid(f"the stored tree does not have the root of checkpoint {size}", place="root")
        tail = next(stored.entries_between(conn, size - 1, size))
        entries.parse(tail, size - 1)
        return _Head(frontier, entries.link_of(tail))

    def _sequence(self, conn: stored.Conn, head: _Head) -> int:
        if not _value(conn.execute("SELECT EXISTS (SELECT FROM ledger_outbox)")):
            return 0  # one statement for the fifty looks a second at an empty outbox
        with conn.transaction():
            taken = conn.execute(_TAKE, (self._batch,), binary=True).fetchall()
            if not taken:
                return 0
            seconds = self._append(conn, head, [(body, payload) for _, body, payload in taken])
        self.lag = Lag(head.frontier.size, len(taken), seconds, is_leading=True)
        return len(taken)

    def _append(self, conn: stored.Conn, head: _Head, events: list[tuple[bytes, bytes | None]]) -> float:
        """Write the events and all that follows from them in the transaction of *conn*; return the oldest one's age."""
        full: list[FullTile] = []
        kept: list[tuple[str, bytes]] = []
        moments: list[datetime] = []
        with conn.cursor() as cursor, cursor.copy(_COPY) as copy:
            copy.set_types(_COPY_TYPES)
            for body, payload in events:
                index = head.frontier.size
                event = entries.event_of(body, f"entry {index}")
                columns = entries.columns_of(event, f"entry {index}")
                moments.append(columns.at)
                entry = entries.build(body, index, head.prev)
                leaf = leaf_hash(entry)
                copy.write_row((index, entry, leaf, *columns))
                head.prev = entries.link_of(entry)
                full += head.frontier.append(leaf)
                digest = entries.payload_digest_of(event)
                if digest != (None if payload is None else str(Digest.of(payload))):
                    raise LedgerInvalid(f"entry {index} would not name its payload", place=f"entry {index}")
                if digest and payload is not None:
                    kept.append((digest, payload))
        with conn.cursor() as cursor:
            cursor.executemany(_ADD_PAYLOAD, kept)
            cursor.executemany(_ADD_TILE, [(tile.level, tile.number, tile.hashes, tile.root) for tile in full])
            checkpoint = Checkpoint(self.origin, head.frontier.size, head.frontier.root())
            note = sign_checkpoint(checkpoint, self._signer)
            now: datetime = _value(cursor.execute(_ADD_CHECKPOINT, (checkpoint.size, checkpoint.root, note)))
        return max(0.0, (now - min(moments)).total_seconds())


def _connect(dsn: str) -> stored.Conn:
    conn = psycopg.connect(dsn, autocommit=True, connect_timeout=_CONNECT_S, application_name="khatim-sequencer")
    conn.execute("SET synchronous_commit = on")  # what was signed must not be lost, whatever the server's default
    return conn


def _value(cursor: Any) -> Any:
    """Return the first column of the one row."""
    return cursor.fetchone()[0]


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what the driver raises into our own errors: gone for a moment, or wrong for good."""
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError) as lost:
        raise Unavailable(f"the database does not answer: {lost}") from lost
    except psycopg.IntegrityError as taken:
        raise LedgerInvalid(f"somebody else has written to the ledger: {taken}", place="tail") from taken
    except psycopg.Error as wrong:
        raise Unavailable(f"the database refuses the sequencer: {wrong}") from wrong


def is_led(conn: stored.Conn) -> bool:
    """Whether some sequencer holds the lead of this database now."""
    query = (
        "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
        "AND (classid::bigint << 32 | objid::bigint) = %s)"
    )
    return bool(_value(conn.cursor(row_factory=tuple_row).execute(query, (LOCK,))))
