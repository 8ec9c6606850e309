# SPDX-License-Identifier: Apache-2.0
"""A receipt checked without any server: entry, leaf, inclusion proof, checkpoint, and who witnessed it."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from audit import entries
from audit.checkpoint import Checkpoint, NoteVerifier, open_checkpoint
from audit.entries import Entry
from audit.merkle import leaf_hash, verify_inclusion
from audit.witness_policy import Witnessed, WitnessPolicy
from khatim.errors import LedgerInvalid
from khatim.wire import proofs


@dataclass(frozen=True, slots=True)
class CheckedReceipt:
    """What a receipt proves: that *entry* stands in the log of *checkpoint*, seen by the witnesses of *witnessed*."""

    entry: Entry
    checkpoint: Checkpoint
    witnessed: Witnessed


def check(receipt: proofs.Receipt, vkey: str, policy: WitnessPolicy | None = None) -> CheckedReceipt:
    """Check *receipt* against the ledger's verifier key; raises `LedgerInvalid` or `NotWitnessed`.

    The key is that of the epoch that signed it: `khatim ledger verify` follows a ledger through its epochs.
    """
    verifier = NoteVerifier.parse(vkey)
    signed = open_checkpoint(receipt.checkpoint, verifier.name, [verifier])
    entry = _bytes(receipt.entry, "the entry")
    leaf = leaf_hash(entry)
    if signed.size != receipt.size or leaf != _bytes(receipt.leaf, "the leaf"):
        raise LedgerInvalid("the receipt's leaf or size is not that of its entry and checkpoint", place="receipt")
    proof = [_bytes(one, "the proof") for one in receipt.proof]
    verify_inclusion(leaf, receipt.index, signed.size, proof, signed.root)
    parsed = entries.parse(entry, receipt.index)
    return CheckedReceipt(parsed, signed, (policy or WitnessPolicy()).demand(receipt.checkpoint))


def _bytes(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as wrong:
        raise LedgerInvalid(f"{what} of the receipt is not base64", place="receipt") from wrong
