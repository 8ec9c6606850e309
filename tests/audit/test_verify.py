# SPDX-License-Identifier: Apache-2.0
"""Verifying an exported ledger: an honest one passes, and no byte of it changes without being named."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import entries
from audit.canonical import canonical
from audit.checkpoint import Checkpoint, sign_checkpoint
from audit.merkle import Tree, leaf_hash
from audit.tiles import CHECKPOINT, TileRef, decode_bundle, encode_bundle, payload_path, tiles_of
from audit.verify import FolderSource, ZipSource, entries_of, verify_ledger
from khatim.errors import LedgerInvalid, Malformed
from khatim.vocabulary import Digest
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

SMALL = ledger_of(3)
MEDIUM = ledger_of(600)
GENESIS = entries.genesis_body(ORIGIN, SIGNER.vkey, OPENED)


def place_of(ledger: MemoryLedger, vkey: str = SIGNER.vkey) -> Any:
    """Return the place that verification of *ledger* names."""
    with pytest.raises(LedgerInvalid) as refused:
        verify_ledger(ledger, vkey)
    return refused.value.members["place"]


def test_an_honest_ledger_is_reported() -> None:
    report = verify_ledger(MEDIUM, SIGNER.vkey)
    assert (report.origin, report.size) == (ORIGIN, 600)
    assert report.kinds == {"ledger.opened": 1, "version.promoted": 599}
    assert report.first_at == OPENED
    assert report.last_at == OPENED + timedelta(seconds=599)
    last = [entry for _, entry in entries_of(MEDIUM, 600)][-1]
    assert report.head == entries.link_of(last)


def every_byte() -> Iterator[tuple[str, int]]:
    """Yield path and position of each byte of the small ledger."""
    for path, data in SMALL.files.items():
        yield from ((path, at) for at in range(len(data)))


@pytest.mark.parametrize("flip", [0x01, 0x80])
def test_each_single_byte_of_a_small_ledger_is_guarded(flip: int) -> None:
    verify_ledger(SMALL, SIGNER.vkey)
    for path, at in every_byte():
        place = place_of(SMALL.changed(path, at, flip))
        expected = {path} if "entries" not in path else {path, "entry 0", "entry 1", "entry 2"}
        assert place in expected, f"byte {at} of {path} was taken for {place}"


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_a_flipped_byte_is_named(data: st.DataObject) -> None:
    """Bundles and tiles, full and partial, of every level."""
    path = data.draw(st.sampled_from(sorted(MEDIUM.files)))
    at = data.draw(st.integers(0, len(MEDIUM.files[path]) - 1))
    place = place_of(MEDIUM.changed(path, at, data.draw(st.integers(1, 255))))
    if "entries" not in path:
        assert place == path
        return
    ref = TileRef.parse(path)
    assert place == path or ref.first <= int(place.removeprefix("entry ")) < ref.first + ref.width


def test_a_flipped_byte_in_an_entry_names_that_entry() -> None:
    bundle = decode_bundle(MEDIUM.files["tile/entries/001"])
    bundle[44] = bundle[44].replace(b"malignancy", b"Malignancy")
    changed = MemoryLedger({**MEDIUM.files, "tile/entries/001": encode_bundle(bundle)})
    assert place_of(changed) == "entry 300"


@pytest.fixture(scope="module")
def large() -> MemoryLedger:
    """Return the 70,000 entries of the specification's example: three levels, full and partial tiles in two."""
    return ledger_of(70_000)


@pytest.mark.parametrize("path", ["tile/1/000", "tile/1/001.p/17", "tile/2/000.p/1", "tile/0/005", "tile/0/273.p/112"])
def test_every_tile_level_is_guarded(large: MemoryLedger, path: str) -> None:
    """The forged tile/0/005 of 70,000 entries is the case of CVE-2026-56865."""
    assert place_of(large.changed(path, 7)) == path


def test_seventy_thousand_entries_verify(large: MemoryLedger) -> None:
    assert verify_ledger(large, SIGNER.vkey).size == 70_000


@pytest.mark.parametrize("path", sorted(SMALL.files))
def test_a_missing_file_is_named(path: str, tmp_path: Path) -> None:
    for name, data in SMALL.files.items():
        if name != path:
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
    with pytest.raises(LedgerInvalid) as refused:
        verify_ledger(FolderSource(tmp_path), SIGNER.vkey)
    assert refused.value.members["place"] == path


def test_a_tile_with_too_many_hashes_is_named() -> None:
    path = "tile/0/000.p/3"
    assert place_of(MemoryLedger({**SMALL.files, path: SMALL.files[path] + bytes(32)})) == path
    assert place_of(MemoryLedger({**SMALL.files, path: SMALL.files[path][:-32]})) == path


def test_a_bundle_with_another_entry_more_is_named() -> None:
    path = "tile/entries/000.p/3"
    more = encode_bundle([*decode_bundle(SMALL.files[path]), b"one more"])
    assert place_of(MemoryLedger({**SMALL.files, path: more})) == path


