# SPDX-License-Identifier: Apache-2.0
"""The endorsed checkpoint that lies beside a copy: it has to be one of this very ledger."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest

from audit import endorsed, endorsements, mirroring
from audit.checkpoint import Checkpoint, sign_checkpoint
from audit.endorsements import COSIGNATURE, TIMESTAMP
from audit.tiles import ENDORSED
from audit.verify import verify_ledger
from audit.witness_policy import WitnessPolicy
from audit.worm import written
from khatim.errors import LedgerInvalid, NotFound
from tests.audit.cosigning import ED25519
from tests.audit.ledgers import (
    OPENED,
    ORIGIN,
    SIGNER,
    LedgerDatabase,
    MemoryLedger,
    event_body,
    ledger_of,
    signer_named,
)
from tests.audit.test_verify_demands import FORKED, note_at

LEDGER = ledger_of(600)
REPORT = verify_ledger(LEDGER, SIGNER.vkey)
TOKENS = [("embedded", b"first token"), ("https://tsa.example", b"second")]


def cosigned(note: str) -> str:
    return note + ED25519.cosign(note.rpartition("\n\n")[0] + "\n", datetime.now(UTC))


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 599, 600])
def test_a_checkpoint_of_the_ledger_comes_with_its_cosignatures_and_timestamps(size: int) -> None:
    note = cosigned(note_at(size))
    found = endorsed.check(LEDGER, written(note, TOKENS), REPORT)
    assert found is not None
    assert (found.note, found.checkpoint.size, list(found.tokens)) == (note, size, TOKENS)
    assert found.stamped == note_at(size).encode(), "what was stamped is what the ledger signed"
    assert found.after == OPENED + timedelta(seconds=size - 1)


def test_without_the_file_there_is_none() -> None:
    assert endorsed.read(LEDGER) == b""
    assert endorsed.check(LEDGER, b"", REPORT) is None


STRANGER = signer_named("ledger.other.khatim")
BAD = {
    "of another history": (note_at(500, FORKED), "written anew"),
    "of another root": (sign_checkpoint(Checkpoint(ORIGIN, 600, bytes(32)), SIGNER), "written anew"),
    "larger than the ledger": (sign_checkpoint(Checkpoint(ORIGIN, 601, bytes(32)), SIGNER), "cut off"),
    "of another log": (sign_checkpoint(Checkpoint(STRANGER.name, 5, bytes(32)), STRANGER), "none of the expected"),
    "by another key": (sign_checkpoint(Checkpoint(ORIGIN, 5, bytes(32)), STRANGER), "none of the expected"),
    "of nothing": (sign_checkpoint(Checkpoint(ORIGIN, 0, bytes(32)), SIGNER), "no entry"),
    "no note": ("nothing", "three lines"),
    "a note and another line": (note_at(5) + "\nfree text\n", "three lines|malformed"),
    "no base64": (note_at(5) + "\ntimestamp embedded ?\n", "not base64"),
    "a timestamp of nobody": (note_at(5) + "\ntimestamp AAAA\n", "no timestamp"),
}


@pytest.mark.parametrize("what", BAD)
def test_any_other_file_is_refused(what: str) -> None:
    note, said = BAD[what]
    with pytest.raises(LedgerInvalid, match=said) as found:
        endorsed.check(LEDGER, note.encode(), REPORT)
    assert found.value.members["place"] == ENDORSED


def test_a_copy_carries_it_and_is_brought_up_to_date(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("copy")
    first, second = ledger_of(300), MemoryLedger({**LEDGER.files, ENDORSED: written(note_at(500), TOKENS)})
    mirroring.to_folder(first, folder, lambda *_: None)
    assert not (folder / ENDORSED).exists()
    mirroring.to_folder(second, folder, lambda *_: None)
    assert (folder / ENDORSED).read_bytes() == second.files[ENDORSED]
    added, _ = mirroring.to_zip(second, folder / "copy.zip", lambda *_: None)
    assert added == len(second.files)


def test_the_largest_one_that_counts_is_handed_out(ledger: LedgerDatabase) -> None:
    ledger.sequence_all()
    sizes = [1]
    for number in range(3):
        ledger.offer(event_body(number))
        ledger.sequence_all()
        sizes.append(number + 2)
    with ledger.connect("khatim_sequencer") as conn:
        with pytest.raises(NotFound):
            endorsements.latest_endorsed(conn, WitnessPolicy())
        note = endorsements.latest_that_counts(conn, WitnessPolicy())
        line = ED25519.cosign(note_in(ledger, 2).rpartition("\n\n")[0] + "\n", datetime.now(UTC))
        endorsements.add(conn, 2, COSIGNATURE, ED25519.vkey, line.encode())
        endorsements.add(conn, 3, TIMESTAMP, "embedded", b"token")
        assert Checkpoint.of_note(note).size == 4
        found = endorsements.latest_endorsed(conn, WitnessPolicy())
        assert found == note_in(ledger, 3).encode() + b"\ntimestamp embedded " + base64.b64encode(b"token") + b"\n"
        quorum = WitnessPolicy.of_keys([(ED25519.vkey, "")], 1)
        assert endorsements.latest_endorsed(conn, quorum) == (note_in(ledger, 2) + line).encode()


def note_in(ledger: LedgerDatabase, size: int) -> str:
    with ledger.connect() as conn:
        row = conn.execute("SELECT note FROM ledger_checkpoints WHERE size = %s", (size,)).fetchone()
    assert row is not None
    return str(row[0])
