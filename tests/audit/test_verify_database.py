# SPDX-License-Identifier: Apache-2.0
"""The ledger verified where it lives: whatever a superuser changes behind its back is named."""

from __future__ import annotations

import json

import pytest

from audit.verify_database import verify_database
from khatim.errors import LedgerInvalid
from khatim.vocabulary import Digest
from tests.audit.ledgers import SIGNER, LedgerDatabase, event_body, signer_named

PAYLOAD = json.dumps({"rows": "x" * 70_000}).encode()
DIGEST = str(Digest.of(PAYLOAD))

ADDED = (
    'INSERT INTO ledger_entries SELECT 601, entry, leaf, kind, actor, resource, namespace, zone, "at" '
    'FROM ledger_entries WHERE "index" = 600'
)


@pytest.fixture
def filled(ledger: LedgerDatabase) -> LedgerDatabase:
    """Return a ledger of 601 entries, checkpoints at 1, 301, 600 and 601, one payload kept aside by entry 600."""
    ledger.sequence_all()
    ledger.offer(*(event_body(number) for number in range(1, 600)))
    ledger.sequence_all(batch=300)
    ledger.offer(event_body(600, payload_digest=DIGEST), payload=PAYLOAD)
    ledger.sequence_all()
    return ledger


def place_of(ledger: LedgerDatabase) -> object:
    """Return the place that verification names."""
    with ledger.connect("khatim_service") as conn, pytest.raises(LedgerInvalid) as refused:
        verify_database(conn, SIGNER.verifier)
    return refused.value.members["place"]


def test_an_honest_database_verifies(filled: LedgerDatabase) -> None:
    with filled.connect("khatim_service") as conn:
        report = verify_database(conn, SIGNER.verifier)
    assert report.size == 601
    assert report.kinds == {"ledger.opened": 1, "version.promoted": 600}


def test_it_verifies_inside_a_read_only_transaction(filled: LedgerDatabase) -> None:
    with filled.connect("khatim_service") as conn, conn.transaction():
        conn.execute("SET TRANSACTION READ ONLY")
        assert verify_database(conn, SIGNER.verifier).size == 601


@pytest.mark.parametrize(
    ("query", "place"),
    [
        (
            "UPDATE ledger_entries SET entry = replace_bytes(entry, 'oncology', 'Oncology') WHERE \"index\" = 5",
            "entry 5",
        ),
        ("UPDATE ledger_entries SET entry = replace_bytes(entry, 'v\":1}', 'v\":2}') WHERE \"index\" = 5", "entry 5"),
        ('UPDATE ledger_entries SET leaf = sha256(leaf) WHERE "index" = 300', "entry 300"),
        ("UPDATE ledger_entries SET kind = 'version.retired' WHERE \"index\" = 7", "entry 7"),
        ("UPDATE ledger_entries SET actor = 'person:9' WHERE \"index\" = 7", "entry 7"),
        ("UPDATE ledger_entries SET resource = '' WHERE \"index\" = 7", "entry 7"),
        ("UPDATE ledger_entries SET namespace = 'radiology' WHERE \"index\" = 7", "entry 7"),
        ("UPDATE ledger_entries SET zone = 'ext-de' WHERE \"index\" = 7", "entry 7"),
        ('UPDATE ledger_entries SET "at" = "at" + interval \'1 microsecond\' WHERE "index" = 7', "entry 7"),
        ('DELETE FROM ledger_entries WHERE "index" = 100', "entry 100"),
        ('DELETE FROM ledger_entries WHERE "index" = 600', "entry 600"),
        ('DELETE FROM ledger_entries WHERE "index" = 0', "entry 0"),
        (ADDED, "entry 601"),
        (
            "UPDATE ledger_tiles SET hashes = overlay(hashes placing '\\x00'::bytea from 33) WHERE number = 1",
            "tile/0/001",
        ),
        ("UPDATE ledger_tiles SET root = sha256(root) WHERE number = 0", "tile/0/000"),
        ("DELETE FROM ledger_tiles WHERE number = 1", "tile/0/001"),
        ("INSERT INTO ledger_tiles SELECT 0, 2, hashes, root FROM ledger_tiles WHERE number = 1", "tile/0/002"),
        ("INSERT INTO ledger_tiles SELECT 1, 0, hashes, root FROM ledger_tiles WHERE number = 1", "tile/1/000"),
        ("UPDATE ledger_checkpoints SET root = sha256(root) WHERE size = 301", "checkpoint 301"),
        ("UPDATE ledger_checkpoints SET note = replace(note, '301', '302') WHERE size = 301", "checkpoint 301"),
        ("UPDATE ledger_checkpoints SET size = 302 WHERE size = 301", "checkpoint 302"),
        ("DELETE FROM ledger_checkpoints WHERE size = 601", "entry 600"),
        ("UPDATE ledger_payloads SET body = body || ' '::bytea", f"payload/{DIGEST.replace(':', '/')}"),
        ("DELETE FROM ledger_payloads", f"payload/{DIGEST.replace(':', '/')}"),
    ],
)
def test_what_was_changed_is_named(filled: LedgerDatabase, query: str, place: str) -> None:
    with filled.connect() as conn:
        conn.execute(
            "CREATE FUNCTION replace_bytes(bytea, text, text) RETURNS bytea LANGUAGE sql "
            "AS $$ SELECT convert_to(replace(convert_from($1, 'UTF8'), $2, $3), 'UTF8') $$"
        )
    filled.tamper(query)
    assert place_of(filled) == place


def test_a_removed_checkpoint_in_the_middle_leaves_what_remains_true(filled: LedgerDatabase) -> None:
    """Checkpoints are claims, not entries: whoever kept the removed one still finds it consistent."""
    filled.tamper("DELETE FROM ledger_checkpoints WHERE size = 301")
    with filled.connect() as conn:
        assert verify_database(conn, SIGNER.verifier).size == 601


def test_another_ledgers_key_is_refused(filled: LedgerDatabase) -> None:
    other = signer_named("ledger.other.khatim").verifier
    with filled.connect() as conn, pytest.raises(LedgerInvalid):
        verify_database(conn, other)


def test_an_empty_database_is_no_ledger(ledger: LedgerDatabase) -> None:
    assert place_of(ledger) == "entry 0"