def test_a_smaller_or_larger_size_is_refused_even_when_signed() -> None:
    root = Checkpoint.parse(SMALL.checkpoint().rpartition("\n\n")[0] + "\n").root
    for size in (2, 4):
        note = sign_checkpoint(Checkpoint(ORIGIN, size, root), SIGNER)
        assert place_of(MemoryLedger({**SMALL.files, CHECKPOINT: note.encode()})) in {
            f"tile/0/000.p/{size}",
            f"tile/entries/000.p/{size}",
        }


def test_a_signed_root_that_the_entries_do_not_lead_to_is_refused() -> None:
    note = sign_checkpoint(Checkpoint(ORIGIN, 3, bytes(32)), SIGNER)
    assert place_of(MemoryLedger({**SMALL.files, CHECKPOINT: note.encode()})) == "root"


def test_another_origin_or_another_key_is_refused() -> None:
    other = signer_named("ledger.other.khatim")
    assert place_of(SMALL, other.vkey) == "checkpoint"
    bodies = [entries.genesis_body(ORIGIN, SIGNER.vkey, OPENED), event_body(1)]
    stolen = exported(chained(bodies), signer=other)
    assert place_of(stolen, other.vkey) == "entry 0"
    with pytest.raises(Malformed):
        verify_ledger(SMALL, "no key")


def test_a_ledger_without_its_genesis_is_refused() -> None:
    assert place_of(exported(chained([event_body(0), event_body(1)]))) == "entry 0"
    assert place_of(exported([])) == "entry 0"


def test_a_chain_broken_by_the_operator_is_refused_although_tree_and_signature_hold() -> None:
    made = chained([GENESIS, event_body(1), event_body(2), event_body(3)])
    made[2] = entries.build(event_body(2), 2, bytes(32))
    made[3] = entries.build(event_body(3), 3, entries.link_of(made[2]))
    assert place_of(exported(made)) == "entry 2"


def test_a_skipped_or_repeated_index_is_refused_although_tree_and_signature_hold() -> None:
    made = chained([GENESIS, event_body(1)])
    for wrong in (1, 3):
        entry = entries.build(event_body(2), wrong, entries.link_of(made[1]))
        assert place_of(exported([*made, entry])) == "entry 2"


def test_an_entry_rewritten_together_with_its_tile_is_refused() -> None:
    """Everything but the signed root was made to fit."""
    made = chained([GENESIS, event_body(1), event_body(99), event_body(3)])
    honest = ledger_of(4)
    tree = Tree()
    for entry in made:
        tree.append(leaf_hash(entry))
    forged = MemoryLedger({**exported(made).files, **dict(tiles_of(tree)), CHECKPOINT: honest.files[CHECKPOINT]})
    assert place_of(forged) == "root"


PAYLOAD = canonical({"rows": ["x" * 70_000]})


def with_payload() -> MemoryLedger:
    """Return a ledger whose entry 1 keeps its payload aside."""
    members = {key: value for key, value in json.loads(event_body(1)).items() if key != "payload"}
    body = canonical({**members, "payload_digest": str(Digest.of(PAYLOAD))})
    return exported(chained([GENESIS, body]), [PAYLOAD])


def test_a_payload_kept_aside_is_verified_too() -> None:
    ledger, path = with_payload(), payload_path(str(Digest.of(PAYLOAD)))
    assert verify_ledger(ledger, SIGNER.vkey).size == 2
    assert place_of(ledger.changed(path, 50)) == path
    assert place_of(MemoryLedger({name: data for name, data in ledger.files.items() if name != path})) == path


def test_a_payload_digest_names_no_other_file() -> None:
    body = canonical({**json.loads(event_body(1)), "payload_digest": "sha256:../../checkpoint"})
    assert place_of(exported(chained([GENESIS, body]))) == "entry 1"


def test_a_ledger_in_a_zip_is_verified_below_its_prefix(tmp_path: Path) -> None:
    file = tmp_path / "engagement.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in MEDIUM.files.items():
            archive.writestr(f"ledger/{name}", data)
    with zipfile.ZipFile(file) as archive:
        assert verify_ledger(ZipSource(archive, "ledger/"), SIGNER.vkey).size == 600
        with pytest.raises(LedgerInvalid):
            verify_ledger(ZipSource(archive, "elsewhere/"), SIGNER.vkey)


def test_a_damaged_zip_member_is_named(tmp_path: Path) -> None:
    file = tmp_path / "engagement.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, data in SMALL.files.items():
            archive.writestr(name, data)
        member = archive.getinfo("tile/0/000.p/3")
    raw = bytearray(file.read_bytes())
    raw[member.header_offset + 30 + len(member.filename) + 5] ^= 1
    file.write_bytes(raw)
    with zipfile.ZipFile(file) as archive, pytest.raises(LedgerInvalid) as refused:
        verify_ledger(ZipSource(archive), SIGNER.vkey)
    assert refused.value.members["place"] == "tile/0/000.p/3"


def test_a_checkpoint_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).write_bytes(b"\xff\xfe\n\n")
    with pytest.raises(LedgerInvalid, match="UTF-8"):
        verify_ledger(FolderSource(tmp_path), SIGNER.vkey)
