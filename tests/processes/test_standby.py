# SPDX-License-Identifier: Apache-2.0
"""Two sequencers as processes: one leads, the other stands by and goes on when the first is killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import psycopg
import pytest

from tests.audit.ledgers import event_body
from tests.processes.chaos import Writers, judged, kill_sequencer, url_of
from tests.processes.installation import Installation

COUNT = 50
LIMIT_S = 10.0


@pytest.fixture
def standby(installation: Installation) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a second sequencer, started as on another machine that reaches the same database."""
    environment = {**os.environ, "KHATIM_DATA": str(installation.data)}
    running = subprocess.Popen([sys.executable, "-m", "khatim", "sequence"], env=environment)
    try:
        yield running
    finally:
        running.kill()
        running.wait(10)


def test_the_one_that_stands_by_goes_on_within_seconds_and_nothing_is_lost_or_chained_twice(
    installation: Installation, standby: subprocess.Popen[bytes]
) -> None:
    server = psutil.Process(installation.pid())
    with Writers(installation, "standby") as writers:
        writers.await_more(10)
    installation.await_that(lambda: _waiting(installation) == 0, "the first sequencer does not lead")
    assert standby.poll() is None

    server.suspend()  # so that it does not start its own again: only the other one is left
    try:
        [leader] = [one for one in server.children() if one.cmdline()[-1] == "sequence"]
        leader.kill()
        _append(installation, COUNT)
        took_s = _drained(installation)
    finally:
        server.resume()
    assert took_s < LIMIT_S

    with Writers(installation, "standby-again") as more:
        more.await_more(10)
        standby.kill()  # now it leads, and the server's own stands by
        more.await_more(10)
        kill_sequencer(installation)
        more.await_more(10)
    judged(installation, writers, 0).assert_clean()
    judged(installation, more, 3).assert_clean()
    with psycopg.connect(url_of(installation, "khatim_service"), autocommit=True) as conn:
        query = "SELECT count(*), count(DISTINCT resource) FROM ledger_entries WHERE kind = 'version.promoted'"
        assert conn.execute(query).fetchone() == (COUNT, COUNT)


def _waiting(installation: Installation) -> int:
    with psycopg.connect(url_of(installation, "khatim_service"), autocommit=True) as conn:
        row = conn.execute("SELECT count(*) FROM ledger_outbox").fetchone()
    return int(row[0]) if row else 0


def _append(installation: Installation, count: int) -> None:
    with psycopg.connect(url_of(installation, "khatim_service"), autocommit=True) as conn:
        conn.execute(
            "INSERT INTO ledger_outbox (body) SELECT unnest(%s::bytea[])", ([event_body(n) for n in range(count)],)
        )


def _drained(installation: Installation) -> float:
    """Wait until nothing waits; return how long it took in seconds."""
    began = time.monotonic()
    installation.await_that(lambda: _waiting(installation) == 0, "nobody takes over")
    return time.monotonic() - began
