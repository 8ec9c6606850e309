# SPDX-License-Identifier: Apache-2.0
"""An exported ledger verified offline, with nothing but its files and the verifier key.

Checked: the checkpoint's form, signature, origin and size; every entry's form, index and link to the one before; every
byte of every tile and partial tile; the root; the payloads kept aside.  `LedgerInvalid` has a member ``place`` that
names what does not hold: ``checkpoint``, ``entry 17``, ``tile/0/003``, ``payload/sha256/…`` or ``root``.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from audit.checkpoint import NoteVerifier, open_checkpoint
from audit.merkle import HASH_SIZE
from audit.tiles import CHECKPOINT, TileRef, decode_bundle, layout, payload_path
from audit.walk import LedgerReport, Walk
from khatim.errors import LedgerInvalid, Malformed
from khatim.vocabulary import Digest


class TileSource(Protocol):
    """Where the files of a log come from."""

    def checkpoint(self) -> str:
        """Return the signed checkpoint; raises `LedgerInvalid` if there is none."""
        ...

    def read(self, path: str) -> bytes:
        """Return the file at *path* below the log's prefix; raises `LedgerInvalid` naming it if it is not there."""
        ...


class FolderSource:
    """A log in a folder."""

    def __init__(self, root: Path) -> None:
        """Take the folder that holds ``checkpoint`` and ``tile/``."""
        self._root = root

    def checkpoint(self) -> str:
        """Return the signed checkpoint."""
        return _text(self.read(CHECKPOINT))

    def read(self, path: str) -> bytes:
        """Return the file at *path*."""
        try:
            return self._root.joinpath(path).read_bytes()
        except OSError as missing:
            raise LedgerInvalid(f"{path} is missing or unreadable", place=path) from missing


class ZipSource:
    """A log inside a zip file, below a prefix such as ``ledger/``."""

    def __init__(self, archive: zipfile.ZipFile, prefix: str = "") -> None:
        """Take the open archive, which the caller closes."""
        self._archive, self._prefix = archive, prefix

    def checkpoint(self) -> str:
        """Return the signed checkpoint."""
        return _text(self.read(CHECKPOINT))

    def read(self, path: str) -> bytes:
        """Return the member at *path*."""
        try:
            return self._archive.read(self._prefix + path)
        except (
            KeyError,
            OSError,
            EOFError,
            RuntimeError,
            NotImplementedError,
            zipfile.BadZipFile,
            zlib.error,
        ) as wrong:
            raise LedgerInvalid(f"{self._prefix}{path} is missing or damaged", place=path) from wrong


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as wrong:
        raise LedgerInvalid("the checkpoint is not UTF-8", place=CHECKPOINT) from wrong


def entries_of(source: TileSource, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield index and bytes of the first *size* entries, as they stand in the bundles (verify the ledger first)."""
    for ref in layout(size):
        if ref.level is None:
            yield from enumerate(_bundle(source, ref), ref.first)


def verify_ledger(source: TileSource, vkey: str) -> LedgerReport:
    """Verify a whole log against its verifier key; the log's origin is the name of that key.

    Raises `LedgerInvalid` with ``place``; `Malformed` if *vkey* itself cannot be read.
    """
    verifier = NoteVerifier.parse(vkey)
    signed = open_checkpoint(source.checkpoint(), verifier.name, [verifier])
    walk = Walk(verifier.name, verifier.vkey)
    for ref in layout(signed.size):
        if ref.level is None:
            _verify_bundle(source, ref, walk)
    for path, derived in walk.frontier.unfinished():
        walk.compare(path, derived, source.read(path))
    return walk.finish(signed.root)


def _verify_bundle(source: TileSource, ref: TileRef, walk: Walk) -> None:
    leaves = source.read(TileRef(0, ref.number, ref.width).path)
    for offset, entry in enumerate(_bundle(source, ref)):
        step = walk.step(entry, leaves[offset * HASH_SIZE : (offset + 1) * HASH_SIZE])
        if step.payload_digest:
            _verify_payload(source, step.payload_digest, ref.first + offset)
        for tile in step.full:
            path = TileRef(tile.level, tile.number).path
            walk.compare(path, tile.hashes, source.read(path))


def _bundle(source: TileSource, ref: TileRef) -> list[bytes]:
    try:
        found = decode_bundle(source.read(ref.path))
    except Malformed as wrong:
        raise LedgerInvalid(f"{ref.path}: {wrong}", place=ref.path) from wrong
    if len(found) != ref.width:
        raise LedgerInvalid(f"{ref.path} holds {len(found)} entries, not {ref.width}", place=ref.path)
    return found


def _verify_payload(source: TileSource, digest: str, index: int) -> None:
    try:
        path = payload_path(str(Digest.parse(digest)))
    except ValueError as wrong:  # a digest is also the name of a file: nothing but 64 hexadecimal digits is read
        raise LedgerInvalid(f"entry {index} names no digest as its payload", place=f"entry {index}") from wrong
    if str(Digest.of(source.read(path))) != digest:
        raise LedgerInvalid(f"{path} is not the payload that entry {index} names", place=path)
