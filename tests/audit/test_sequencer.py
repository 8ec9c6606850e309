# SPDX-License-Identifier: Apache-2.0
"""The sequencer on a real database: what it writes, who leads, and when it refuses to go on."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from audit import direct, halts, outbox, stored
from audit.checkpoint import open_checkpoint
from audit.clock import Asked, ClockGuard
from audit.entries import BODY_MAX, GENESIS
from audit.merkle import leaf_hash
from audit.sequencer import Safeguards, Sequencer
from audit.verify_database import verify_database
from khatim.errors import ClockUnreliable, LedgerInvalid, Misconfigured, Unavailable
from khatim.vocabulary import Digest
from tests.audit.ledgers import ORIGIN, SIGNER, LedgerDatabase, event_body, signer_named


def numbers_in(ledger: LedgerDatabase) -> list[int]:
    """Return the numbers of the test events in ledger order."""
    with ledger.connect() as conn:
        size = (stored.checkpoint_at(conn) or stored.StoredCheckpoint(0, b"", "")).size
        events = [json.loads(entry)["event"] for entry in stored.entries_between(conn, 0, size)]
    return [event["payload"]["number"] for event in events if event["kind"] != GENESIS]


def wait_until(holds: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until *holds*; fail after *seconds*."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@contextmanager
def running(leader: Sequencer) -> Iterator[list[BaseException]]:
    """Run a sequencer in a thread; yield the list in which its error would appear."""
    stop, failed = threading.Event(), list[BaseException]()

    def work() -> None:
        try:
            leader.run(stop)
        except BaseException as error:  # noqa: BLE001 - handed to the test
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield failed
    finally:
        stop.set()
        thread.join()


def test_the_first_entry_opens_the_ledger(ledger: LedgerDatabase) -> None:
    ledger.sequence_all()
    with ledger.connect() as conn:
        row = conn.execute("SELECT kind, entry FROM ledger_entries").fetchall()
        assert [kind for kind, _ in row] == [GENESIS]
        assert json.loads(row[0][1])["event"]["payload"] == {"origin": ORIGIN, "vkey": SIGNER.vkey}
        assert verify_database(conn, SIGNER.verifier).size == 1


def test_committed_events_are_sequenced_in_order_and_leave_the_outbox(ledger: LedgerDatabase) -> None:
    ledger.offer(*(event_body(number) for number in range(700)))
    ledger.sequence_all(batch=256)
    assert numbers_in(ledger) == list(range(700))
    with ledger.connect() as conn:
        assert outbox.pending_count(conn) == 0
        report = verify_database(conn, SIGNER.verifier)
        assert (report.size, report.kinds) == (701, {GENESIS: 1, "version.promoted": 700})
        sizes = [row[0] for row in conn.execute("SELECT size FROM ledger_checkpoints ORDER BY size")]
        assert sizes == [1, 257, 513, 701]
        tiles = conn.execute("SELECT level, number, octet_length(hashes) FROM ledger_tiles ORDER BY 1, 2").fetchall()
        assert tiles == [(0, 0, 8192), (0, 1, 8192)]


def test_the_checkpoint_is_signed_by_the_ledgers_key(ledger: LedgerDatabase) -> None:
    ledger.sequence_all()
    with ledger.connect() as conn:
        found = stored.checkpoint_at(conn)
    assert found is not None
    signed = open_checkpoint(found.note, ORIGIN, [SIGNER.verifier])
    assert (signed.size, signed.root) == (found.size, found.root)


def test_a_rolled_back_event_never_happened(ledger: LedgerDatabase) -> None:
    with ledger.connect("khatim_service") as conn:
        with conn.transaction(force_rollback=True):
            conn.execute("INSERT INTO ledger_outbox (body) VALUES (%s)", (event_body(1),))
        conn.execute("INSERT INTO ledger_outbox (body) VALUES (%s)", (event_body(2),))
    ledger.sequence_all()
    assert numbers_in(ledger) == [2]


def test_an_event_that_commits_late_is_not_skipped(ledger: LedgerDatabase) -> None:
    """Its id is lower than one that is already in the ledger: a cursor "id > last" would lose it."""
    with ledger.connect("khatim_service") as slow, slow.transaction():
        slow.execute("INSERT INTO ledger_outbox (body) VALUES (%s)", (event_body(1),))
        ledger.offer(event_body(2))
        ledger.sequence_all()
        assert numbers_in(ledger) == [2]
    ledger.sequence_all()
    assert numbers_in(ledger) == [2, 1]


def test_a_new_sequencer_goes_on_where_the_last_one_ended(ledger: LedgerDatabase) -> None:
    for start in range(0, 600, 100):
        ledger.offer(*(event_body(number) for number in range(start, start + 100)))
        ledger.sequence_all()
    assert numbers_in(ledger) == list(range(600))
    with ledger.connect() as conn:
        assert verify_database(conn, SIGNER.verifier).size == 601


def test_a_large_payload_is_kept_aside_once(ledger: LedgerDatabase) -> None:
    payload = json.dumps({"rows": "x" * 100_000}).encode()
    body = event_body(1, payload_digest=str(Digest.of(payload)))
    ledger.offer(body, body, payload=payload)
    ledger.sequence_all()
    with ledger.connect() as conn:
        kept = conn.execute("SELECT digest, body FROM ledger_payloads").fetchall()
        assert kept == [(str(Digest.of(payload)), payload)]
        assert verify_database(conn, SIGNER.verifier).size == 3


def test_the_largest_event_a_strangers_words_and_the_oddest_names_are_sequenced(ledger: LedgerDatabase) -> None:
    largest = event_body(1, resource="")
    largest = event_body(1, resource="x" * (BODY_MAX - len(largest)))
    assert len(largest) == BODY_MAX
    ledger.offer(largest, event_body(2, resource="nul \x00 here"), event_body(3, actor=None, zone={"a": 1}))
    ledger.sequence_all()
    assert numbers_in(ledger) == [1, 2, 3]
    with ledger.connect() as conn:
        assert verify_database(conn, SIGNER.verifier).size == 4


def test_the_lag_is_told(ledger: LedgerDatabase) -> None:
    ledger.offer(*(event_body(number) for number in range(30)))
    with ledger.connect() as conn:
        waiting = outbox.backlog(conn)
    assert waiting.count == 30
    assert waiting.oldest_at is not None
    leader = ledger.sequencer()
    assert leader.run_once() == 30
    assert (leader.lag.size, leader.lag.batch, leader.lag.is_leading) == (31, 30, True)
    assert leader.lag.seconds >= 0
    leader.close()
    assert not leader.lag.is_leading
    with ledger.connect() as conn:
        assert outbox.backlog(conn) == outbox.Backlog(0, None)


def test_only_one_sequencer_leads_and_the_other_takes_over(ledger: LedgerDatabase) -> None:
    first, second = ledger.sequencer(), ledger.sequencer()
    with ledger.connect() as conn:
        assert not direct.is_led(conn)
        first.run_once()
        assert direct.is_led(conn)
        ledger.offer(event_body(1))
        assert second.run_once() == 0
        assert [first.lag.is_leading, second.lag.is_leading] == [True, False]
        assert first.run_once() == 1
        first.close()
        ledger.offer(event_body(2))
        assert second.run_once() == 1
        assert [first.lag.is_leading, second.lag.is_leading] == [False, True]
        second.close()
        assert numbers_in(ledger) == [1, 2]
        assert verify_database(conn, SIGNER.verifier).size == 3


def test_a_leader_whose_connection_is_cut_stands_by_behind_its_successor(ledger: LedgerDatabase) -> None:
    first, second = ledger.sequencer(poll_s=0.005), ledger.sequencer(poll_s=0.005)
    with running(first) as broken, ledger.connect() as conn:
        wait_until(lambda: first.lag.is_leading)
        with running(second) as failed:
            query = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            for number in range(40):
                ledger.offer(event_body(number))
                if number % 10 == 5:
                    conn.execute(query)
            wait_until(lambda: len(numbers_in(ledger)) == 40)
        assert (broken, failed) == ([], [])
        assert sorted(numbers_in(ledger)) == list(range(40))
        assert verify_database(conn, SIGNER.verifier).size == 41


def test_it_waits_for_a_database_that_is_not_there() -> None:
    absent = Sequencer("host=/nonexistent dbname=nothing", ORIGIN, SIGNER)
    with pytest.raises(Unavailable):
        absent.run_once()
    with running(absent) as failed:
        time.sleep(0.5)
        assert failed == []


def test_a_role_that_may_not_sequence_is_told_so(ledger: LedgerDatabase) -> None:
    ledger.offer(event_body(1))
    with pytest.raises(Unavailable, match="permission denied"):
        Sequencer(ledger.url("khatim_service"), ORIGIN, SIGNER).run_once()


def test_the_key_must_bear_the_name_of_the_ledger(ledger: LedgerDatabase) -> None:
    with pytest.raises(Misconfigured):
        Sequencer(ledger.url("khatim_sequencer"), ORIGIN, signer_named("ledger.other.khatim"))


def test_another_key_does_not_continue_the_ledger(ledger: LedgerDatabase) -> None:
    ledger.sequence_all()
    other = signer_named("ledger.other.khatim")
    with pytest.raises(LedgerInvalid):
        Sequencer(ledger.url("khatim_sequencer"), "ledger.other.khatim", other).run_once()


@pytest.mark.parametrize(
    "query",
    [
        "UPDATE ledger_entries SET entry = overlay(entry placing 'X'::bytea from 20) WHERE \"index\" = 299",
        'DELETE FROM ledger_entries WHERE "index" = 299',
        'DELETE FROM ledger_entries WHERE "index" = 270',
        'UPDATE ledger_entries SET "index" = 500 WHERE "index" = 299',
        "UPDATE ledger_tiles SET root = sha256(root)",
        "DELETE FROM ledger_tiles",
        "UPDATE ledger_checkpoints SET root = sha256(root) WHERE size = 300",
        "UPDATE ledger_checkpoints SET note = replace(note, '300', '301') WHERE size = 300",
        "DELETE FROM ledger_checkpoints WHERE size = 300",
        "DELETE FROM ledger_checkpoints",
        "DELETE FROM ledger_entries",
    ],
)
def test_a_tail_that_does_not_meet_its_checkpoint_stops_it(ledger: LedgerDatabase, query: str) -> None:
    """Fail closed: the events stay in the outbox, nothing is signed."""
    ledger.offer(*(event_body(number) for number in range(299)))
    ledger.sequence_all()
    ledger.tamper(query)
    ledger.offer(event_body(300))
    leader = ledger.sequencer()
    with running(leader) as failed, ledger.connect() as conn:
        wait_until(lambda: halts.halt_of(conn) is not None)
        assert failed == []
        assert leader.halted
        assert leader.halted.members["place"]
        assert (halts.halt_of(conn) or pytest.fail("no halt")).error == "ledger-invalid"
        assert outbox.pending_count(conn) == 1


def test_somebody_elses_entry_stops_it(ledger: LedgerDatabase) -> None:
    leader = ledger.sequencer()
    leader.run_once()
    ledger.tamper(
        'INSERT INTO ledger_entries SELECT 1, entry, leaf, kind, actor, resource, namespace, zone, "at" '
        "FROM ledger_entries"
    )
    ledger.offer(event_body(1))
    with pytest.raises(LedgerInvalid):
        leader.run_once()


class Wall:
    """A wall clock that the tests set; the one that nobody can set goes with it unless they say otherwise."""

    def __init__(self) -> None:
        """Start with the machine's clock."""
        self.off = timedelta()

    def __call__(self) -> datetime:
        """Return the time."""
        return datetime.now(UTC) + self.off


