# SPDX-License-Identifier: Apache-2.0
"""Publishing checkpoints to witnesses, timestamp authorities and write-once copies, and what is kept of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from audit import endorsements, stored
from audit.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from audit.endorsements import COPY, COSIGNATURE, TIMESTAMP
from audit.heads import known_heads
from audit.publisher import Publisher, Publishing, Round
from audit.witness import Witness, WitnessStore
from audit.witness_client import WitnessClient, clients_of
from audit.witness_http import WitnessServer
from audit.witness_policy import WitnessPolicy
from audit.worm import WriteOnceFolder
from khatim.errors import LedgerForked, NotFound, NotWitnessed, Unavailable
from tests.audit.cosigning import ED25519, MLDSA44, ed25519
from tests.audit.ledgers import ORIGIN, SIGNER, LedgerDatabase, event_body
from tests.audit.test_witness import asked

SECOND = ed25519("witness.test/w2")
POLICY = WitnessPolicy.of_keys([(ED25519.vkey, ""), (MLDSA44.vkey, ""), (SECOND.vkey, "")], 2)


@pytest.fixture
def filled(ledger: LedgerDatabase) -> LedgerDatabase:
    """Return a ledger of 301 entries."""
    ledger.sequence_all()
    grow(ledger, 300)
    return ledger


def grow(ledger: LedgerDatabase, count: int) -> None:
    ledger.offer(*(event_body(number) for number in range(count)))
    ledger.sequence_all()


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[WitnessServer]]:
    """Yield two running witnesses, the first with two keys."""
    made = []
    for number, cosigners in enumerate(([ED25519, MLDSA44], [SECOND])):
        store = WitnessStore(tmp_path / f"w{number}")
        witness = Witness(store, cosigners, {ORIGIN: [SIGNER.verifier]}, lambda: datetime.now(UTC))
        made.append(WitnessServer(witness))
    threads = [threading.Thread(target=server.serve_forever, args=(0.02,)) for server in made]
    for thread in threads:
        thread.start()
    yield made
    for server, thread in zip(made, threads, strict=True):
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def witnesses(servers: list[WitnessServer]) -> Iterator[list[WitnessClient]]:
    first, second = (server.url for server in servers)
    keys = [(ED25519.verifier, first), (MLDSA44.verifier, first), (SECOND.verifier, second)]
    made = clients_of(keys, ORIGIN)
    yield made
    for one in made:
        one.close()


def published(ledger: LedgerDatabase, to: Publishing) -> Round:
    return Publisher(ledger.url("khatim_sequencer"), to).publish_once()


def served(ledger: LedgerDatabase, policy: WitnessPolicy = POLICY) -> str:
    with ledger.connect("khatim_service") as conn:
        return endorsements.latest_that_counts(conn, policy)


def test_a_checkpoint_goes_to_all_and_what_they_said_is_kept(
    filled: LedgerDatabase, witnesses: list[WitnessClient], tmp_path: Path
) -> None:
    folder = WriteOnceFolder(tmp_path / "worm")
    done = published(filled, Publishing(witnesses, {"tsa": lambda note: b"token over " + note}, [folder]))
    who = [(COSIGNATURE, ED25519.vkey), (COSIGNATURE, MLDSA44.vkey), (COSIGNATURE, SECOND.vkey)]
    assert set(done.added) == {*who, (TIMESTAMP, "tsa"), (COPY, folder.name)}
    assert (done.size, done.faults) == (301, ())
    note = served(filled)
    assert open_checkpoint(note, ORIGIN, [SIGNER.verifier]).size == 301
    assert set(POLICY.judge(note).by) == {vkey for _, vkey in who}
    assert folder.highest() == note
    assert published(filled, Publishing(witnesses, {"tsa": lambda _: b"again"}, [folder])) == Round(301)


def test_the_next_checkpoint_is_shown_to_continue_the_last_one(
    filled: LedgerDatabase, witnesses: list[WitnessClient]
) -> None:
    to = Publishing(witnesses)
    for more in (1, 255, 700):
        assert published(filled, to).faults == ()
        grow(filled, more)
    assert published(filled, to).faults == ()
    assert [one.highest() is not None for one in witnesses] == [True, True]


def test_a_checkpoint_counts_only_with_the_quorum(filled: LedgerDatabase, witnesses: list[WitnessClient]) -> None:
    with pytest.raises(NotFound, match="2 of 2 witnesses"):
        served(filled)
    published(filled, Publishing(witnesses[:1]))
    with pytest.raises(NotFound):
        served(filled)
    published(filled, Publishing(witnesses))
    whole = served(filled)
    grow(filled, 5)
    published(filled, Publishing(witnesses[1:]))
    assert served(filled) == whole, "the newer one has one witness only"
    assert open_checkpoint(served(filled, WitnessPolicy()), ORIGIN, [SIGNER.verifier]).size == 306


def test_two_keys_of_one_witness_are_one_witness(filled: LedgerDatabase, witnesses: list[WitnessClient]) -> None:
    published(filled, Publishing(witnesses[:1]))
    with filled.connect("khatim_service") as conn:
        checkpoint = stored.checkpoint_at(conn)
        assert checkpoint is not None
        note = endorsements.cosigned_note(conn, checkpoint)
    assert len(POLICY.judge(note).by) == 2
    with pytest.raises(NotWitnessed, match=r"2 of 2 witnesses; it is witnessed by witness\.test/w1"):
        POLICY.demand(note)


def test_a_witness_that_is_away_holds_nobody_up(filled: LedgerDatabase, witnesses: list[WitnessClient]) -> None:
    away = WitnessClient("http://127.0.0.1:9", [ed25519("witness.test/away").verifier], ORIGIN)
    done = published(filled, Publishing([away, *witnesses], {"tsa": failing, "other": lambda _: b"token"}))
    assert len(done.added) == 4
    assert len(done.faults) == 2
    assert "witness.test/away does not answer" in done.faults[0]


def failing(_: bytes) -> bytes:
    raise Unavailable("no authority")


def test_a_witness_that_lost_our_record_or_knows_more_of_us_is_asked_again(
    filled: LedgerDatabase, witnesses: list[WitnessClient], servers: list[WitnessServer]
) -> None:
    """The row of a cosignature may be lost after the witness gave it: it says where it is, and gives another."""
    published(filled, Publishing(witnesses))
    with filled.connect() as conn:
        conn.execute("ALTER TABLE ledger_endorsements DISABLE TRIGGER ALL")
        conn.execute("DELETE FROM ledger_endorsements")
    assert len(published(filled, Publishing(witnesses)).added) == 3


def test_a_witness_that_has_seen_more_raises_the_alarm(
    filled: LedgerDatabase, witnesses: list[WitnessClient], servers: list[WitnessServer]
) -> None:
    import httpx  # noqa: PLC0415

    assert httpx.post(f"{servers[0].url}/add-checkpoint", content=asked(0, 900)).status_code == 200
    done = published(filled, Publishing(witnesses))
    assert [kind for kind, _ in done.added] == [COSIGNATURE]
    assert len(done.faults) == 1
    assert done.faults[0].startswith("ALARM: witness witness.test/w1 has cosigned size 900")


def test_a_witness_that_saw_another_history_raises_the_alarm(
    filled: LedgerDatabase, witnesses: list[WitnessClient], servers: list[WitnessServer]
) -> None:
    import httpx  # noqa: PLC0415

    assert httpx.post(f"{servers[0].url}/add-checkpoint", content=asked(0, 200)).status_code == 200
    assert "does not continue what it saw" in published(filled, Publishing(witnesses)).faults[0]


def test_a_witness_with_another_key_is_not_believed(filled: LedgerDatabase, servers: list[WitnessServer]) -> None:
    stranger = WitnessClient(servers[0].url, [SECOND.verifier], ORIGIN)
    assert "does not cosign with the key" in published(filled, Publishing([stranger])).faults[0]
    stranger.close()


def test_witnesses_and_copies_are_keepers_of_the_head(
    filled: LedgerDatabase, witnesses: list[WitnessClient], tmp_path: Path
) -> None:
    folder = WriteOnceFolder(tmp_path / "worm")
    assert known_heads([*witnesses, folder], [SIGNER.verifier]) == ([], [])
    published(filled, Publishing(witnesses, {}, [folder]))
    heads, silent = known_heads([*witnesses, folder], [SIGNER.verifier])
    assert ([head.checkpoint.size for head in heads], silent) == ([301, 301, 301], [])
    away = WitnessClient("http://127.0.0.1:9", [SECOND.verifier], ORIGIN)
    assert "does not answer" in known_heads([away], [SIGNER.verifier])[1][0]
    with pytest.raises(Unavailable):
        known_heads([WitnessClient("http://127.0.0.1:9", [SECOND.verifier], ORIGIN, must_answer=True)], [])
    folder.put(999, sign_checkpoint(Checkpoint("other.khatim", 999, bytes(32)), SIGNER), [])
    with pytest.raises(LedgerForked):
        known_heads([folder], [SIGNER.verifier])


@pytest.mark.parametrize("statement", ["UPDATE ledger_endorsements SET who = 'x'", "DELETE FROM ledger_endorsements"])
@pytest.mark.parametrize("role", ["khatim_service", "khatim_sequencer", "khatim_owner"])
def test_endorsements_only_grow(ledger: LedgerDatabase, role: str, statement: str) -> None:
    with ledger.connect(role) as conn, pytest.raises(psycopg.Error, match=r"append-only|permission denied"):
        conn.execute(statement)


def test_only_the_sequencers_role_adds_endorsements(ledger: LedgerDatabase) -> None:
    with ledger.connect("khatim_sequencer") as conn:
        endorsements.add(conn, 1, TIMESTAMP, "tsa", b"first")
        endorsements.add(conn, 1, TIMESTAMP, "tsa", b"second")
        assert [one.data for one in endorsements.of_size(conn, 1)] == [b"first"]
    with ledger.connect("khatim_service") as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        endorsements.add(conn, 2, TIMESTAMP, "tsa", b"token")


def test_the_publisher_goes_on_after_a_failure_and_says_it_once(
    filled: LedgerDatabase, witnesses: list[WitnessClient], caplog: pytest.LogCaptureFixture
) -> None:
    rounds: list[int] = []

    def flaky(_: bytes) -> bytes:
        rounds.append(1)
        if len(rounds) < 4:
            raise Unavailable("no authority")
        return b"token"

    stop = threading.Event()
    publisher = Publisher(filled.url("khatim_sequencer"), Publishing(witnesses, {"tsa": flaky}), period_s=0.02)
    thread = threading.Thread(target=publisher.run, args=(stop,))
    thread.start()
    wait_for(lambda: len(rounds) >= 4)
    grow(filled, 1)
    wait_for(lambda: len(rounds) >= 5)
    stop.set()
    thread.join()
    assert [one.getMessage() for one in caplog.records if "no authority" in one.getMessage()] == [
        "no timestamp of tsa: no authority"
    ]
    away = Publisher("postgresql://nobody@127.0.0.1:9/none", Publishing(witnesses))
    with pytest.raises(Unavailable):
        away.publish_once()


def wait_for(holds: Callable[[], bool]) -> None:
    import time  # noqa: PLC0415

    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)
