# SPDX-License-Identifier: Apache-2.0
"""Archives: the ledger verifies the same with its old rows in files, and only recorded rows can leave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit import archives, export, parquet
from audit.archive_events import LedgerArchived
from audit.archives import Archive, ArchiveFolder
from audit.checkpoint import Checkpoint
from audit.merkle import verify_inclusion
from audit.stored import Conn
from audit.verify_database import verify_database
from audit.walk import LedgerReport
from khatim.errors import Conflict, EntryArchived, LedgerInvalid, NotFound
from tests.audit.ledgers import SIGNER, LedgerDatabase, event_body


@pytest.fixture
def filled(ledger: LedgerDatabase) -> LedgerDatabase:
    """Return a ledger of 901 entries."""
    fill(ledger, 901)
    return ledger


def fill(ledger: LedgerDatabase, size: int) -> None:
    ledger.sequence_all()
    ledger.offer(*(event_body(number) for number in range(1, size)))
    ledger.sequence_all(batch=300)


def register(ledger: LedgerDatabase, folder: ArchiveFolder, first: int, end: int, *, told: bool = True) -> Archive:
    with ledger.connect("khatim_service") as conn:
        archive, data = archives.made(conn, first, end)
        folder.put(archive.place, data)
        enter(conn, archive)
    if told:
        payload = {"first": first, "end": end, "digest": archive.digest, "place": archive.place,
                   "size": archive.size, "root": archive.root.hex()}  # fmt: skip
        ledger.offer(event_body(1000, kind=LedgerArchived.kind, payload=payload))
        ledger.sequence_all()
    return archive


def enter(conn: Conn, one: Archive) -> None:
    conn.execute(
        'INSERT INTO ledger_archives ("first", "end", digest, place, link, size, root, "at") '
        "VALUES (%s, %s, %s, %s, %s, %s, %s, now())",
        (one.first, one.end, one.digest, one.place, one.link, one.size, one.root),
    )


def remove(ledger: LedgerDatabase, archive: Archive, folder: ArchiveFolder) -> int:
    with ledger.connect("khatim_sequencer") as conn:
        return archives.remove(conn, archive, folder)


def verified(ledger: LedgerDatabase, source: ArchiveFolder | None = None) -> LedgerReport:
    with ledger.connect("khatim_service") as conn:
        return verify_database(conn, SIGNER.verifier, source)


def test_a_ledger_verifies_the_same_from_files_and_by_tiles(filled: LedgerDatabase, tmp_path: Path) -> None:
    folder = ArchiveFolder(tmp_path)
    archive = register(filled, folder, 0, 512)
    before = verified(filled)

    assert remove(filled, archive, folder) == 511  # entry 0 says whose ledger it is, and stays
    assert remove(filled, archive, folder) == 0

    by_file, by_tiles = verified(filled, folder), verified(filled)
    assert (by_file.root, by_file.head, by_file.kinds) == (before.root, before.head, before.kinds)
    assert (by_tiles.size, by_tiles.root, by_tiles.head) == (before.size, before.root, before.head)
    assert (by_file.archives, by_file.skipped) == (((archive.place, "file"),), 0)
    assert (by_tiles.archives, by_tiles.skipped) == (((archive.place, "tiles"),), 511)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(more=st.integers(258, 800), tiles=st.lists(st.integers(1, 2), min_size=1, max_size=3))
def test_archiving_any_prefix_leaves_verification_as_it_was(
    cluster: Any, tmp_path: Path, more: int, tiles: list[int]
) -> None:
    name = f"archive_{more}_{''.join(map(str, tiles))}"
    with psycopg.connect(cluster.url("postgres", "postgres"), autocommit=True) as conn:
        conn.execute(f"DROP DATABASE IF EXISTS {name}")
        conn.execute(f"CREATE DATABASE {name} TEMPLATE ledger_template OWNER khatim_owner")
    ledger, folder, first = LedgerDatabase(lambda role: cluster.url(role, name)), ArchiveFolder(tmp_path / name), 0
    fill(ledger, more)
    gone = []
    for count in tiles:
        if first + count * 256 < more:
            gone.append(register(ledger, folder, first, first + count * 256))
            first += count * 256
    before = verified(ledger)
    for one in gone:
        remove(ledger, one, folder)
    for found in (verified(ledger, folder), verified(ledger)):
        assert (found.size, found.root, found.head, found.epochs) == (
            before.size, before.root, before.head, before.epochs
        )  # fmt: skip
    assert verified(ledger, folder).kinds == before.kinds
    with psycopg.connect(cluster.url("postgres", "postgres"), autocommit=True) as conn:
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_the_same_rows_make_the_same_file(filled: LedgerDatabase) -> None:
    with filled.connect("khatim_service") as conn:
        assert archives.made(conn, 256, 768) == archives.made(conn, 256, 768)
        for first, end in ((0, 100), (1, 257), (768, 1024), (256, 256)):
            with pytest.raises(Conflict):
                archives.made(conn, first, end)


def test_nothing_is_removed_before_the_ledger_records_it(filled: LedgerDatabase, tmp_path: Path) -> None:
    folder = ArchiveFolder(tmp_path)
    archive = register(filled, folder, 0, 256, told=False)
    with pytest.raises(Conflict):
        remove(filled, archive, folder)
    assert verified(filled).archives == ()


def test_nothing_is_removed_without_the_very_file(filled: LedgerDatabase, tmp_path: Path) -> None:
    folder = ArchiveFolder(tmp_path)
    archive = register(filled, folder, 0, 256)
    path = tmp_path / archive.place
    whole = path.read_bytes()
    path.unlink()
    with pytest.raises(NotFound):
        remove(filled, archive, folder)
    path.write_bytes(whole[:-1] + b"\0")
    with pytest.raises(LedgerInvalid):
        remove(filled, archive, folder)
    path.write_bytes(whole)
    assert remove(filled, archive, folder) == 255
    path.write_bytes(whole[:500] + bytes([whole[500] ^ 1]) + whole[501:])
    with pytest.raises(LedgerInvalid) as refused:
        verified(filled, folder)
    assert refused.value.members["place"] == archive.place


@pytest.mark.parametrize("role", ["khatim_service", "khatim_sequencer", "khatim_owner", "postgres"])
def test_no_role_deletes_by_hand(filled: LedgerDatabase, tmp_path: Path, role: str) -> None:
    register(filled, ArchiveFolder(tmp_path), 0, 256)
    with filled.connect(role) as conn:
        for mark in ("", "x"):
            conn.execute("SELECT set_config('khatim.removing', %s, false)", (mark,))
            with pytest.raises(psycopg.Error) as refused:
                conn.execute('DELETE FROM ledger_entries WHERE "index" BETWEEN 300 AND 310')
            assert refused.value.sqlstate in {"23001", "42501"}
    assert verified(filled).skipped == 0


def test_the_service_may_not_call_the_procedure_and_changes_no_archive(filled: LedgerDatabase, tmp_path: Path) -> None:
    folder = ArchiveFolder(tmp_path)
    archive = register(filled, folder, 0, 256)
    with filled.connect("khatim_service") as conn:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            archives.remove(conn, archive, folder)
        with pytest.raises(psycopg.Error):
            conn.execute("DELETE FROM ledger_archives")
    with filled.connect("khatim_sequencer") as conn, pytest.raises(psycopg.errors.RestrictViolation):
        conn.execute("SELECT khatim_remove_archived(0, 512, %s)", (archive.digest,))


def test_an_archived_entry_says_where_it_lies_and_proofs_about_others_go_on(
    filled: LedgerDatabase, tmp_path: Path
) -> None:
    folder = ArchiveFolder(tmp_path)
    archive = register(filled, folder, 0, 256)
    remove(filled, archive, folder)
    with filled.connect("khatim_service") as conn:
        for ask in (lambda: export.inclusion(conn, 7), lambda: export.tile_bytes(conn, "tile/entries/000")):
            with pytest.raises(EntryArchived) as told:
                ask()
            assert (told.value.status, told.value.members["archive"]) == (410, archive.place)
        assert len(export.tile_bytes(conn, "tile/0/000")) == 256 * 32
        proof = export.inclusion(conn, 300)
    verify_inclusion(proof.leaf, 300, proof.size, list(proof.proof), proof.root)


def test_rows_gone_without_a_recorded_archive_are_missing(filled: LedgerDatabase, tmp_path: Path) -> None:
    archive = register(filled, ArchiveFolder(tmp_path), 0, 256, told=False)
    filled.tamper('DELETE FROM ledger_entries WHERE "index" BETWEEN 1 AND 255')
    with pytest.raises(LedgerInvalid) as refused:
        verified(filled)
    assert archive.place in str(refused.value)
    with filled.connect() as conn:
        assert Checkpoint.of_note(export.latest_note(conn)).size == 901


def test_a_file_that_disagrees_with_itself_is_named(filled: LedgerDatabase) -> None:
    with filled.connect("khatim_service") as conn:
        _, data = archives.made(conn, 256, 512)
    rows = archives.checked(data, "a file")
    changed = [*rows]
    changed[9] = (*rows[9][:3], json.dumps("other"), *rows[9][4:])
    for wrong in (changed, [*rows[:5], *rows[6:]], [rows[1], rows[0], *rows[2:]]):
        with pytest.raises(LedgerInvalid):
            archives.checked(parquet.written(wrong), "a file")
