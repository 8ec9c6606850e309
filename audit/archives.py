# SPDX-License-Identifier: Apache-2.0
"""Archives of the ledger: full tiles of old entries as files in a folder, made, read back, found and removed.

A file is written and on disk before it is registered; it is registered with its event before any row may go.  So what
a crash leaves behind is a file that nobody names, and the next run makes the same one, byte by byte.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psycopg
from psycopg.rows import tuple_row

from audit import entries, stored
from audit.archive_ddl import REMOVE
from audit.direct import value
from audit.entries import Columns
from audit.merkle import leaf_hash
from audit.stored import Conn
from audit.tiles import WIDTH, TileRef
from khatim.errors import Conflict, LedgerInvalid, NotFound, Unavailable
from khatim.vocabulary import Digest


@dataclass(frozen=True, slots=True)
class Archive:
    """The entries [first, end) in the file *place* of *digest*; *link* is the SHA-256 of the last one.

    *size* and *root* are of the checkpoint that it was made under.
    """

    first: int
    end: int
    digest: str
    place: str
    link: bytes
    size: int
    root: bytes


class ArchiveSource(Protocol):
    """Where archive files lie."""

    def read(self, place: str) -> bytes | None:
        """Return a file, None if it is not there."""
        ...


class ArchiveFolder:
    """A folder of archive files; an `ArchiveSource`."""

    def __init__(self, folder: Path) -> None:
        """Take the folder, which is made when something is first put there."""
        self._folder = folder

    def read(self, place: str) -> bytes | None:
        """Return a file, None if it is not there; raises `Unavailable`."""
        try:
            return (self._folder / Path(place).name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as wrong:
            raise Unavailable(f"the archive {place} cannot be read: {wrong}") from wrong

    def put(self, place: str, data: bytes) -> None:
        """Write a file so that it is there whole or not at all, and on disk; raises `Unavailable`."""
        part = self._folder / f".{place}.{secrets.token_hex(8)}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with part.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._folder / place)
            folder = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as wrong:
            part.unlink(missing_ok=True)
            raise Unavailable(f"the archive {place} cannot be written: {wrong}") from wrong


def made(conn: Conn, first: int, end: int) -> tuple[Archive, bytes]:
    """Return the archive of the stored entries [first, end) and its bytes, each entry held against its tile.

    Raises `Conflict` for what are not full tiles below the last checkpoint, `LedgerInvalid` where a row differs.
    """
    at = stored.checkpoint_at(conn)
    if at is None or first % WIDTH or end % WIDTH or not 0 <= first < end < at.size:
        raise Conflict(f"entries {first} to {end - 1} are not full tiles before the end of the ledger")
    rows = list(stored.entry_rows(conn, first, end))
    if [row[0] for row in rows] != list(range(first, end)):
        raise LedgerInvalid(f"entries {first} to {end - 1} are not all there", place=f"entry {first}")
    from audit import parquet  # noqa: PLC0415 - pyarrow takes a second to load, and few archive

    data = parquet.written(rows)
    place = f"{first:020d}-{end:020d}.parquet"
    archive = Archive(first, end, str(Digest.of(data)), place, entries.link_of(rows[-1][1]), at.size, at.root)
    for number in range(first // WIDTH, end // WIDTH):
        hashes = stored.tile_hashes(conn, TileRef(0, number))
        for row, leaf in zip(rows[number * WIDTH - first :], hashes, strict=False):
            if leaf_hash(row[1]) != leaf:
                raise LedgerInvalid(f"entry {row[0]} is not the one in the tree", place=f"entry {row[0]}")
    return archive, data


def rows_of(archive: Archive, data: bytes) -> list[tuple[Any, ...]]:
    """Return the rows of an archive's file; raises `LedgerInvalid` unless it is the one that was recorded.

    Digest, range, chain, leaves and look-up columns are derived anew.
    """
    place = archive.place
    if str(Digest.of(data)) != archive.digest:
        raise LedgerInvalid(f"{place} is not the file that was recorded", place=place)
    rows = checked(data, place)
    if (rows[0][0], rows[-1][0] + 1, entries.link_of(rows[-1][1])) != (archive.first, archive.end, archive.link):
        raise LedgerInvalid(f"{place} does not hold the entries that were recorded", place=place)
    return rows


def checked(data: bytes, place: str) -> list[tuple[Any, ...]]:
    """Return the rows of a file that agree with each other; raises `LedgerInvalid` naming the first that does not."""
    from audit import parquet  # noqa: PLC0415 - as above

    rows = list(parquet.rows_in(data, place))
    if not rows:
        raise LedgerInvalid(f"{place} is empty", place=place)
    prev = None
    for index, row in enumerate(rows, rows[0][0]):
        where = f"entry {index}"
        parsed = entries.parse(row[1], index)
        if (
            row[0] != index
            or leaf_hash(row[1]) != row[2]
            or entries.columns_of(parsed.event, where) != Columns(*row[3:])
        ):
            raise LedgerInvalid(f"{place}: the columns of {where} are not what it says", place=where)
        if prev is not None and parsed.prev != prev:
            raise LedgerInvalid(f"{place}: {where} does not follow from the one before", place=where)
        prev = entries.link_of(row[1])
    return rows


def registered(conn: Conn) -> list[Archive]:
    """Return every archive, oldest entries first."""
    query = 'SELECT "first", "end", digest, place, link, size, root FROM ledger_archives ORDER BY "first"'
    return [Archive(*row) for row in _rows(conn, query)]


def remove(conn: Conn, archive: Archive, source: ArchiveSource) -> int:
    """Remove the rows of a recorded archive whose file is there and holds; return how many went.

    *conn* is the sequencer's role.  What is gone already is no error.  Raises `LedgerInvalid` for a file that is not
    the recorded one, `NotFound` without a file, `Conflict` where the ledger does not record it (yet).
    """
    data = source.read(archive.place)
    if data is None:
        raise NotFound(f"the archive {archive.place} is not there; nothing was removed")
    rows = {row[0]: row[1] for row in rows_of(archive, data)}
    for row in stored.entry_rows(conn, archive.first, archive.end):
        if rows[row[0]] != row[1]:
            raise LedgerInvalid(f"entry {row[0]} is not the one in {archive.place}", place=f"entry {row[0]}")
    try:
        call = conn.execute(f"SELECT {REMOVE}(%s, %s, %s)", (archive.first, archive.end, archive.digest))
        return int(value(call))
    except psycopg.errors.RestrictViolation as refused:
        raise Conflict(
            f"the ledger does not record {archive.place}, or not yet: {refused.diag.message_primary}"
        ) from refused


def _rows(conn: Conn, query: str) -> Iterator[tuple[Any, ...]]:
    yield from conn.cursor(row_factory=tuple_row).execute(query, binary=True)
