# SPDX-License-Identifier: Apache-2.0
"""Random tampering with an exported ledger: whatever is edited, deleted, inserted, moved, cut or forked is found."""

from __future__ import annotations

import random
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import entries
from audit.checkpoint import NoteVerifier, open_checkpoint
from audit.merkle import Tree, leaf_hash, verify_consistency
from audit.tiles import CHECKPOINT
from audit.verify import FolderSource, ZipSource, verify_ledger
from audit.verify_database import verify_database
from khatim.errors import LedgerInvalid
from tests.audit.ledgers import (
    OPENED,
    ORIGIN,
    SIGNER,
    LedgerDatabase,
    MemoryLedger,
    chained,
    event_body,
    exported,
    ledger_of,
)

SIZE = 300
HONEST = ledger_of(SIZE)
MADE = chained([entries.genesis_body(ORIGIN, SIGNER.vkey, OPENED), *(event_body(number) for number in range(1, SIZE))])
SAVED = HONEST.checkpoint()
KINDS = ("edit", "delete", "insert", "reorder")


def place_of(ledger: MemoryLedger) -> object:
    """Return the place that verification names; fails when it finds nothing."""
    with pytest.raises(LedgerInvalid) as found:
        verify_ledger(ledger, SIGNER.vkey)
    return found.value.members["place"]


@given(st.sampled_from(sorted(HONEST.files)), st.integers(0), st.integers(1, 255))
@settings(max_examples=60)
def test_every_changed_byte_is_found_in_memory_folder_and_zip(path: str, at: int, flip: int) -> None:
    spoiled = HONEST.changed(path, at % len(HONEST.files[path]), flip)
    place = place_of(spoiled)
    assert place
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with zipfile.ZipFile(folder / "ledger.zip", "w") as archive:
            for one, data in spoiled.files.items():
                archive.writestr(f"ledger/{one}", data)
                (folder / one).parent.mkdir(parents=True, exist_ok=True)
                (folder / one).write_bytes(data)
        with pytest.raises(LedgerInvalid) as from_folder:
            verify_ledger(FolderSource(folder), SIGNER.vkey)
        with zipfile.ZipFile(folder / "ledger.zip") as archive, pytest.raises(LedgerInvalid) as from_zip:
            verify_ledger(ZipSource(archive, "ledger/"), SIGNER.vkey)
    assert from_folder.value.members["place"] == from_zip.value.members["place"] == place


@given(st.sampled_from(sorted(HONEST.files)))
def test_every_missing_file_is_named(path: str) -> None:
    left = MemoryLedger({name: data for name, data in HONEST.files.items() if name != path})
    if path == CHECKPOINT:
        with pytest.raises(KeyError):
            left.checkpoint()
        return
    assert place_of(left) == path


def changed_entries(kind: str, at: int) -> list[bytes]:
    """Return the entries after one change at *at*, whose place the chain has to show."""
    made = list(MADE)
    if kind == "edit":
        made[at] = made[at].replace(b"oncology", b"oncologz")
    elif kind == "delete":
        del made[at]
    elif kind == "insert":
        made.insert(at, entries.build(event_body(9999), at, entries.link_of(made[at - 1])))
    else:
        made[at - 1], made[at] = made[at], made[at - 1]
    return made


@given(st.sampled_from(KINDS), st.integers(2, SIZE - 2))
@settings(max_examples=40)
def test_entries_changed_with_all_their_tiles_are_found_under_the_real_checkpoint(kind: str, at: int) -> None:
    """Whoever can write every file but not sign: the place is at, or one beside, the change."""
    forged = exported(changed_entries(kind, at))
    forged.files[CHECKPOINT] = SAVED.encode()
    place = str(place_of(forged))
    numbers = {f"entry {one}" for one in (at - 1, at, at + 1)}
    assert place in numbers | {path for path in HONEST.files if path.startswith("tile/")}