@contextmanager
def clocked(ledger: LedgerDatabase, wall: Wall) -> Iterator[Sequencer]:
    """Yield a sequencer that compares *wall* with the database."""
    theirs = direct.DatabaseTime(ledger.url("khatim_sequencer"))
    source = Asked("database", theirs.now, wall)
    leader = ledger.sequencer(safeguards=Safeguards(clock=ClockGuard(wall, [source], 2.0, fresh_s=0)), poll_s=0.005)
    try:
        yield leader
    finally:
        leader.close()
        theirs.close()


def test_each_checkpoint_carries_the_clocks_offset_and_source(ledger: LedgerDatabase) -> None:
    with clocked(ledger, Wall()) as leader:
        ledger.offer(event_body(1))
        leader.run_once()
    with ledger.connect() as conn:
        notes = [row[0] for row in conn.execute("SELECT note FROM ledger_checkpoints ORDER BY size")]
        assert verify_database(conn, SIGNER.verifier).size == 2
    for note in notes:
        signed = open_checkpoint(note, ORIGIN, [SIGNER.verifier])
        (line,) = signed.extensions
        assert re.fullmatch(r"clock database [+-]\d{1,3}", line)
        assert abs(int(line.split()[-1])) < 1000


@pytest.mark.parametrize("seconds", [-60, 60])
def test_by_a_clock_that_is_off_nothing_is_signed_and_nothing_lost(ledger: LedgerDatabase, seconds: int) -> None:
    wall = Wall()
    with clocked(ledger, wall) as leader:
        leader.run_once()
        ledger.offer(event_body(1), event_body(2))
        wall.off = timedelta(seconds=seconds)
        with pytest.raises(ClockUnreliable):
            leader.run_once()
        with running(leader) as failed, ledger.connect() as conn:
            time.sleep(0.6)
            assert outbox.pending_count(conn) == 2
            assert numbers_in(ledger) == []
            wall.off = timedelta()
            wait_until(lambda: numbers_in(ledger) == [1, 2])
            assert failed == []
            assert halts.halt_of(conn) is None, "the ledger stayed open: what waits is signed when the clock is right"


def test_everything_that_an_auditor_asks_for_is_in_the_hashed_bytes(ledger: LedgerDatabase) -> None:
    """Entity, namespace, zone, actor, chain version and place: not in columns beside, which could be changed."""
    ledger.offer(event_body(7))
    ledger.sequence_all()
    with ledger.connect() as conn:
        entry, leaf = conn.execute('SELECT entry, leaf FROM ledger_entries WHERE "index" = 1').fetchone() or (b"", b"")
    assert leaf_hash(entry) == leaf
    said = json.loads(entry)
    assert (said["v"], said["index"], len(said["prev"])) == (1, 1, 64)
    event = said["event"]
    assert [event[name] for name in ("entity", "namespace", "zone", "actor", "version")] == [
        "tests",
        "oncology",
        "ae-health",
        "person:1",
        1,
    ]
    for name in (b"tests", b"oncology", b"ae-health", b"person:1", b'"v":1'):
        assert leaf_hash(entry.replace(name, name[:-1] + b"9")) != leaf
