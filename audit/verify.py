# SPDX-License-Identifier: Apache-2.0
"""An exported ledger verified offline, with nothing but its files and the verifier key.

Checked: the checkpoint's form, signature, origin and size; every entry's form, index and link to the one before; every
byte of every tile and partial tile; the root; the payloads kept aside.  `LedgerInvalid` has a member ``place`` that
names what does not hold: ``checkpoint``, ``entry 17``, ``tile/0/003``, ``payload/sha256/…`` or ``root``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from audit import epochs
from audit.checkpoint import Checkpoint, NoteVerifier, open_checkpoint
from audit.merkle import HASH_SIZE, consistency_path, verify_consistency
from audit.sources import FolderSource, TileSource, ZipSource, nodes_in
from audit.tiles import TileRef, decode_bundle, layout, payload_path
from audit.verify_blocks import Whole, blocks_of
from audit.walk import LedgerReport, Walk
from audit.witness_policy import WitnessPolicy
from khatim.errors import LedgerInvalid, Malformed
from khatim.vocabulary import Digest

__all__ = ["Demands", "FolderSource", "TileSource", "ZipSource", "entries_of", "verify_ledger"]
Progress = Callable[[int, int], None]
"""``progress(done, total)``, in entries."""


def entries_of(source: TileSource, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield index and bytes of the first *size* entries, as they stand in the bundles (verify the ledger first)."""
    for ref in layout(size):
        if ref.level is None:
            yield from enumerate(_bundle(source, ref), ref.first)


@dataclass(frozen=True, slots=True)
class Demands:
    """What a verification asks for beyond the ledger itself.

    *since* is a checkpoint that was seen before, which the ledger has to continue; *policy* says which witnesses must
    have cosigned.  *processes* share the work where the source is a folder.

    With *tree_only* every byte, tile, root and signature is checked, and neither the links nor what events say: the
    ledger is exactly the one that its key signed.  Whatever does not hold is still looked for with everything.
    """

    since: str = ""
    policy: WitnessPolicy = field(default_factory=WitnessPolicy)
    processes: int = 1
    progress: Progress = lambda done, total: None  # noqa: ARG005 - nobody looks
    tree_only: bool = False


def verify_ledger(source: TileSource, vkey: str, demands: Demands | None = None) -> LedgerReport:
    """Verify a whole log against its verifier key; the log's origin is the name of that key or of a later epoch.

    Raises `LedgerInvalid` with ``place``; `NotWitnessed` when the demanded witnesses have not cosigned; `Malformed` if
    *vkey* itself cannot be read.
    """
    asked = demands or Demands()
    verifier, note = NoteVerifier.parse(vkey), source.checkpoint()
    claimed = _claimed(note, verifier)
    asked.policy.demand(note)
    report = _quickly(source, claimed, verifier, asked) or _slowly(source, claimed, verifier, asked)
    last = epochs.trusted(report.epochs, verifier.vkey)[-1]
    open_checkpoint(note, last.origin, [last.verifier])  # of a later epoch, whose key is known only now
    if asked.since:
        _verify_since(source, report, asked.since)
    return report


def _claimed(note: str, verifier: NoteVerifier) -> Checkpoint:
    """Return the checkpoint in *note*, verified if it is of the pinned key's own epoch."""
    claimed = Checkpoint.parse(note.rpartition("\n\n")[0] + "\n")
    if claimed.origin != verifier.name and epochs.base_of(claimed.origin) == epochs.base_of(verifier.name):
        return claimed
    return open_checkpoint(note, verifier.name, [verifier])


def _slowly(source: TileSource, claimed: Checkpoint, verifier: NoteVerifier, asked: Demands) -> LedgerReport:
    """Walk from entry to entry and name what was changed."""
    walk = Walk(verifier.name, verifier.vkey)
    for ref in layout(claimed.size):
        if ref.level is None:
            _verify_bundle(source, ref, walk)
            asked.progress(walk.frontier.size, claimed.size)
    for path, derived in walk.frontier.unfinished():
        walk.compare(path, derived, source.read(path))
    return walk.finish(claimed.root)


def _quickly(source: TileSource, claimed: Checkpoint, verifier: NoteVerifier, asked: Demands) -> LedgerReport | None:
    """Verify block by block; None when anything is not as it should be, without saying what."""
    whole = Whole(tree_only=asked.tree_only)
    try:
        for block in blocks_of(source, claimed.size, processes=asked.processes, tree_only=asked.tree_only):
            if block is None or not whole.take(source, block):
                return None
            asked.progress(whole.frontier.size, claimed.size)
        ends = whole.ends_in(source, claimed.root)
    except LedgerInvalid:
        return None
    return whole.report(claimed.root) if ends and epochs.trusted(whole.epochs, verifier.vkey) else None


def _verify_since(source: TileSource, report: LedgerReport, kept: str) -> None:
    """Check that the ledger continues a checkpoint that somebody kept; raises `LedgerInvalid` for a fork or a loss."""
    origin = kept.partition("\n")[0]
    known = [epoch for epoch in report.epochs if epoch.origin == origin]
    if not known:
        raise LedgerInvalid(f"the checkpoint that you kept is of another log: {origin[:120]!r}", place="since")
    old = open_checkpoint(kept, origin, [known[0].verifier])
    after = [one for one in report.epochs if one.number > known[0].number and one.first < old.size]
    if after and after[0].loss:
        loss = after[0].loss
        raise LedgerInvalid(
            f"the entries from {loss.lost_from} to {loss.lost_to - 1} that your checkpoint covers were lost; epoch "
            f"{after[0].number} says why: {loss.reason}",
            place="since",
        )
    if old.size > report.size:
        raise LedgerInvalid(
            f"the ledger has {report.size} entries and had {old.size} when you kept your checkpoint: it was cut off",
            place="since",
        )
    try:
        # From tiles that are read again, and need not be believed: the proof holds or it does not.
        proof = consistency_path(old.size, report.size, nodes_in(source, report.size))
        verify_consistency(old.size, old.root, report.size, report.root, proof)
    except LedgerInvalid as wrong:
        raise LedgerInvalid(
            f"the ledger is not the one that you saw at size {old.size}: its history was written anew", place="since"
        ) from wrong


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
