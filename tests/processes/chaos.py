# SPDX-License-Identifier: Apache-2.0
"""Writers over HTTP that keep book of what they were promised, and what is found when everything stands still again."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Self

import httpx
import psutil
import psycopg

from audit.checkpoint import NoteVerifier
from audit.verify_database import verify_database
from gateway import supervisor
from gateway.embedded import EmbeddedDatabase
from gateway.instance import Instance
from tests.processes.installation import Installation

WRITERS = 4


@dataclass
class Outcome:
    """What one kind of trouble did: counts, all but the first three of which have to be zero."""

    kills: int = 0
    acknowledged: int = 0
    chained: int = 0
    lost: set[str] = field(default_factory=set)
    twice: set[str] = field(default_factory=set)
    unaudited: set[str] = field(default_factory=set)
    phantoms: set[str] = field(default_factory=set)

    def assert_clean(self) -> None:
        """Fail when something acknowledged is missing, doubled, or changed without its event."""
        assert self.acknowledged > 0, "the load was too small to show anything"
        assert (self.lost, self.twice, self.unaudited, self.phantoms) == (set(), set(), set(), set())


class Writers:
    """Clients that create models and ask again, under the same key, until they are answered."""

    def __init__(self, installation: Installation, namespace: str) -> None:
        """Write into a *namespace* of its own."""
        self.namespace = namespace
        self.acknowledged: set[str] = set()
        self._installation, self._stop, self._lock = installation, threading.Event(), threading.Lock()
        self._token = installation.token("scientist")
        self._threads = [threading.Thread(target=self._write, args=(n,)) for n in range(WRITERS)]

    def __enter__(self) -> Self:
        """Start."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Let everybody finish the request that they are at: it is answered in the end, or was never done."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def await_more(self, count: int, timeout_s: float = 60) -> None:
        """Wait until *count* further requests were acknowledged."""
        goal, deadline = len(self.acknowledged) + count, time.monotonic() + timeout_s
        while len(self.acknowledged) < goal:
            assert time.monotonic() < deadline, "the writers are not answered any more"
            time.sleep(0.01)

    def _write(self, writer: int) -> None:
        number = 0
        with httpx.Client(timeout=10) as client:
            while not self._stop.is_set():
                number += 1
                name = f"m{writer}-{number:06d}"
                if self._created(client, name):
                    with self._lock:
                        self.acknowledged.add(name)

    def _created(self, client: httpx.Client, name: str) -> bool:
        headers = {"Authorization": f"Bearer {self._token}", "Idempotency-Key": uuid.uuid4().hex}
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                path = f"{self._installation.url}/v1/models/{self.namespace}/{name}"
                answer = client.post(path, json={"tier": 2}, headers=headers)
                if answer.is_success:
                    return True
                assert answer.status_code in {409, 500, 503}, answer.text
            time.sleep(0.05)
        return False


def kill_server(installation: Installation) -> None:
    """Kill the server's process, and start it again on the same port."""
    port = str(installation.port)
    os.kill(installation.pid(), signal.SIGKILL)
    installation.await_that(lambda: supervisor.state_of(installation.data) is None, "the killed server looks alive")
    installation.up("--port", port)


def kill_sequencer(installation: Installation) -> None:
    """Kill the sequencer's process, once one runs; the server starts another one."""
    server, found = psutil.Process(installation.pid()), list[psutil.Process]()

    def is_there() -> bool:
        found[:] = [child for child in server.children() if _sequences(child)]
        return bool(found)

    installation.await_that(is_there, "no sequencer runs")
    found[0].kill()


def _sequences(process: psutil.Process) -> bool:
    try:
        return "sequence" in process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):  # the one before, which the server has not buried yet
        return False


def kill_database(installation: Installation) -> None:
    """Kill the postmaster, and start it again as an operator's service manager does."""
    embedded = EmbeddedDatabase(installation.data / "postgres")
    os.kill(int((embedded.pgdata / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    deadline = time.monotonic() + 60
    while True:
        try:  # the children of the killed postmaster hold its memory for a moment
            embedded.start()
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def judged(installation: Installation, writers: Writers, kills: int) -> Outcome:
    """Compare what was promised, what the tables hold and what the ledger says; the ledger has to verify."""
    signer = Instance(installation.data).ledger_signer("local", 1)
    prefix = f"model:{writers.namespace}/"
    with psycopg.connect(url_of(installation, "khatim_service"), autocommit=True) as conn:
        deadline = time.monotonic() + 60
        while (conn.execute("SELECT count(*) FROM ledger_outbox").fetchone() or (0,))[0]:
            assert time.monotonic() < deadline, "the outbox does not empty"
            time.sleep(0.1)
        report = verify_database(conn, NoteVerifier.parse(signer.vkey))
        query = "SELECT resource FROM ledger_entries WHERE kind = 'model.created' AND starts_with(resource, %s)"
        told = Counter(row[0].removeprefix(prefix) for row in conn.execute(query, (prefix,)))
    # As the owner: to the service's role a table shows only the namespaces that a transaction says it can see.
    with psycopg.connect(url_of(installation, "khatim_owner"), autocommit=True) as conn:
        rows = conn.execute("SELECT name FROM models WHERE namespace = %s", (writers.namespace,)).fetchall()
    assert report.size >= sum(told.values())
    there = {row[0] for row in rows}
    return Outcome(
        kills=kills,
        acknowledged=len(writers.acknowledged),
        chained=len(told),
        lost=writers.acknowledged - set(told),
        twice={name for name, times in told.items() if times > 1},
        unaudited=there - set(told),
        phantoms=set(told) - there,
    )


def url_of(installation: Installation, role: str) -> str:
    """Return the database's URL for a role."""
    return EmbeddedDatabase(installation.data / "postgres").url(role)