@given(st.sampled_from(KINDS), st.integers(2, SIZE - 2), st.integers(0, 50))
@settings(max_examples=40)
def test_a_stolen_key_is_caught_by_a_saved_checkpoint(kind: str, at: int, more: int) -> None:
    """A rewritten history, validly signed: only a checkpoint that somebody kept shows it."""
    bodies = [entries.body_of(entry, index) for index, entry in enumerate(MADE)]
    if kind == "edit":
        bodies[at] = event_body(at, resource="version:oncology/other@1")
    elif kind == "delete":
        del bodies[at]
    elif kind == "insert":
        bodies.insert(at, event_body(9999))
    else:
        bodies[at - 1], bodies[at] = bodies[at], bodies[at - 1]
    forked = chained([*bodies, *(event_body(SIZE + number) for number in range(more + 1))])
    ledger = exported(forked)
    assert verify_ledger(ledger, SIGNER.vkey).size == len(forked), "consistent in itself, and signed"
    tree = Tree()
    for entry in forked:
        tree.append(leaf_hash(entry))
    saved = open_checkpoint(SAVED, ORIGIN, [NoteVerifier.parse(SIGNER.vkey)])
    proof = tree.consistency_proof(saved.size)
    with pytest.raises(LedgerInvalid):
        verify_consistency(saved.size, saved.root, tree.size, tree.root(), proof)


@given(st.integers(1, SIZE - 1))
@settings(max_examples=20)
def test_a_cut_ledger_is_caught_by_a_saved_checkpoint(size: int) -> None:
    cut = exported(MADE[:size])
    cut_size = verify_ledger(cut, SIGNER.vkey).size
    saved = open_checkpoint(SAVED, ORIGIN, [NoteVerifier.parse(SIGNER.vkey)])
    assert cut_size < saved.size
    cut.files[CHECKPOINT] = SAVED.encode()
    assert place_of(cut)


TABLES = ("ledger_entries", "ledger_tiles", "ledger_checkpoints")
CHANGES = (
    'DELETE FROM ledger_entries WHERE "index" = {at}',
    'DELETE FROM ledger_entries WHERE "index" >= {at}',
    'UPDATE ledger_entries SET entry = set_byte(entry, {byte}, get_byte(entry, {byte}) # {flip}) WHERE "index" = {at}',
    'UPDATE ledger_entries SET leaf = set_byte(leaf, 7, get_byte(leaf, 7) # {flip}) WHERE "index" = {at}',
    "UPDATE ledger_entries SET actor = 'person:mallory' WHERE \"index\" = {at}",
    'UPDATE ledger_entries SET "index" = 100000 + "index" WHERE "index" = {at}',
    (
        "UPDATE ledger_entries a SET entry = b.entry, leaf = b.leaf FROM ledger_entries b "
        'WHERE a."index" = {at} AND b."index" = {at} + 1'
    ),
    (
        'INSERT INTO ledger_entries SELECT {size}, entry, leaf, kind, actor, resource, namespace, zone, "at" '
        'FROM ledger_entries WHERE "index" = {at}'
    ),
    "UPDATE ledger_tiles SET hashes = set_byte(hashes, {byte}, get_byte(hashes, {byte}) # {flip})",
    "DELETE FROM ledger_tiles",
    "UPDATE ledger_checkpoints SET root = set_byte(root, 3, get_byte(root, 3) # {flip}) WHERE size = {size}",
    "DELETE FROM ledger_checkpoints WHERE size = {size}",
)


def test_random_changes_of_the_database_are_all_found_and_named(ledger: LedgerDatabase) -> None:
    """By a superuser who switches the triggers off; each change is rolled back before the next."""
    ledger.offer(*(event_body(number) for number in range(1, SIZE)))
    ledger.sequence_all(batch=97)
    chance = random.Random(3)
    with ledger.connect() as conn:
        assert verify_database(conn, SIGNER.verifier).size == SIZE
        for change in CHANGES * 4:
            at = chance.randrange(1, SIZE - 1)
            query = change.format(at=at, byte=chance.randrange(250), flip=chance.randrange(1, 256), size=SIZE)
            with conn.transaction(force_rollback=True):
                for table in TABLES:
                    conn.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL".encode())
                changed = conn.execute(query.encode()).rowcount
                assert changed > 0, query
                with pytest.raises(LedgerInvalid) as found:
                    verify_database(conn, SIGNER.verifier)
                assert found.value.members["place"], query
        assert verify_database(conn, SIGNER.verifier).size == SIZE, "nothing of it stayed"
