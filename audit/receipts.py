# SPDX-License-Identifier: Apache-2.0
"""A receipt checked without any server: entry, leaf, inclusion proof, checkpoint, and who witnessed it.

Across epochs it is followed both ways: a key that was pinned before leads to the later ones by the entries that opened
them, and what became of an old receipt's entry is told by a ledger that went on without its end (`audit.epochs`).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from audit import entries, epochs
from audit.checkpoint import Checkpoint, NoteVerifier, open_checkpoint
from audit.entries import Entry
from audit.epochs import Epoch, Loss
from audit.merkle import consistency_path, leaf_hash, verify_consistency, verify_inclusion
from audit.sources import TileSource, nodes_in
from audit.walk import LedgerReport
from audit.witness_policy import Witnessed, WitnessPolicy
from khatim.errors import LedgerInvalid
from khatim.wire import proofs


@dataclass(frozen=True, slots=True)
class CheckedReceipt:
    """What a receipt proves: that *entry* stands in the log of *checkpoint*, seen by the witnesses of *witnessed*."""

    entry: Entry
    leaf: bytes
    checkpoint: Checkpoint
    witnessed: Witnessed


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a receipt's entry in the ledger of *origin* and *size*: there, or lost as *loss* says."""

    index: int
    origin: str
    size: int
    loss: Loss | None = None

    @property
    def told(self) -> str:
        """The same in words."""
        if self.loss is None:
            return f"entry {self.index} stands in {self.origin} of {self.size} entries as well"
        return (
            f"entry {self.index} was lost with the entries from {self.loss.lost_from} to {self.loss.lost_to - 1}: "
            f"{self.origin} commits to the checkpoint that covered them, and says why: {self.loss.reason}"
        )


def check(receipt: proofs.Receipt, vkey: str, policy: WitnessPolicy | None = None) -> CheckedReceipt:
    """Check *receipt* against the ledger's verifier key; raises `LedgerInvalid` or `NotWitnessed`.

    The key is that of the epoch that signed the checkpoint, or of one before it: then the receipt's own openings have
    to lead from one to the next, each signed over by the key before.
    """
    signer = _signer(receipt, NoteVerifier.parse(vkey))
    signed = open_checkpoint(receipt.checkpoint, signer.name, [signer])
    entry = _bytes(receipt.entry, "the entry")
    leaf = leaf_hash(entry)
    if signed.size != receipt.size or leaf != _bytes(receipt.leaf, "the leaf"):
        raise LedgerInvalid("the receipt's leaf or size is not that of its entry and checkpoint", place="receipt")
    proof = [_bytes(one, "the proof") for one in receipt.proof]
    verify_inclusion(leaf, receipt.index, signed.size, proof, signed.root)
    parsed = entries.parse(entry, receipt.index)
    return CheckedReceipt(parsed, leaf, signed, (policy or WitnessPolicy()).demand(receipt.checkpoint))


def fate_of(found: CheckedReceipt, source: TileSource, report: LedgerReport) -> Fate:
    """Return what became of a checked receipt's entry in a ledger that was verified as *report* says.

    Raises `LedgerInvalid` when the ledger is another one, or hides that the entry was ever there.
    """
    known = [one for one in report.epochs if one.origin == found.checkpoint.origin]
    if not known:
        raise LedgerInvalid("the receipt is of a log that this ledger does not name", place="receipt")
    after = next((one for one in report.epochs if one.number > known[0].number), None)
    loss = after.loss if after and after.first < found.checkpoint.size else None
    if loss is None:
        _require_continued(found.checkpoint, source, report)
    else:
        _require_committed(found.checkpoint, loss)
    index = found.entry.index
    if loss and loss.lost_from <= index:
        return Fate(index, report.origin, report.size, loss)
    if nodes_in(source, report.size)(0, index) != found.leaf:
        raise LedgerInvalid(f"another entry stands at {index} than the one in the receipt", place=f"entry {index}")
    return Fate(index, report.origin, report.size)


def _signer(receipt: proofs.Receipt, pinned: NoteVerifier) -> NoteVerifier:
    """Return the key of the epoch whose checkpoint the receipt has: *pinned*, or one that it was handed over to."""
    wanted = receipt.checkpoint.partition("\n")[0]
    base = epochs.base_of(pinned.name)
    number = int(pinned.name.rpartition("/")[2]) if base != pinned.name else 1
    last = Epoch(number, pinned.name, pinned.vkey, 0)
    for one in receipt.openings:
        if last.origin == wanted:
            break
        event = entries.parse(_bytes(one.entry, "an opening"), one.index).event
        last = epochs.next_of(event, one.index, last) or last
    return last.verifier if last.origin == wanted else pinned


def _require_continued(old: Checkpoint, source: TileSource, report: LedgerReport) -> None:
    if old.size > report.size:
        raise LedgerInvalid(f"the ledger has {report.size} entries, the receipt's had {old.size}", place="receipt")
    proof = consistency_path(old.size, report.size, nodes_in(source, report.size))
    try:
        verify_consistency(old.size, old.root, report.size, report.root, proof)
    except LedgerInvalid as wrong:
        raise LedgerInvalid("the ledger does not continue the one of the receipt", place="receipt") from wrong


def _require_committed(old: Checkpoint, loss: Loss) -> None:
    """Check a checkpoint whose end is lost against the one that the next epoch commits to.

    Below it only sizes can be compared: what would prove more is what was lost.
    """
    committed = Checkpoint.of_note(loss.old_note)
    if old.size > committed.size or (old.size == committed.size and old.root != committed.root):
        raise LedgerInvalid(
            f"the next epoch commits to {committed.size} entries, and the receipt's {old.size} are not among them",
            place="receipt",
        )


def _bytes(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as wrong:
        raise LedgerInvalid(f"{what} of the receipt is not base64", place="receipt") from wrong
