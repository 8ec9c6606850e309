# SPDX-License-Identifier: Apache-2.0
"""Receipts across epochs: an old key leads to the new one, and a lost entry is told to be lost."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest

from audit import epochs, export, receipts, verify
from audit.checkpoint import ED25519, Checkpoint, sign_checkpoint, vkey_of, vkey_parts
from audit.entries import NO_ENTRY, build, parse
from audit.merkle import Tree, leaf_hash
from audit.receipts import CheckedReceipt, Fate
from audit.sources import FolderSource
from audit.walk import LedgerReport
from audit.witness_policy import WitnessPolicy
from khatim.errors import LedgerInvalid
from khatim.wire import proofs
from tests.audit.ledgers import OPENED, ORIGIN, SIGNER, LedgerDatabase, event_body, signer_named
from tests.audit.test_recovery import DECIDED, Restored, filled, signer_of


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def opening(index: int, entry: bytes) -> proofs.Opening:
    return proofs.Opening(index=index, entry=b64(entry))


def receipt_of(ledger: LedgerDatabase, index: int, size: int | None = None) -> proofs.Receipt:
    """Return the receipt of an entry as the registry makes it."""
    with ledger.connect() as conn:
        proof = export.inclusion(conn, index, size)
        first = conn.execute('SELECT "first" FROM ledger_epochs WHERE "first" < %s ORDER BY number', (proof.size,))
        openings = [opening(at, export.inclusion(conn, at).entry) for (at,) in first.fetchall()]
    return proofs.Receipt(
        index=index, leaf=b64(proof.leaf), size=proof.size, proof=[b64(one) for one in proof.proof],
        checkpoint=proof.note, entry=b64(proof.entry), openings=openings,
    )  # fmt: skip


class Lost:
    """A ledger whose entries 401 to 600 were lost, with receipts from before, gone on as epoch 2."""

    def __init__(self, ledger: LedgerDatabase, folder: Path) -> None:
        made: Restored = filled(ledger, folder)
        self.old = {index: receipt_of(ledger, index) for index in (0, 17, 400, 401, 600)}
        self.earlier = receipt_of(ledger, 17, 201)
        self.partly = receipt_of(ledger, 17, 401)
        made.restore(401)
        made.recover()
        made.drain()
        ledger.offer(event_body(1000))
        made.drain()
        self.ledger = ledger
        self.copy = folder / "new"
        with ledger.connect() as conn:
            export.export_ledger(conn, self._write)
        self.source = FolderSource(self.copy)
        self.report: LedgerReport = verify.verify_ledger(self.source, SIGNER.vkey)

    def _write(self, path: str, data: bytes) -> None:
        (self.copy / path).parent.mkdir(parents=True, exist_ok=True)
        (self.copy / path).write_bytes(data)

    def fate(self, receipt: proofs.Receipt | CheckedReceipt) -> Fate:
        found = receipts.check(receipt, SIGNER.vkey) if isinstance(receipt, proofs.Receipt) else receipt
        return receipts.fate_of(found, self.source, self.report)


@pytest.fixture
def lost(ledger: LedgerDatabase, tmp_path: Path) -> Lost:
    return Lost(ledger, tmp_path)


def test_the_key_of_the_first_epoch_leads_to_a_receipt_of_the_second(lost: Lost) -> None:
    for index in (0, 400, 401, 402):
        receipt = receipt_of(lost.ledger, index)
        found = receipts.check(receipt, SIGNER.vkey)
        assert (found.checkpoint.origin, found.entry.index) == (f"{ORIGIN}/2", index)
        assert receipts.check(receipt, signer_of(2).vkey) == found
        with pytest.raises(LedgerInvalid):
            receipts.check(receipt.model_copy(update={"openings": []}), SIGNER.vkey)
        with pytest.raises(LedgerInvalid):
            receipts.check(receipt, signer_named("ledger.other.khatim").vkey)


def test_an_opening_that_the_old_key_did_not_sign_leads_nowhere(lost: Lost) -> None:
    receipt = receipt_of(lost.ledger, 17)
    (honest,) = receipt.openings
    at, entry = honest.index, base64.b64decode(honest.entry)
    thief = signer_named("thief")
    second = epochs.next_of(parse(entry, at).event, at, lost.report.epochs[0])
    assert second is not None
    forged = replace(second, vkey=vkey_of(f"{ORIGIN}/2", vkey_parts(thief.vkey)[2], ED25519))
    body = epochs.opening_body(forged, thief, OPENED)
    bad = build(body, at, parse(entry, at).prev)
    no_base64 = proofs.Opening(index=at, entry="?")
    for openings in ([opening(at, bad)], [no_base64], [opening(at + 1, entry)], [opening(at, entry[:-1])]):
        with pytest.raises(LedgerInvalid):
            receipts.check(receipt.model_copy(update={"openings": openings}), SIGNER.vkey)


def test_an_old_receipt_of_an_entry_that_is_left_is_followed_into_the_new_epoch(lost: Lost) -> None:
    for receipt in (lost.old[0], lost.old[17], lost.old[400], lost.earlier, lost.partly):
        found = lost.fate(receipt)
        assert (found.origin, found.size, found.loss) == (f"{ORIGIN}/2", 403, None)
        assert "stands in" in found.told
    assert lost.fate(receipt_of(lost.ledger, 402)).loss is None


def test_an_old_receipt_of_a_lost_entry_is_told_with_the_reason(lost: Lost) -> None:
    for index in (401, 600):
        found = lost.fate(lost.old[index])
        assert found.loss is not None
        assert found.told == (
            f"entry {index} was lost with the entries from 401 to 600: {ORIGIN}/2 commits to the checkpoint that "
            f"covered them, and says why: {DECIDED.reason}"
        )


def moved(found: CheckedReceipt, checkpoint: Checkpoint) -> CheckedReceipt:
    return replace(found, checkpoint=checkpoint)


def test_a_receipt_that_the_new_epoch_does_not_account_for_is_a_fork(lost: Lost) -> None:
    """Signed by the old key, but in no history that the ledger admits to."""
    found = receipts.check(lost.old[17], SIGNER.vkey)
    for checkpoint, said in (
        (Checkpoint(ORIGIN, 602, bytes(32)), "commits to 601 entries"),
        (Checkpoint(ORIGIN, 601, bytes(32)), "commits to 601 entries"),
        (Checkpoint(ORIGIN, 400, bytes(32)), "does not continue"),
        (Checkpoint(f"{ORIGIN}/2", 999, bytes(32)), "has 403 entries"),
        (Checkpoint("ledger.other.khatim", 10, bytes(32)), "does not name"),
    ):
        with pytest.raises(LedgerInvalid, match=said):
            lost.fate(moved(found, checkpoint))
    other = replace(found, leaf=bytes(32))
    with pytest.raises(LedgerInvalid, match="another entry stands at 17"):
        lost.fate(other)


def test_a_receipt_of_one_epoch_needs_no_openings() -> None:
    tree = Tree()
    entry = build(event_body(1), 0, NO_ENTRY)
    tree.append(leaf_hash(entry))
    note = sign_checkpoint(Checkpoint(ORIGIN, 1, tree.root()), SIGNER)
    receipt = proofs.Receipt(index=0, leaf=b64(leaf_hash(entry)), size=1, proof=[], checkpoint=note, entry=b64(entry))
    assert receipts.check(receipt, SIGNER.vkey, WitnessPolicy()).entry.index == 0
    assert json.loads(receipt.model_dump_json())["openings"] == []
