# SPDX-License-Identifier: Apache-2.0
"""The head known outside: no restored or lagging database is signed on from, and a normal crash stops nobody."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from audit import halts, outbox, stored
from audit.checkpoint import Checkpoint, sign_checkpoint
from audit.heads import HeadFile
from audit.sequencer import Safeguards, Sequencer
from audit.verify_database import verify_database
from khatim.errors import LedgerForked, Unavailable
from tests.audit.ledgers import ORIGIN, SIGNER, LedgerDatabase, event_body, signer_named
from tests.audit.test_sequencer import numbers_in, running, wait_until


def note_of(size: int, *, root: bytes = bytes(32), origin: str = ORIGIN) -> str:
    """Return a signed checkpoint that says what it is told."""
    return sign_checkpoint(Checkpoint(origin, size, root), signer_named(origin))


def guarded(ledger: LedgerDatabase, *keepers: object) -> Sequencer:
    """Return a sequencer that asks *keepers*."""
    return Sequencer(ledger.url("khatim_sequencer"), ORIGIN, SIGNER, Safeguards(keepers))  # type: ignore[arg-type]  # each has the methods


def drained(sequencer: Sequencer) -> None:
    """Sequence what waits and end."""
    while sequencer.run_once():
        pass
    sequencer.close()


@pytest.fixture
def head(tmp_path: Path) -> HeadFile:
    """Return a file that knows nothing yet."""
    return HeadFile(tmp_path / "ledger.head")


class Silent:
    """A keeper that does not answer."""

    name = "witness far.example"

    def __init__(self, *, must_answer: bool) -> None:
        """Take whether nothing may be signed without it."""
        self.must_answer = must_answer

    def highest(self) -> str | None:
        """Fail."""
        raise Unavailable("no route to far.example")

    def keep(self, note: str) -> None:
        """Fail."""
        raise Unavailable("no route to far.example")


def test_the_file_keeps_the_largest_note_and_only_its_owner_reads_it(head: HeadFile, tmp_path: Path) -> None:
    assert head.highest() is None
    for size in (3, 9, 5):
        head.keep(note_of(size))
    assert head.highest() == note_of(9)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {0o600}
    assert sorted(path.name for path in tmp_path.iterdir()) == [".ledger.head.lock", "ledger.head"]


def test_a_new_epochs_note_replaces_a_larger_one_of_the_old_log(head: HeadFile) -> None:
    head.keep(note_of(9))
    head.keep(note_of(4, origin=f"{ORIGIN}/2"))
    assert head.highest() == note_of(4, origin=f"{ORIGIN}/2")


def test_every_commit_is_kept_and_the_next_sequencer_goes_on(ledger: LedgerDatabase, head: HeadFile) -> None:
    ledger.offer(event_body(1), event_body(2))
    drained(guarded(ledger, head))
    with ledger.connect() as conn:
        assert head.highest() == (stored.checkpoint_at(conn) or pytest.fail("none")).note
    ledger.offer(event_body(3))
    drained(guarded(ledger, head))
    assert numbers_in(ledger) == [1, 2, 3]


def test_a_kill_between_commit_and_file_stops_nobody(ledger: LedgerDatabase, head: HeadFile) -> None:
    """The file is one batch behind then: what it says is a prefix of the ledger."""
    drained(guarded(ledger, head))
    before = head.highest() or ""
    ledger.offer(*(event_body(number) for number in range(300)))
    drained(guarded(ledger, head))
    Path(head._path).write_text(before)  # as if the last write had never happened
    ledger.offer(event_body(300))
    drained(guarded(ledger, head))
    assert len(numbers_in(ledger)) == 301
    assert f"\n{302}\n" in (head.highest() or "")


@pytest.mark.parametrize("size", [300, 2])
def test_a_head_that_the_database_does_not_extend_halts_it(ledger: LedgerDatabase, head: HeadFile, size: int) -> None:
    """Larger than the database (a restore), or of the same size or smaller with another root (a second history)."""
    ledger.offer(event_body(1), event_body(2))
    ledger.sequence_all()
    head.keep(note_of(size))
    ledger.offer(event_body(3))
    sequencer = guarded(ledger, head)
    with pytest.raises(LedgerForked) as refused:
        sequencer.run_once()
    assert (refused.value.members["known_size"], refused.value.members["size"]) == (size, 3)
    assert numbers_in(ledger) == [1, 2]
    with ledger.connect() as conn:
        assert outbox.pending_count(conn) == 1


def test_an_empty_database_is_not_opened_anew_when_a_head_is_known(ledger: LedgerDatabase, head: HeadFile) -> None:
    head.keep(note_of(7))
    with pytest.raises(LedgerForked):
        guarded(ledger, head).run_once()
    with ledger.connect() as conn:
        assert stored.checkpoint_at(conn) is None


@pytest.mark.parametrize("note", ["", "nonsense", note_of(2, origin="ledger.other.khatim"), note_of(2)[:-20] + "\n"])
def test_a_head_that_is_not_ours_or_damaged_halts_it(ledger: LedgerDatabase, tmp_path: Path, note: str) -> None:
    ledger.sequence_all()
    (tmp_path / "ledger.head").write_text(note)
    with pytest.raises(LedgerForked, match="not one of this ledger"):
        guarded(ledger, HeadFile(tmp_path / "ledger.head")).run_once()


def test_a_halted_sequencer_lives_tells_why_and_goes_on_when_the_reason_is_gone(
    ledger: LedgerDatabase, tmp_path: Path
) -> None:
    ledger.sequence_all()
    path = tmp_path / "ledger.head"
    path.write_text(note_of(50))
    ledger.offer(event_body(1))
    leader = guarded(ledger, HeadFile(path))
    with running(leader) as failed, ledger.connect() as conn:
        wait_until(lambda: halts.halt_of(conn) is not None)
        halt = halts.halt_of(conn)
        assert halt is not None
        assert halt.error == "ledger-forked"
        assert "checkpoint of size 50, but the ledger ends at 1" in halt.detail
        assert failed == []
        path.unlink()
        wait_until(lambda: halts.halt_of(conn) is None)
        wait_until(lambda: numbers_in(ledger) == [1])
    assert failed == []
    with ledger.connect() as conn:
        assert verify_database(conn, SIGNER.verifier).size == 2


def test_a_cut_connection_is_asked_again(ledger: LedgerDatabase, tmp_path: Path) -> None:
    """After each reconnect, not only at the start: the database behind the address may be another one by then."""
    path = tmp_path / "ledger.head"
    leader = guarded(ledger, HeadFile(path))
    leader.run_once()
    path.write_text(note_of(50))
    with ledger.connect() as conn:
        conn.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted")
    ledger.offer(event_body(1))
    with pytest.raises(Unavailable):
        leader.run_once()
    with pytest.raises(LedgerForked):
        leader.run_once()


def test_a_keeper_that_must_answer_is_waited_for_and_another_is_not(ledger: LedgerDatabase, head: HeadFile) -> None:
    ledger.offer(event_body(1))
    with pytest.raises(Unavailable, match=r"far\.example"):
        guarded(ledger, head, Silent(must_answer=True)).run_once()
    drained(guarded(ledger, head, Silent(must_answer=False)))
    assert numbers_in(ledger) == [1]


def test_a_file_that_cannot_be_written_stops_the_next_batch(ledger: LedgerDatabase, tmp_path: Path) -> None:
    """At most one batch is ever ahead of the file."""
    folder = tmp_path / "keys"
    folder.mkdir()
    leader = guarded(ledger, HeadFile(folder / "ledger.head"))
    leader.run_once()
    os.rename(folder, tmp_path / "away")  # noqa: PTH104 - also root cannot write into what is not there
    for number in range(3):
        ledger.offer(event_body(number))
        with pytest.raises(Unavailable):
            leader.run_once()
    assert numbers_in(ledger) == [0]
    os.rename(tmp_path / "away", folder)  # noqa: PTH104 - and back
    drained(leader)
    assert numbers_in(ledger) == [0, 1, 2]
