# SPDX-License-Identifier: Apache-2.0
"""The ledger handed out: as a folder of tiles, one tile at a time over HTTP, or as a proof about one entry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from psycopg.rows import tuple_row

from audit import endorsements, entries, stored
from audit.checkpoint import Checkpoint
from audit.merkle import consistency_path, inclusion_path, leaf_hash
from audit.stored import Conn, StoredCheckpoint
from audit.tiles import CHECKPOINT, WIDTH, TileRef, bundles_of, encode_bundle, layout, payload_path
from khatim.errors import NotFound

_DIGEST_MARK = b'"payload_digest":"sha256:'


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """That the bytes *entry* stand at *index* of the ledger of *size*, whose signed checkpoint is *note*."""

    index: int
    size: int
    entry: bytes
    leaf: bytes
    proof: tuple[bytes, ...]
    root: bytes
    note: str


def latest_note(conn: Conn) -> str:
    """Return the latest signed checkpoint; raises `NotFound` before the first."""
    return _checkpoint(conn, None).note


def export_ledger(conn: Conn, write: Callable[[str, bytes], None], size: int | None = None) -> Checkpoint:
    """Write the ledger as it was at a checkpoint (by default the latest one) through ``write(path, data)``.

    The layout is C2SP tlog-tiles: ``tile/entries/…``, ``tile/<level>/…``, ``checkpoint`` with the cosignatures that
    came for it last, so that an unfinished copy does not pass for a ledger.  Payloads kept aside lie beside it
    (`tiles.payload_path`).  Raises `NotFound` if no checkpoint of that size was signed.
    """
    at = _checkpoint(conn, size)
    digests: dict[str, None] = {}

    def watched() -> Iterator[bytes]:
        for index, entry in enumerate(stored.entries_between(conn, 0, at.size)):
            if _DIGEST_MARK in entry:
                digest = entries.payload_digest_of(entries.parse(entry, index).event)
                digests.update({digest: None} if digest else {})
            yield entry

    for path, data in bundles_of(watched()):
        write(path, data)
    for ref in layout(at.size):
        if ref.level is not None:
            write(ref.path, b"".join(stored.tile_hashes(conn, ref)))
    for digest in digests:
        write(payload_path(digest), payload(conn, digest))
    write(CHECKPOINT, endorsements.cosigned_note(conn, at).encode())
    return Checkpoint.parse(at.note.rpartition("\n\n")[0] + "\n")


def tile_bytes(conn: Conn, path: str) -> bytes:
    """Return one tile or entry bundle; raises `Malformed` for what is no path, `NotFound` for what is not there yet."""
    ref = TileRef.parse(path)
    covered = _checkpoint(conn, None).size // WIDTH ** (ref.level or 0)
    first = ref.number * WIDTH
    if first + ref.width > covered:
        raise NotFound(f"the ledger has not grown to {path} yet")
    if ref.level is None:
        return encode_bundle(stored.entries_between(conn, first, first + ref.width))
    return b"".join(stored.tile_hashes(conn, ref))


def payload(conn: Conn, digest: str) -> bytes:
    """Return a payload that was kept aside; raises `NotFound`."""
    row = (
        conn.cursor(row_factory=tuple_row)
        .execute("SELECT body FROM ledger_payloads WHERE digest = %s", (digest,), binary=True)
        .fetchone()
    )
    if row is None:
        raise NotFound(f"the ledger keeps no payload {digest[:80]}")
    return bytes(row[0])


def inclusion(conn: Conn, index: int, size: int | None = None) -> InclusionProof:
    """Prove that entry *index* stands in the ledger of a checkpoint's *size*; reads O(log n) tiles.

    Raises `NotFound` for an entry beyond that size or a size that was never signed.
    """
    at = _checkpoint(conn, size)
    if not 0 <= index < at.size:
        raise NotFound(f"the ledger of size {at.size} has no entry {index}")
    entry = next(stored.entries_between(conn, index, index + 1))
    proof = inclusion_path(index, at.size, stored.nodes(conn, at.size))
    return InclusionProof(index, at.size, entry, leaf_hash(entry), tuple(proof), at.root, at.note)


def consistency(conn: Conn, old: int, size: int | None = None) -> list[bytes]:
    """Prove that the ledger of size *old* is a prefix of that of a checkpoint's *size*; reads O(log n) tiles."""
    at = _checkpoint(conn, size)
    if not 0 <= old <= at.size:
        raise NotFound(f"the ledger of size {at.size} does not contain one of size {old}")
    return consistency_path(old, at.size, stored.nodes(conn, at.size))


def _checkpoint(conn: Conn, size: int | None) -> StoredCheckpoint:
    found = stored.checkpoint_at(conn, size)
    if found is None:
        raise NotFound("the ledger is not open yet" if size is None else f"no checkpoint of size {size} was signed")
    return found
