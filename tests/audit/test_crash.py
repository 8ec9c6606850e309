# SPDX-License-Identifier: Apache-2.0
"""Nothing is lost and nothing invented when the sequencer or the database is killed under load."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import psycopg
import pytest

from audit import outbox
from audit.verify_database import verify_database
from gateway.embedded import EmbeddedDatabase
from tests.audit.conftest import make_ledger_tables
from tests.audit.ledgers import SIGNER, LedgerDatabase, event_body
from tests.audit.test_sequencer import numbers_in, running, wait_until

WRITERS = 6


class Load:
    """Concurrent writers: some roll back, some stay open for long; *committed* and *unsure* say what must be found."""

    def __init__(self, ledger: LedgerDatabase) -> None:
        self.committed: set[int] = set()
        self.unsure: set[int] = set()  # the connection broke during the commit: either is right
        self._ledger, self._stop, self._lock = ledger, threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._write, args=(n,)) for n in range(WRITERS)]

    def __enter__(self) -> Self:
        """Start writing."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop writing."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _write(self, writer: int) -> None:
        chance, number = random.Random(writer), writer
        while not self._stop.is_set():
            with contextlib.suppress(psycopg.Error), self._ledger.connect("khatim_service") as conn:
                while not self._stop.is_set():
                    number += WRITERS
                    self._one(conn, number, chance)
            time.sleep(0.05)

    def _one(self, conn: psycopg.Connection, number: int, chance: random.Random) -> None:
        with self._lock:
            self.unsure.add(number)
        roll_back = chance.random() < 0.2
        with conn.transaction(force_rollback=roll_back):
            conn.execute("INSERT INTO ledger_outbox (body) VALUES (%s)", (event_body(number),))
            time.sleep(0.15 if chance.random() < 0.05 else 0.001)
        with self._lock:
            self.unsure.discard(number)
            if not roll_back:
                self.committed.add(number)


def check(ledger: LedgerDatabase, load: Load) -> None:
    """Every committed event stands in the ledger exactly once, no other does, and the ledger re-derives."""
    with ledger.connect() as conn:
        wait_until(lambda: outbox.pending_count(conn) == 0)
        report = verify_database(conn, SIGNER.verifier)
    found = numbers_in(ledger)
    assert len(found) == len(set(found)) == report.size - 1
    assert load.committed <= set(found) <= load.committed | load.unsure
    assert len(load.committed) > 100, "the load was too small to show anything"


def test_killing_the_sequencer_loses_nothing(ledger: LedgerDatabase) -> None:
    with Load(ledger) as load:
        for _ in range(8):
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.audit.sequencing"], stdin=subprocess.PIPE, text=True, cwd=_root()
            )
            assert process.stdin
            process.stdin.write(ledger.url("khatim_sequencer") + "\n")
            process.stdin.flush()
            size = _size(ledger)
            wait_until(lambda: _size(ledger) > size)  # noqa: B023 - called at once
            time.sleep(random.Random(size).random() / 4)
            process.send_signal(signal.SIGKILL)
            process.communicate()
    assert load.unsure == set()
    ledger.sequence_all()
    check(ledger, load)


@pytest.fixture
def own_cluster() -> Iterator[EmbeddedDatabase]:
    """Yield a cluster that may be killed."""
    folder = Path(tempfile.mkdtemp(prefix="khatim-crash-"))
    server = EmbeddedDatabase(folder)
    try:
        server.start()
        make_ledger_tables(server.url("khatim_owner"))
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def test_killing_the_database_loses_nothing_and_the_sequencer_goes_on(own_cluster: EmbeddedDatabase) -> None:
    ledger = LedgerDatabase(own_cluster.url)
    leader = ledger.sequencer(poll_s=0.005)
    with running(leader) as failed, Load(ledger) as load:
        for _ in range(2):
            size = leader.lag.size
            _wait_for_growth(lambda: leader.lag.size, size + 50)
            postmaster = int((own_cluster.pgdata / "postmaster.pid").read_text().split()[0])
            os.kill(postmaster, signal.SIGKILL)
            _start_again(own_cluster)
        size = leader.lag.size
        _wait_for_growth(lambda: leader.lag.size, size + 50)
        assert failed == []
        load.__exit__()
        check(ledger, load)
    assert failed == []


def _wait_for_growth(size: Callable[[], int], least: int) -> None:
    wait_until(lambda: size() >= least, 60)


def _start_again(server: EmbeddedDatabase) -> None:
    """Start after a crash; the children of the killed postmaster hold its memory for a moment."""
    deadline = time.monotonic() + 60
    while True:
        try:
            server.start()
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


def _root() -> Path:
    return Path(__file__).parents[2]


def _size(ledger: LedgerDatabase) -> int:
    with ledger.connect() as conn:
        row = conn.execute("SELECT coalesce(max(size), 0) FROM ledger_checkpoints").fetchone()
    return int(row[0]) if row else 0
