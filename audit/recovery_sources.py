# SPDX-License-Identifier: Apache-2.0
"""Where lost entries are found again: an exported ledger, or the receipts that callers kept.

Nothing here is believed: entries count when they lead from what is stored to the checkpoint that is known outside.
"""

from __future__ import annotations

import base64
import json
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol

from audit import entries
from audit.canonical import canonical
from audit.checkpoint import Checkpoint
from audit.merkle import leaf_hash, verify_inclusion
from audit.sources import UrlSource
from audit.tiles import WIDTH, TileRef, decode_bundle, payload_path
from audit.verify import FolderSource, TileSource, ZipSource
from khatim.errors import LedgerInvalid, Malformed
from khatim.vocabulary import Digest

_CHECKPOINTS = ("checkpoint", "ledger/checkpoint")


class LostEntries(Protocol):
    """Who may have what was lost."""

    def between(self, start: int, prev: bytes, known: Checkpoint) -> Iterator[tuple[bytes, bytes | None]]:
        """Yield the entries [start, known.size), each with its payload kept aside; *prev* is the link at *start*.

        Raises `LedgerInvalid` at a gap.
        """
        ...


class FromTiles:
    """The entry bundles of an exported or mirrored ledger, as large as the known checkpoint or larger."""

    def __init__(self, source: TileSource) -> None:
        """Take the files; they need not have been verified."""
        self._source = source

    def between(self, start: int, prev: bytes, known: Checkpoint) -> Iterator[tuple[bytes, bytes | None]]:
        """Yield the entries from the bundles; they carry their links themselves."""
        del prev
        held = Checkpoint.parse(self._source.checkpoint().rpartition("\n\n")[0] + "\n").size
        if held < known.size:
            raise LedgerInvalid(
                f"this copy has {held} entries, and {known.size} are known to have been signed", place=f"entry {held}"
            )
        for number in range(start // WIDTH, (known.size + WIDTH - 1) // WIDTH):
            bundle = self._source.read(TileRef(None, number, min(WIDTH, held - number * WIDTH)).path)
            for index, entry in enumerate(_decoded(bundle, number), number * WIDTH):
                if start <= index < known.size:
                    yield entry, self._payload(entry, index)

    def _payload(self, entry: bytes, index: int) -> bytes | None:
        digest = entries.payload_digest_of(entries.parse(entry, index).event)
        return self._source.read(payload_path(_digest(digest, index))) if digest else None


class FromReceipts:
    """Answers that callers kept: what `khatim ledger show INDEX --json` prints, with or without ``--receipt``.

    Each file is one JSON object; payloads kept aside lie beside them.  An entry is made again from its event and its
    place in the chain.
    """

    def __init__(self, folder: Path) -> None:
        """Take the folder of the files."""
        self._folder = folder

    def between(self, start: int, prev: bytes, known: Checkpoint) -> Iterator[tuple[bytes, bytes | None]]:
        """Yield the entries made again; one that is not the leaf of its own receipt is refused."""
        bodies: dict[int, bytes] = {}
        leaves: dict[int, bytes] = {}
        for path in sorted(self._folder.glob("*.json")):
            _read(path, known, bodies, leaves)
        for index in range(start, known.size):
            place = f"entry {index}"
            if index not in bodies:
                raise LedgerInvalid(f"nobody kept {place}", place=place)
            entry = entries.build(bodies[index], index, prev)
            if leaves.get(index, leaf_hash(entry)) != leaf_hash(entry):
                raise LedgerInvalid(f"{place} is not the one that its receipt proves", place=place)
            prev = entries.link_of(entry)
            digest = entries.payload_digest_of(entries.parse(entry, index).event)
            yield entry, FolderSource(self._folder).read(payload_path(_digest(digest, index))) if digest else None


def _read(path: Path, known: Checkpoint, bodies: dict[int, bytes], leaves: dict[int, bytes]) -> None:
    """Read one kept answer; a proof is checked where it is for the known checkpoint."""
    try:
        said = json.loads(path.read_bytes())
        index, leaf = int(said["index"]), base64.b64decode(said["leaf"], validate=True)
        body = canonical(said["body"]) if "body" in said else None
        proof = [base64.b64decode(one, validate=True) for one in said.get("proof", ())]
        size = int(said.get("size", 0))
    except (OSError, ValueError, KeyError, TypeError) as wrong:
        raise Malformed(f"{path.name} is neither an entry nor a receipt: {wrong}") from wrong
    if size == known.size:
        verify_inclusion(leaf, index, size, proof, known.root)
    leaves[index] = leaf
    if body is not None:
        bodies[index] = body


def _digest(digest: str, index: int) -> str:
    try:
        return str(Digest.parse(digest))
    except ValueError as wrong:
        raise LedgerInvalid(f"entry {index} names no digest as its payload", place=f"entry {index}") from wrong


def _decoded(bundle: bytes, number: int) -> list[bytes]:
    try:
        return decode_bundle(bundle)
    except Malformed as wrong:
        raise LedgerInvalid(
            f"bundle {number} of this copy is damaged: {wrong}", place=f"entry {number * WIDTH}"
        ) from wrong


@contextmanager
def opened(source: str | Path) -> Iterator[LostEntries]:
    """Open a folder of tiles, a zip with them (an engagement, too), the address of a log, or a folder of receipts.

    Raises `Malformed` for anything else.
    """
    if isinstance(source, str) and source.startswith(("http://", "https://")):
        with closing(UrlSource(source)) as log:
            yield FromTiles(log)
        return
    path = Path(source)
    if path.is_dir():
        found = [path.joinpath(name).parent for name in _CHECKPOINTS if path.joinpath(name).is_file()]
        yield FromTiles(FolderSource(found[0])) if found else FromReceipts(path)
        return
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as wrong:
        raise Malformed(f"{path} is neither a folder nor a zip file that can be read") from wrong
    with archive:
        inside = [name for name in _CHECKPOINTS if name in archive.namelist()]
        if not inside:
            raise Malformed(f"{path} holds no ledger")
        yield FromTiles(ZipSource(archive, inside[0].removesuffix("checkpoint")))
