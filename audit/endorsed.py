# SPDX-License-Identifier: Apache-2.0
"""The checkpoint that others vouch for, as it lies beside a copied ledger and is served: ``endorsed``.

The newest checkpoint is rarely the one that witnesses have cosigned and authorities have dated: they come every few
seconds.  So a copy carries two: ``checkpoint``, and the largest endorsed one, in the form of a write-once copy
(`audit.worm`).  It has to be one of this very ledger.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from audit import entries, epochs
from audit.checkpoint import Checkpoint, held_signatures, open_checkpoint
from audit.merkle import consistency_path, verify_consistency
from audit.sources import TileSource, nodes_in
from audit.tiles import ENDORSED, WIDTH, TileRef, decode_bundle
from audit.walk import LedgerReport
from audit.worm import note_in, tokens_in
from khatim.errors import LedgerInvalid, Malformed

OWN_CLOCK = "embedded"
"""What the operator's own timestamp authority is called beside a checkpoint; every other one by its address."""


@dataclass(frozen=True, slots=True)
class Endorsed:
    """A checkpoint of a verified ledger: its note with the cosignatures, and the timestamps over it, unverified.

    *stamped* are the bytes that timestamps are about: the note as the ledger signed it, before anybody cosigned it.
    *tokens* are who gave it and a TimeStampResp (DER).  *after* is the moment of its last entry.
    """

    note: str
    checkpoint: Checkpoint
    stamped: bytes
    tokens: tuple[tuple[str, bytes], ...]
    after: datetime


def read(source: TileSource) -> bytes:
    """Return the file as it lies there, empty where there is none; read it before ``checkpoint``, which grows on."""
    try:
        return source.read(ENDORSED)
    except LedgerInvalid:
        return b""


def check(source: TileSource, data: bytes, report: LedgerReport) -> Endorsed | None:
    """Return what the file holds, None for an empty one; raises `LedgerInvalid` with the place ``endorsed``.

    Its checkpoint has to be signed by the ledger and to be one of *this* ledger, which was verified as *report* says:
    no larger, and with the root that these entries had then.  The timestamps are somebody else's to verify.
    """
    if not data:
        return None
    try:
        return _checked(source, data, report)
    except (LedgerInvalid, Malformed) as wrong:
        raise LedgerInvalid(f"the endorsed checkpoint: {wrong.detail}", place=ENDORSED) from wrong


def _checked(source: TileSource, data: bytes, report: LedgerReport) -> Endorsed:
    note = note_in(data)
    claimed = Checkpoint.of_note(note)
    epoch = epochs.epoch_of(report.epochs, claimed.size)
    if epoch is None or not claimed.size:
        raise LedgerInvalid("it is of no entry of this ledger")
    checkpoint = open_checkpoint(note, epoch.origin, [epoch.verifier])
    if checkpoint.size > report.size:
        raise LedgerInvalid(
            f"it is of {checkpoint.size} entries, and the ledger has only {report.size}: it was cut off"
        )
    proof = consistency_path(checkpoint.size, report.size, nodes_in(source, report.size))
    try:
        verify_consistency(checkpoint.size, checkpoint.root, report.size, report.root, proof)
    except LedgerInvalid as wrong:
        raise LedgerInvalid("the ledger is not the one that was endorsed: its history was written anew") from wrong
    text, held = held_signatures(note, [epoch.verifier])
    stamped = f"{text}\n{''.join(one.line for one in held)}".encode()
    return Endorsed(note, checkpoint, stamped, tokens_in(data), _moment_of(source, checkpoint.size - 1, report.size))


def _moment_of(source: TileSource, index: int, size: int) -> datetime:
    number = index // WIDTH
    bundle = decode_bundle(source.read(TileRef(None, number, min(WIDTH, size - number * WIDTH)).path))
    return entries.columns_of(entries.parse(bundle[index % WIDTH], index).event, f"entry {index}").at
