# SPDX-License-Identifier: Apache-2.0
"""Entries written to the ledger's tables with all that follows from them: tiles, payloads, the signed checkpoint.

Everything happens in the transaction of the caller, who holds the lead; what is in memory is worth something only when
that commits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import tuple_row

from audit import entries, stored
from audit.direct import value
from audit.merkle import leaf_hash
from audit.stored import Conn
from audit.tiles import Frontier, FullTile
from khatim.errors import LedgerInvalid
from khatim.vocabulary import Digest

_COPY = (
    'COPY ledger_entries ("index", entry, leaf, kind, actor, resource, namespace, zone, "at") '
    "FROM STDIN WITH (FORMAT BINARY)"
)
_COPY_TYPES = ["int8", "bytea", "bytea", "text", "text", "text", "text", "text", "timestamptz"]
_ADD_PAYLOAD = "INSERT INTO ledger_payloads (digest, body) VALUES (%s, %s) ON CONFLICT DO NOTHING"
_ADD_TILE = "INSERT INTO ledger_tiles (level, number, hashes, root) VALUES (%s, %s, %s, %s)"
_ADD_CHECKPOINT = (
    'INSERT INTO ledger_checkpoints (size, root, note, "at") VALUES (%s, %s, %s, clock_timestamp()) RETURNING "at"'
)


@dataclass(slots=True)
class Head:
    """The end of the ledger in memory: the tree's right edge and the link of the last entry."""

    frontier: Frontier
    prev: bytes


def head_at(conn: Conn, size: int) -> Head:
    """Return the end of the first *size* entries, hashed anew; raises `LedgerInvalid` where a row is missing."""
    if size == 0:
        return Head(Frontier(), entries.NO_ENTRY)
    frontier = stored.frontier_at(conn, size)
    tail = next(stored.entries_between(conn, size - 1, size))
    entries.parse(tail, size - 1)
    return Head(frontier, entries.link_of(tail))


def append(conn: Conn, head: Head, events: Iterable[tuple[bytes, bytes | None]]) -> list[datetime]:
    """Chain event bodies (each with the payload kept aside, or None) at *head*; return the moments they give."""
    return add(conn, head, _built(head, events))


def _built(head: Head, events: Iterable[tuple[bytes, bytes | None]]) -> Iterable[tuple[bytes, bytes | None]]:
    # Lazily: each entry is built when the one before it has moved the head.
    for body, payload in events:
        yield entries.build(body, head.frontier.size, head.prev), payload


def add(conn: Conn, head: Head, made: Iterable[tuple[bytes, bytes | None]]) -> list[datetime]:
    """Write entries that have their index and link, each with its payload, and move *head* past them."""
    full: list[FullTile] = []
    kept: list[tuple[str, bytes]] = []
    moments: list[datetime] = []
    with conn.cursor() as cursor, cursor.copy(_COPY) as copy:
        copy.set_types(_COPY_TYPES)
        for entry, payload in made:
            index = head.frontier.size
            place = f"entry {index}"
            parsed = entries.parse(entry, index)
            if parsed.prev != head.prev:
                raise LedgerInvalid(f"{place} does not follow from the one before", place=place)
            columns = entries.columns_of(parsed.event, place)
            moments.append(columns.at)
            leaf = leaf_hash(entry)
            copy.write_row((index, entry, leaf, *columns))
            head.prev = entries.link_of(entry)
            full += head.frontier.append(leaf)
            digest = entries.payload_digest_of(parsed.event)
            if digest != (None if payload is None else str(Digest.of(payload))):
                raise LedgerInvalid(f"{place} would not name its payload", place=place)
            if digest and payload is not None:
                kept.append((digest, payload))
    with conn.cursor() as cursor:
        cursor.executemany(_ADD_PAYLOAD, kept)
        cursor.executemany(_ADD_TILE, [(tile.level, tile.number, tile.hashes, tile.root) for tile in full])
    return moments


def add_checkpoint(conn: Conn, size: int, root: bytes, note: str) -> datetime:
    """Write a signed checkpoint; return the database's moment of it."""
    at: datetime = value(conn.cursor(row_factory=tuple_row).execute(_ADD_CHECKPOINT, (size, root, note)))
    return at
