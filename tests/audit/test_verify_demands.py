# SPDX-License-Identifier: Apache-2.0
"""What a verification asks for beyond the ledger: that it continues what was seen, with witnesses, quickly."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import entries, receipts, verify
from audit.checkpoint import Checkpoint, NoteVerifier, sign_checkpoint
from audit.merkle import Tree, leaf_hash
from audit.tiles import CHECKPOINT
from audit.verify import Demands, FolderSource, verify_ledger
from audit.verify_blocks import blocks_of
from audit.witness_policy import WitnessPolicy
from khatim.errors import LedgerInvalid, NotWitnessed
from khatim.wire import proofs
from tests.audit.cosigning import ED25519, MLDSA44
from tests.audit.ledgers import (
    OPENED,
    ORIGIN,
    SIGNER,
    MemoryLedger,
    chained,
    event_body,
    exported,
    ledger_of,
    signer_named,
)
from tests.audit.test_sources import written

LEDGER = ledger_of(600)
FORKED = ledger_of(600, lambda number: event_body(number if number < 300 else number + 1000))
POLICY = WitnessPolicy.of_keys([(ED25519.vkey, ""), (MLDSA44.vkey, "")], 1)


def note_at(size: int, ledger: MemoryLedger = LEDGER) -> str:
    """Return the checkpoint that the ledger had at *size*."""
    tree = Tree()
    for _, entry in zip(range(size), verify.entries_of(ledger, 600), strict=False):
        tree.append(leaf_hash(entry[1]))
    return sign_checkpoint(Checkpoint(ORIGIN, size, tree.root()), SIGNER)


def refused(ledger: MemoryLedger, demands: Demands) -> LedgerInvalid:
    with pytest.raises(LedgerInvalid) as found:
        verify_ledger(ledger, SIGNER.vkey, demands)
    return found.value


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 512, 599, 600])
def test_a_ledger_that_continues_the_kept_checkpoint_passes(size: int) -> None:
    assert verify_ledger(LEDGER, SIGNER.vkey, Demands(since=note_at(size))).size == 600


@pytest.mark.parametrize("size", [301, 512, 600])
def test_a_history_written_anew_is_told_although_it_is_signed_and_whole(size: int) -> None:
    """The operator holds the key: nothing inside the ledger is wrong."""
    assert verify_ledger(FORKED, SIGNER.vkey).size == 600
    assert verify_ledger(FORKED, SIGNER.vkey, Demands(since=note_at(300))).size == 600
    found = refused(FORKED, Demands(since=note_at(size)))
    assert (found.members["place"], "written anew" in found.detail) == ("since", True)


def test_a_ledger_that_was_cut_off_is_told() -> None:
    shorter = ledger_of(500)
    assert verify_ledger(shorter, SIGNER.vkey).size == 500
    assert "had 600 when you kept" in refused(shorter, Demands(since=note_at(600))).detail


def test_a_kept_checkpoint_of_another_log_or_with_a_wrong_signature_is_refused() -> None:
    other = signer_named("ledger.other.khatim")
    strange = sign_checkpoint(Checkpoint(other.name, 3, bytes(32)), other)
    assert "of another log" in refused(LEDGER, Demands(since=strange)).detail
    forged = sign_checkpoint(Checkpoint(ORIGIN, 3, bytes(32)), signer_named(ORIGIN))
    broken = forged[:-8] + ("AAAA" if forged[-8:-4] != "AAAA" else "BBBB") + forged[-4:]
    refused(LEDGER, Demands(since=broken))
    refused(LEDGER, Demands(since="nothing"))


def cosigned(ledger: MemoryLedger, *lines: str) -> MemoryLedger:
    note = ledger.files[CHECKPOINT].decode() + "".join(lines)
    return MemoryLedger({**ledger.files, CHECKPOINT: note.encode()})


def test_a_checkpoint_needs_the_witnesses_that_were_demanded() -> None:
    with pytest.raises(NotWitnessed, match="witnessed by nobody"):
        verify_ledger(LEDGER, SIGNER.vkey, Demands(policy=POLICY))
    text = LEDGER.files[CHECKPOINT].decode().rpartition("\n\n")[0] + "\n"
    seen = cosigned(LEDGER, MLDSA44.cosign(text, datetime.now(UTC)))
    assert verify_ledger(seen, SIGNER.vkey, Demands(policy=POLICY)).size == 600
    elsewhere = cosigned(LEDGER, ED25519.cosign(Checkpoint(ORIGIN, 600, bytes(32)).text(), datetime.now(UTC)))
    assert refused(elsewhere, Demands(policy=POLICY)).members["place"] == "checkpoint"


@settings(deadline=None, max_examples=25)
@given(size=st.integers(1, 800), seed=st.integers(0, 5))
def test_the_quick_way_reports_what_the_slow_way_reports(size: int, seed: int) -> None:
    ledger = ledger_of(size, lambda number: event_body(number * seed, kind=f"kind.{number % 7}"))
    verifier = NoteVerifier.parse(SIGNER.vkey)
    claimed = Checkpoint.of_note(ledger.checkpoint())
    quick = verify._quickly(ledger, claimed, verifier, Demands())
    assert quick is not None
    assert quick == verify._slowly(ledger, claimed, verifier, Demands())


ODD: dict[str, Any] = {
    "no object": b"[]",
    "no JSON": b"{",
    "no moment": event_body(1, at="yesterday"),
    "a moment without a zone": event_body(1, at="2026-11-23T02:30:00.123456"),
    "another form of moment": event_body(1, at="2026-11-23T02:30:00+00:00"),
    "an impossible moment": event_body(1, at="2026-13-41T02:30:00.123456Z"),
    "a payload that is not there": event_body(1, payload_digest="sha256:" + "0" * 64),
    "a kind that is a number": event_body(1).replace(b'"version.promoted"', b"17"),
    "an epoch that nobody handed over": event_body(1, kind="ledger.epoch_opened"),
}


@pytest.mark.parametrize("what", ODD)
def test_the_quick_way_says_yes_only_where_the_slow_way_does(what: str) -> None:
    made = chained([entries.genesis_body(ORIGIN, SIGNER.vkey, OPENED), ODD[what], event_body(2)])
    ledger, verifier = exported(made), NoteVerifier.parse(SIGNER.vkey)
    claimed = Checkpoint.of_note(ledger.checkpoint())
    quick = verify._quickly(ledger, claimed, verifier, Demands())
    try:
        slow = verify._slowly(ledger, claimed, verifier, Demands())
    except LedgerInvalid:
        assert quick is None
    else:
        assert quick is None or quick == slow


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with 70,000 entries: enough that processes share it."""
    return written(ledger_of(70_000), tmp_path_factory.mktemp("large"))


