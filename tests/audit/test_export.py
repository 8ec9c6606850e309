# SPDX-License-Identifier: Apache-2.0
"""The ledger handed out: the exported files verify offline, tiles are served one by one, proofs hold."""

from __future__ import annotations

import json

import pytest

from audit import export
from audit.checkpoint import Checkpoint, open_checkpoint
from audit.merkle import leaf_hash, verify_consistency, verify_inclusion
from audit.tiles import CHECKPOINT, layout, payload_path
from audit.verify import verify_ledger
from khatim.errors import Malformed, NotFound
from khatim.vocabulary import Digest
from tests.audit.ledgers import ORIGIN, SIGNER, LedgerDatabase, MemoryLedger, event_body

SIZES = [1, 251, 501, 701]


@pytest.fixture
def filled(ledger: LedgerDatabase) -> LedgerDatabase:
    """Return a ledger of 701 entries with checkpoints at `SIZES`."""
    ledger.sequence_all()
    ledger.offer(*(event_body(number) for number in range(700)))
    ledger.sequence_all(batch=250)
    return ledger


def exported_at(ledger: LedgerDatabase, size: int | None = None) -> tuple[MemoryLedger, Checkpoint]:
    """Return the exported files and the checkpoint."""
    files: dict[str, bytes] = {}
    with ledger.connect("khatim_service") as conn:
        checkpoint = export.export_ledger(conn, files.__setitem__, size)
    return MemoryLedger(files), checkpoint


def test_the_exported_ledger_verifies_offline(filled: LedgerDatabase) -> None:
    files, checkpoint = exported_at(filled)
    report = verify_ledger(files, SIGNER.vkey)
    assert (report.size, report.root) == (701, checkpoint.root)
    assert set(files.files) == {CHECKPOINT, *(ref.path for ref in layout(701))}
    assert list(files.files)[-1] == CHECKPOINT, "an unfinished copy has no checkpoint"


@pytest.mark.parametrize("size", SIZES)
def test_an_older_state_is_exported_as_it_was(filled: LedgerDatabase, size: int) -> None:
    """Its partial tiles are cut out of tiles that are full by now."""
    files, checkpoint = exported_at(filled, size)
    assert checkpoint.size == verify_ledger(files, SIGNER.vkey).size == size


def test_a_size_that_was_never_signed_is_not_exported(filled: LedgerDatabase) -> None:
    with pytest.raises(NotFound, match="no checkpoint of size 300"):
        exported_at(filled, 300)


def test_a_ledger_that_is_not_open_yet_is_not_found(ledger: LedgerDatabase) -> None:
    with pytest.raises(NotFound):
        exported_at(ledger)
    with ledger.connect() as conn, pytest.raises(NotFound):
        export.latest_note(conn)


def test_payloads_kept_aside_are_exported_with_their_entries(filled: LedgerDatabase) -> None:
    payload = json.dumps({"rows": "x" * 70_000}).encode()
    digest = str(Digest.of(payload))
    filled.offer(event_body(1, payload_digest=digest), payload=payload)
    filled.offer(event_body(2, note='"payload_digest":"sha256:none"'))
    filled.sequence_all()
    files, _ = exported_at(filled)
    assert files.files[payload_path(digest)] == payload
    assert verify_ledger(files, SIGNER.vkey).size == 703
    assert payload_path(digest) not in exported_at(filled, 701)[0].files


def test_every_tile_is_served_as_it_is_exported(filled: LedgerDatabase) -> None:
    files, _ = exported_at(filled)
    with filled.connect("khatim_service") as conn:
        assert export.latest_note(conn).encode() == files.files.pop(CHECKPOINT)
        for path, data in files.files.items():
            assert export.tile_bytes(conn, path) == data


@pytest.mark.parametrize(
    "path",
    ["tile/0/003", "tile/0/002", "tile/0/002.p/190", "tile/1/000", "tile/1/000.p/3", "tile/entries/002", "tile/7/000"],
)
def test_a_tile_beyond_the_ledger_is_not_found(filled: LedgerDatabase, path: str) -> None:
    with filled.connect() as conn, pytest.raises(NotFound):
        export.tile_bytes(conn, path)


def test_what_is_no_tile_is_malformed(filled: LedgerDatabase) -> None:
    with filled.connect() as conn, pytest.raises(Malformed):
        export.tile_bytes(conn, "tile/0/../checkpoint")


@pytest.mark.parametrize("size", [None, *SIZES])
def test_an_entry_is_proved_included(filled: LedgerDatabase, size: int | None) -> None:
    with filled.connect("khatim_service") as conn:
        for index in (0, 1, 250, 255, 256, 500, 511, 512, 700):
            if index >= (size or 701):
                with pytest.raises(NotFound):
                    export.inclusion(conn, index, size)
                continue
            proof = export.inclusion(conn, index, size)
            signed = open_checkpoint(proof.note, ORIGIN, [SIGNER.verifier])
            assert (signed.size, signed.root) == (proof.size, proof.root)
            assert leaf_hash(proof.entry) == proof.leaf
            assert f'"index":{index},' in proof.entry.decode()
            verify_inclusion(proof.leaf, index, signed.size, proof.proof, signed.root)


def test_an_older_ledger_is_proved_a_prefix(filled: LedgerDatabase) -> None:
    with filled.connect("khatim_service") as conn:
        roots = {size: exported_at(filled, size)[1].root for size in SIZES}
        for old in SIZES:
            for size in SIZES:
                if old > size:
                    with pytest.raises(NotFound):
                        export.consistency(conn, old, size)
                else:
                    verify_consistency(old, roots[old], size, roots[size], export.consistency(conn, old, size))


def test_nothing_is_proved_about_an_entry_that_is_not_there(filled: LedgerDatabase) -> None:
    with filled.connect() as conn:
        for index in (-1, 701):
            with pytest.raises(NotFound):
                export.inclusion(conn, index)
