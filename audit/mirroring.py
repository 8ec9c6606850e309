# SPDX-License-Identifier: Apache-2.0
"""A ledger copied as C2SP tlog-tiles from wherever it is read: to a folder that is brought up to date, or into a zip.

What lies in a full tile never changes, so a copy that was interrupted or that is older goes on where it is; the
checkpoint is written last, and an unfinished copy keeps the one before.  Copying does not verify.
"""

from __future__ import annotations

import secrets
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from audit import endorsed, entries
from audit.checkpoint import Checkpoint
from audit.sources import TileSource
from audit.tiles import CHECKPOINT, ENDORSED, TileRef, decode_bundle, layout, payload_path
from khatim.errors import AlreadyExists, LedgerInvalid, StoreFull

Progress = Callable[[int, int], None]
_DIGEST_MARK = b'"payload_digest":"sha256:'


def to_folder(source: TileSource, folder: Path, progress: Progress) -> tuple[int, int]:
    """Bring *folder* up to date; return how many files were added, and the ledger's size.

    Raises `LedgerInvalid` when the folder holds a larger ledger than the source, `StoreFull` without room.
    """
    vouched, note = endorsed.read(source), source.checkpoint()
    size, had = Checkpoint.of_note(note).size, _size_in(folder)
    if had > size:
        raise LedgerInvalid(f"{folder} holds {had} entries and the source only {size}", place=CHECKPOINT)
    added = 0
    paths = list(layout(size))
    for done, ref in enumerate(paths):
        if not (folder / ref.path).exists():
            for path, data in _files(source, ref):
                _write(folder / path, data)
                added += 1
        progress(done + 1, len(paths))
    _write(folder / CHECKPOINT, note.encode())
    if vouched:  # after the checkpoint, than which it must not be larger
        _write(folder / ENDORSED, vouched)
    return added + (had != size), size


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


def _size_in(folder: Path) -> int:
    try:
        return Checkpoint.of_note((folder / CHECKPOINT).read_text(encoding="utf-8")).size
    except (OSError, ValueError, LedgerInvalid):
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
