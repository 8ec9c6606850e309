# SPDX-License-Identifier: Apache-2.0
"""The ledger verified where it lives: every row of its tables against every other, and every checkpoint ever signed.

What `audit.verify` does for the files of one checkpoint, for the database: besides links, tree and tiles also that the
look-up columns repeat what the entries say and that no row is missing or added.  The places named are ``entry 17``,
``tile/0/003``, ``checkpoint 512`` (its size), ``payload/sha256/…`` and ``epoch 2``.  A ledger that lost entries for
good has several epochs, and each checkpoint is held against the key of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, zip_longest
from typing import Any

from psycopg.rows import tuple_row

from audit import export, stored
from audit.archive_reading import Archived
from audit.archives import ArchiveSource
from audit.checkpoint import NoteVerifier, open_checkpoint
from audit.entries import Columns
from audit.merkle import EMPTY_ROOT
from audit.stored import Conn, StoredCheckpoint
from audit.tiles import FullTile, TileRef, payload_path
from audit.walk import LedgerReport, Walk
from khatim.errors import LedgerInvalid, NotFound
from khatim.vocabulary import Digest

_PAGE = 1000


def verify_database(conn: Conn, verifier: NoteVerifier, source: ArchiveSource | None = None) -> LedgerReport:
    """Verify all rows of the ledger as of now; it may go on growing.  Raises `LedgerInvalid` with ``place``.

    What lies in archives is read from *source*, or else taken by its tiles; the report says which.
    Give it a connection of its own in autocommit, or a read-only transaction.
    """
    size, count = _extent(conn)
    if size != count:
        place = f"entry {min(size, count)}"
        raise LedgerInvalid(f"the ledger has {count} entries but its last checkpoint is of {size}", place=place)
    walk, root, archived = Walk(verifier.name, verifier.vkey), EMPTY_ROOT, Archived(conn, source)
    for checkpoint in _checkpoints(conn, size):
        for row in _rows(conn, walk.frontier.size, checkpoint.size, archived):
            _verify_row(conn, walk, row)
            archived.note(walk, row)
        root = _signed_root(checkpoint, walk.epochs[-1].verifier)
        walk.check(root, f"checkpoint {checkpoint.size}")
    report = walk.finish(root)
    _verify_epochs(conn, report)
    _verify_no_more_tiles(conn)
    return replace(report, archives=archived.finish())


def _extent(conn: Conn) -> tuple[int, int]:
    """Return the last checkpoint's size and the end of the entries, of the same moment."""
    query = (
        "SELECT coalesce((SELECT max(size) FROM ledger_checkpoints), 0), "
        'coalesce((SELECT max("index") + 1 FROM ledger_entries), 0)'
    )
    row = conn.cursor(row_factory=tuple_row).execute(query).fetchone()
    return row or (0, 0)


def _checkpoints(conn: Conn, last: int) -> Iterator[StoredCheckpoint]:
    size = 0
    while size < last:
        page = (
            conn.cursor(row_factory=tuple_row)
            .execute(
                "SELECT size, root, note FROM ledger_checkpoints WHERE size > %s AND size <= %s ORDER BY size LIMIT %s",
                (size, last, _PAGE),
                binary=True,
            )
            .fetchall()
        )
        yield from (StoredCheckpoint(*row) for row in page)
        size = page[-1][0]


def _rows(conn: Conn, start: int, end: int, archived: Archived) -> Iterator[tuple[Any, ...]]:
    expected = start
    for row in chain(stored.entry_rows(conn, start, end), [(end,)]):
        while expected < row[0] and (gone := archived.row(expected)):
            expected += 1
            yield gone
        if row[0] != expected or expected == end:
            break
        expected += 1
        yield row
    if expected != end:
        raise LedgerInvalid(f"entry {expected} is missing", place=f"entry {expected}")


def _verify_row(conn: Conn, walk: Walk, row: tuple[Any, ...]) -> None:
    index, entry, leaf, *columns = row
    if entry is None:
        for tile in walk.skip(leaf):
            _verify_tile(conn, walk, tile)
        return
    step = walk.step(entry, leaf)
    for name, said, found in zip(Columns._fields, step.columns, columns, strict=True):
        if said != found:
            raise LedgerInvalid(
                f"the column {name} of entry {index} is not what the entry says", place=f"entry {index}"
            )
    if step.payload_digest:
        _verify_payload(conn, step.payload_digest, index)
    for tile in step.full:
        _verify_tile(conn, walk, tile)


def _verify_tile(conn: Conn, walk: Walk, tile: FullTile) -> None:
    path = TileRef(tile.level, tile.number).path
    query = "SELECT hashes || root FROM ledger_tiles WHERE level = %s AND number = %s"
    row = conn.cursor(row_factory=tuple_row).execute(query, (tile.level, tile.number), binary=True).fetchone()
    walk.compare(path, tile.hashes + tile.root, row[0] if row else b"")


def _verify_payload(conn: Conn, digest: str, index: int) -> None:
    path = payload_path(digest)
    try:
        found = str(Digest.of(export.payload(conn, digest)))
    except NotFound as missing:
        raise LedgerInvalid(f"the payload of entry {index} is missing", place=path) from missing
    if found != digest:
        raise LedgerInvalid(f"{path} is not the payload that entry {index} names", place=path)


def _signed_root(checkpoint: StoredCheckpoint, verifier: NoteVerifier) -> bytes:
    place = f"checkpoint {checkpoint.size}"
    try:
        signed = open_checkpoint(checkpoint.note, verifier.name, [verifier])
    except LedgerInvalid as wrong:
        raise LedgerInvalid(f"{place}: {wrong}", place=place) from wrong
    if (signed.size, signed.root) != (checkpoint.size, checkpoint.root):
        raise LedgerInvalid(f"{place} does not say what its row says", place=place)
    return signed.root


def _verify_epochs(conn: Conn, report: LedgerReport) -> None:
    """Refuse a table of epochs that does not say what the entries say."""
    query = 'SELECT number, origin, "first" FROM ledger_epochs ORDER BY number'
    found = conn.cursor(row_factory=tuple_row).execute(query).fetchall()
    said = [(epoch.number, epoch.origin, epoch.first) for epoch in report.epochs[1:]]
    for number, (row, entry) in enumerate(zip_longest(found, said), 2):
        if row != entry:
            raise LedgerInvalid(
                f"the table of epochs does not say what the entries say of epoch {number}", place=f"epoch {number}"
            )


def _verify_no_more_tiles(conn: Conn) -> None:
    """Refuse a tile that the entries of the same moment do not fill."""
    query = (
        "SELECT level, number FROM ledger_tiles WHERE level > 6 OR number >= "
        '(SELECT coalesce(max("index") + 1, 0) FROM ledger_entries) >> (8 * (level + 1)) LIMIT 1'
    )
    extra = conn.cursor(row_factory=tuple_row).execute(query).fetchone()
    if extra:
        path = TileRef(*extra).path
        raise LedgerInvalid(f"{path} belongs to no entries", place=path)
