# SPDX-License-Identifier: Apache-2.0
"""Archived entries in the verification of a database: from their file where it is at hand, else by their tiles.

By its tiles an entry counts as a leaf only: it leads to the signed root, and what it says is not read.  An archive
whose rows are gone must have its entry ``ledger.archived`` in the ledger; such entries never leave the database.
"""

from __future__ import annotations

from typing import Any

from audit import archives, entries, stored
from audit.archive_events import LedgerArchived
from audit.archives import Archive, ArchiveSource
from audit.stored import Conn
from audit.tiles import WIDTH, TileRef
from audit.walk import Walk
from khatim.errors import LedgerInvalid


class Archived:
    """The archived ranges of one verification, in the order of the walk."""

    def __init__(self, conn: Conn, source: ArchiveSource | None) -> None:
        """Read which archives there are; *source* None means that no file is at hand."""
        self._conn, self._source = conn, source
        self._archives = archives.registered(conn)
        self._ends = {one.end: one for one in self._archives}
        self._said: set[tuple[Any, ...]] = set()
        self._gone: dict[Archive, None] = {}
        self._rows: tuple[Archive | None, list[tuple[Any, ...]]] = (None, [])
        self._tile: tuple[int, list[bytes]] = (-1, [])
        self._ways: dict[str, str] = {}

    def row(self, index: int) -> tuple[Any, ...] | None:
        """Return the row of an entry that is gone; only (index, None, leaf) without its file; None if not archived."""
        archive = next((one for one in self._archives if one.first <= index < one.end), None)
        if archive is None:
            return None
        self._gone[archive] = None
        if self._from_file(archive):
            return self._rows[1][index - archive.first]
        number = index // WIDTH
        if self._tile[0] != number:
            self._tile = number, stored.tile_hashes(self._conn, TileRef(0, number))
        return index, None, self._tile[1][index % WIDTH]

    def _from_file(self, archive: Archive) -> bool:
        if self._rows[0] is not archive:
            data = self._source.read(archive.place) if self._source else None
            self._ways[archive.place] = "tiles" if data is None else "file"
            self._rows = archive, archives.rows_of(archive, data) if data is not None else []
        return bool(self._rows[1])

    def note(self, walk: Walk, row: tuple[Any, ...]) -> None:
        """Take what the entry just walked says about archives, and hold the end of a range against its record."""
        index, entry, kind = row[0], row[1], row[3] if len(row) > 3 else ""  # noqa: PLR2004 - a row without its entry
        if kind == LedgerArchived.kind:
            said = entries.parse(entry, index).event.get("payload")
            if isinstance(said, dict):
                self._said.add(tuple(said.get(name) for name in ("first", "end", "digest", "place", "size", "root")))
        ended = self._ends.get(index + 1)
        if ended:
            walk.rejoin(ended.link)

    def finish(self) -> tuple[tuple[str, str], ...]:
        """Return (place, ``file`` or ``tiles``) of each archive used; raises `LedgerInvalid` for an unrecorded one."""
        for one in self._gone:
            if (one.first, one.end, one.digest, one.place, one.size, one.root.hex()) not in self._said:
                raise LedgerInvalid(
                    f"no entry of the ledger records the archive {one.place}", place=f"entry {one.first}"
                )
        return tuple(sorted(self._ways.items()))
