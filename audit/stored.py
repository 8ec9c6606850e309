# SPDX-License-Identifier: Apache-2.0
"""The ledger's rows read as tiles: what sequencing, serving, exporting and proving have in common.

Rows below a checkpoint's size never change, so each reader fixes the size first and needs no snapshot after that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import tuple_row

from audit.merkle import HASH_SIZE, Node, leaf_hash
from audit.tiles import WIDTH, Frontier, TileRef, nodes_of
from khatim.errors import EntryArchived, LedgerInvalid

Conn = Connection[Any]
_ROWS = 4096  # entries read at once


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """A row of ``ledger_checkpoints``: the root of the first *size* entries and the signed note that says so."""

    size: int
    root: bytes
    note: str
    at: datetime | None = None


def checkpoint_at(conn: Conn, size: int | None = None) -> StoredCheckpoint | None:
    """Return the checkpoint of exactly *size*, or the latest one; None if there is none."""
    row = (
        _cursor(conn)
        .execute(
            'SELECT size, root, note, "at" FROM ledger_checkpoints '
            "WHERE size = coalesce(%s, (SELECT max(size) FROM ledger_checkpoints))",
            (size,),
        )
        .fetchone()
    )
    return StoredCheckpoint(*row) if row else None


def entry_rows(conn: Conn, start: int, end: int) -> Iterator[tuple[Any, ...]]:
    """Yield (index, entry, leaf, kind, actor, resource, namespace, zone, at) of the entries in [start, end)."""
    cursor = _cursor(conn)
    for first in range(start, end, _ROWS):
        yield from cursor.execute(
            'SELECT "index", entry, leaf, kind, actor, resource, namespace, zone, "at" FROM ledger_entries '
            'WHERE "index" >= %s AND "index" < %s ORDER BY "index"',
            (first, min(first + _ROWS, end)),
            binary=True,
        )


def entries_between(conn: Conn, start: int, end: int) -> Iterator[bytes]:
    """Yield the bytes of the entries in [start, end); raises `LedgerInvalid` if one is missing."""
    expected = start
    for row in entry_rows(conn, start, end):
        if row[0] != expected:
            break
        expected += 1
        yield row[1]
    if expected != end:
        require_not_archived(conn, expected)
        raise LedgerInvalid(f"entry {expected} is missing", place=f"entry {expected}")


def require_not_archived(conn: Conn, index: int) -> None:
    """Raise `EntryArchived`, naming file and range, for an entry whose row is gone because it lies in an archive."""
    query = (
        'SELECT place, "first", "end", digest FROM ledger_archives WHERE "first" <= %s AND "end" > %s '
        'AND NOT EXISTS (SELECT FROM ledger_entries WHERE "index" = %s)'
    )
    found = _cursor(conn).execute(query, (index, index, index)).fetchone()
    if found:
        place, first, end, digest = found
        raise EntryArchived(
            f"entry {index} lies in the archive {place} (entries {first} to {end - 1})",
            advice="Read it from that file: khatim ledger archives names it.",
            archive=place, first=first, end=end, digest=digest,
        )  # fmt: skip


def tile_hashes(conn: Conn, ref: TileRef) -> list[bytes]:
    """Return the first ``ref.width`` hashes of a tile that the ledger has filled that far; one query, at most two."""
    cursor, first = _cursor(conn), ref.number * WIDTH
    row = cursor.execute(
        "SELECT hashes FROM ledger_tiles WHERE level = %s AND number = %s", (ref.level, ref.number), binary=True
    ).fetchone()
    if row:
        return [row[0][at : at + HASH_SIZE] for at in range(0, ref.width * HASH_SIZE, HASH_SIZE)]
    if ref.level == 0:
        query = 'SELECT leaf FROM ledger_entries WHERE "index" >= %s AND "index" < %s ORDER BY "index"'
        found = cursor.execute(query, (first, first + ref.width), binary=True)
    else:  # each hash of this level is the root of a full tile below
        found = cursor.execute(
            "SELECT root FROM ledger_tiles WHERE level = %s AND number >= %s AND number < %s ORDER BY number",
            ((ref.level or 0) - 1, first, first + ref.width),
            binary=True,
        )
    hashes = [row[0] for row in found]
    if len(hashes) != ref.width:
        raise LedgerInvalid(f"{ref.path} has {len(hashes)} hashes, not {ref.width}", place=ref.path)
    return hashes


def nodes(conn: Conn, size: int) -> Node:
    """Return the node function of the ledger's first *size* leaves."""

    def read(level: int, number: int) -> list[bytes]:
        width = min(WIDTH, size // WIDTH**level - number * WIDTH)
        return tile_hashes(conn, TileRef(level, number, max(0, width)))

    return nodes_of(read)


def frontier_at(conn: Conn, size: int) -> Frontier:
    """Return what the ledger needs to grow on from *size*: its unfinished tiles, the lowest one hashed anew."""
    rows: list[list[bytes]] = []
    level, count = 0, size
    while count:
        ref = TileRef(level, count // WIDTH, count % WIDTH)
        if level == 0:
            rows.append([leaf_hash(entry) for entry in entries_between(conn, size - ref.width, size)])
        else:
            rows.append(tile_hashes(conn, ref) if ref.width else [])
        level, count = level + 1, count // WIDTH
    return Frontier(rows)


def _cursor(conn: Conn) -> Any:
    return conn.cursor(row_factory=tuple_row)
