# SPDX-License-Identifier: Apache-2.0
"""A ledger copied as C2SP tlog-tiles from wherever it is read: to a target that is brought up to date, or into a zip.

What lies in a full tile never changes, so a copy that was interrupted or that is older goes on where it is; the
checkpoint is written last, and an unfinished copy keeps the one before.  Copying does not verify.
"""

from __future__ import annotations

import secrets
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from audit import endorsed, entries
from audit.checkpoint import Checkpoint
from audit.sources import TileSource
from audit.tiles import CHECKPOINT, ENDORSED, TileRef, decode_bundle, layout, payload_path
from khatim.errors import AlreadyExists, LedgerInvalid, StoreFull

Progress = Callable[[int, int], None]
_DIGEST_MARK = b'"payload_digest":"sha256:'


class Target(Protocol):
    """Where a copy lies and is brought up to date."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    def has(self, path: str) -> bool:
        """Whether the file is there."""
        ...

    def read(self, path: str) -> bytes:
        """Return a file, empty if there is none."""
        ...

    def put(self, path: str, data: bytes) -> None:
        """Let a file appear whole or not at all; raises `StoreFull` or `Unavailable`."""
        ...


class FolderTarget:
    """A copy in a folder."""

    def __init__(self, root: Path) -> None:
        """Take the folder; it is made when something is put into it."""
        self.name = str(root)
        self._root = root

    def has(self, path: str) -> bool:
        """Whether the file is there."""
        return (self._root / path).exists()

    def read(self, path: str) -> bytes:
        """Return a file, empty if there is none that can be read."""
        try:
            return (self._root / path).read_bytes()
        except OSError:
            return b""

    def put(self, path: str, data: bytes) -> None:
        """Write a draft, and put it in its place in one step."""
        _write(self._root / path, data)


def bring_up_to_date(source: TileSource, target: Target, progress: Progress) -> tuple[int, int]:
    """Copy to *target* what it has not got; return how many files were added, and the ledger's size.

    Raises `LedgerInvalid` when the target holds a larger ledger than the source, and whatever it cannot take.
    """
    vouched, note = endorsed.read(source), source.checkpoint()
    size, had = Checkpoint.of_note(note).size, _size_in(target)
    if had > size:
        raise LedgerInvalid(f"{target.name} holds {had} entries and the source only {size}", place=CHECKPOINT)
    added = 0
    paths = list(layout(size))
    for done, ref in enumerate(paths):
        if not target.has(ref.path):
            for path, data in _files(source, ref):
                target.put(path, data)
                added += 1
        progress(done + 1, len(paths))
    target.put(CHECKPOINT, note.encode())
    if vouched:  # after the checkpoint, than which it must not be larger
        target.put(ENDORSED, vouched)
    return added + (had != size), size


def to_folder(source: TileSource, folder: Path, progress: Progress) -> tuple[int, int]:
    """Bring *folder* up to date, as `bring_up_to_date`."""
    return bring_up_to_date(source, FolderTarget(folder), progress)


def to_zip(source: TileSource, file: Path, progress: Progress) -> tuple[int, int]:
    """Write a new zip file; return how many files it holds, and the ledger's size.  Raises `AlreadyExists`."""
    if file.exists():
        raise AlreadyExists(f"{file} exists")
    vouched, note = endorsed.read(source), source.checkpoint()
    size, added = Checkpoint.of_note(note).size, 1
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        with zipfile.ZipFile(draft, "x", zipfile.ZIP_DEFLATED) as archive:
            paths = list(layout(size))
            for done, ref in enumerate(paths):
                for path, data in _files(source, ref):
                    archive.writestr(path, data)
                    added += 1
                progress(done + 1, len(paths))
            archive.writestr(CHECKPOINT, note)
            if vouched:
                archive.writestr(ENDORSED, vouched)
                added += 1
        draft.replace(file)
    except OSError as wrong:
        raise StoreFull(f"{file} cannot be written: {wrong.strerror}") from wrong
    finally:
        with suppress(OSError):
            draft.unlink()
    return added, size


def _files(source: TileSource, ref: TileRef) -> Iterator[tuple[str, bytes]]:
    """Yield a tile or a bundle, the payloads that the bundle's entries name before it."""
    data = source.read(ref.path)
    if ref.level is None and _DIGEST_MARK in data:
        for index, entry in enumerate(decode_bundle(data), ref.first):
            digest = entries.payload_digest_of(entries.parse(entry, index).event)
            if digest:
                yield payload_path(digest), source.read(payload_path(digest))
    yield ref.path, data


def _size_in(target: Target) -> int:
    try:
        return Checkpoint.of_note(target.read(CHECKPOINT).decode()).size
    except (ValueError, LedgerInvalid):
        return 0


def _write(path: Path, data: bytes) -> None:
    """Let a file appear whole or not at all."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(data)
        draft.replace(path)
    except OSError as wrong:
        with suppress(OSError):
            draft.unlink()
        raise StoreFull(f"{path} cannot be written: {wrong.strerror}") from wrong