def test_processes_share_a_folder_and_find_the_same(large: Path) -> None:
    source = FolderSource(large)
    assert len(list(blocks_of(source, 70_000, processes=2))) == 5
    shared = verify_ledger(source, SIGNER.vkey, Demands(processes=2, since=note_at(400, ledger_of(600))))
    assert shared == verify_ledger(source, SIGNER.vkey)
    tile = large / "tile" / "0" / "137"
    honest = tile.read_bytes()
    tile.write_bytes(honest[:77] + bytes([honest[77] ^ 1]) + honest[78:])
    with pytest.raises(LedgerInvalid) as found:
        verify_ledger(source, SIGNER.vkey, Demands(processes=2))
    tile.write_bytes(honest)
    assert found.value.members["place"] == "tile/0/137"


def receipt(index: int = 7) -> proofs.Receipt:
    import base64  # noqa: PLC0415

    tree, found = Tree(), b""
    for at, entry in verify.entries_of(LEDGER, 600):
        tree.append(leaf_hash(entry))
        found = entry if at == index else found
    text = LEDGER.files[CHECKPOINT].decode()
    line = ED25519.cosign(text.rpartition("\n\n")[0] + "\n", datetime.now(UTC))
    return proofs.Receipt(
        index=index, leaf=base64.b64encode(leaf_hash(found)).decode(), size=600,
        proof=[base64.b64encode(one).decode() for one in tree.inclusion_proof(index)],
        checkpoint=text + line, entry=base64.b64encode(found).decode(),
    )  # fmt: skip


def test_a_receipt_is_checked_without_any_server() -> None:
    found = receipts.check(receipt(), SIGNER.vkey, POLICY)
    assert (found.entry.index, found.checkpoint.size) == (7, 600)
    assert set(found.witnessed.by) == {ED25519.vkey}
    with pytest.raises(NotWitnessed):
        receipts.check(receipt(), SIGNER.vkey, WitnessPolicy.of_keys([(MLDSA44.vkey, "")], 1))


@pytest.mark.parametrize(
    "change",
    [
        {"index": 8}, {"size": 599}, {"leaf": "AAAA"}, {"leaf": "?"}, {"entry": "AAAA"}, {"proof": []},
        {"checkpoint": note_at(599)}, {"checkpoint": ""}, {"entry": receipt(8).entry, "leaf": receipt(8).leaf},
    ],
    ids=range(9),
)  # fmt: skip
def test_a_changed_receipt_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(LedgerInvalid):
        receipts.check(receipt().model_copy(update=change), SIGNER.vkey)
    with pytest.raises(LedgerInvalid):
        receipts.check(receipt(), signer_named("ledger.other.khatim").vkey)
