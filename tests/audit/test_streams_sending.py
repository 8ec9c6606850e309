# SPDX-License-Identifier: Apache-2.0
"""Sending to real receivers: nothing is lost whoever is killed, nobody else's certificate is believed."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from audit.base import Base
from audit.streams import ddl
from audit.streams.check import Findings, check, lines_of
from audit.streams.messages import Format
from audit.streams.sender import Sender
from audit.streams.tables import Delivery, Sink
from audit.streams.transports import Places, check_target, open_transport
from khatim.errors import Malformed, Misconfigured, Unavailable
from tests.audit import receivers
from tests.audit.ledgers import ORIGIN, LedgerDatabase, event_body

ROOT = Path(__file__).parents[2]


@pytest.fixture
def streamed(ledger: LedgerDatabase) -> LedgerDatabase:
    """Give a ledger with the tables of streams."""
    engine = create_engine(ledger.url("khatim_owner").replace("postgresql://", "postgresql+psycopg://", 1))
    with engine.begin() as connection:
        Base.metadata.create_all(connection, tables=[Sink.__table__, Delivery.__table__])  # type: ignore[list-item]  # tables
        for statement in ddl.upgrade():
            connection.execute(text(statement))
    engine.dispose()
    return ledger


def add_sink(ledger: LedgerDatabase, transport: str, form: str = "syslog", **target: str) -> uuid.UUID:
    sink = uuid.uuid4()
    with ledger.connect() as conn:
        conn.execute(
            "INSERT INTO sinks VALUES (%s, %s, 'ae-onshore', %s, %s, %s, 0, 'active', 'tests', 'tests', now())",
            (sink, str(sink), form, transport, json.dumps(target)),
        )
    return sink


def sender_of(ledger: LedgerDatabase, sink: uuid.UUID, folder: Path, **options: Any) -> Sender:
    places = Places(folder / "files", folder)
    return Sender(
        ledger.url("khatim_sequencer"), sink, ORIGIN, receivers.judge,
        lambda row: open_transport(row["transport"], row["target"], Format(row["format"]), places), **options,
    )  # fmt: skip


def grow(ledger: LedgerDatabase, count: int, **members: Any) -> None:
    ledger.offer(*(event_body(number, **members) for number in range(count)))
    ledger.sequence_all()


def row(ledger: LedgerDatabase) -> dict[str, Any]:
    with ledger.connect() as conn:
        found = conn.execute("SELECT following, sent, withheld, failures, error FROM sink_deliveries").fetchone()
    return dict(zip(("following", "sent", "withheld", "failures", "error"), found or (0, 0, 0, 0, ""), strict=True))


def wait_for(ledger: LedgerDatabase, following: int, seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while row(ledger)["following"] < following:
        assert time.monotonic() < deadline, row(ledger)
        time.sleep(0.05)


@contextmanager
def running(sender: Sender) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=sender.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


@contextmanager
def process(verb: str, *given: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a receiver or sender; yields it and its first line, and kills it with signal 9."""
    command = [sys.executable, "-m", "tests.audit.receivers", verb, json.dumps(given)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stdout is not None
        try:
            yield child, child.stdout.readline().strip()
        finally:
            child.kill()


def received(into: Path) -> Findings:
    """Check everything that the lives of a receiver wrote down."""
    lines: list[bytes] = []
    for path in sorted(into.parent.glob(f"{into.name}*")):
        with path.open("rb") as file:
            lines += lines_of(file)
    return check(lines, start=0)


# -- files --


def test_a_file_gets_every_entry_once_and_a_heartbeat(streamed: LedgerDatabase, tmp_path: Path) -> None:
    grow(streamed, 30)
    sink = add_sink(streamed, "file", "ecs", file="siem.ndjson")
    with running(sender_of(streamed, sink, tmp_path, batch=7)):
        wait_for(streamed, 31)
        grow(streamed, 5)
        wait_for(streamed, 36)
    found = check((tmp_path / "files" / "siem.ndjson").read_bytes().splitlines(keepends=True), start=0)

    assert found.is_complete
    assert (found.first, found.last, found.duplicates, found.size) == (0, 35, 0, 31)
    assert row(streamed) == {"following": 36, "sent": 36, "withheld": 0, "failures": 0, "error": ""}


def test_what_may_not_leave_goes_out_as_an_index_and_is_counted(streamed: LedgerDatabase, tmp_path: Path) -> None:
    grow(streamed, 4)
    grow(streamed, 3, zone="secret", actor="person:hidden")
    sink = add_sink(streamed, "file", "cef", file="siem.cef")
    with running(sender_of(streamed, sink, tmp_path)):
        wait_for(streamed, 8)
    data = (tmp_path / "files" / "siem.cef").read_bytes()
    found = check(data.splitlines(), start=0)

    assert found.is_complete
    assert (found.withheld, row(streamed)["withheld"]) == (3, 3)
    assert b"hidden" not in data
    assert data.count(b"tests/secret") == 6  # label and text of each


def test_half_a_line_of_a_crash_is_ended_before_the_next(streamed: LedgerDatabase, tmp_path: Path) -> None:
    grow(streamed, 3)
    path = tmp_path / "files" / "siem.ndjson"
    path.parent.mkdir()
    path.write_bytes(b'{"half":')
    with running(sender_of(streamed, add_sink(streamed, "file", "ocsf", file=path.name), tmp_path)):
        wait_for(streamed, 4)
    found = check(path.read_bytes().splitlines(), start=0)

    assert (found.unreadable, found.is_complete) == ([1], True)


def test_two_senders_of_one_sink_send_nothing_twice(streamed: LedgerDatabase, tmp_path: Path) -> None:
    grow(streamed, 200)
    sink = add_sink(streamed, "file", "ecs", file="siem.ndjson")
    with (
        running(sender_of(streamed, sink, tmp_path, batch=3)),
        running(sender_of(streamed, sink, tmp_path, batch=3)),
    ):
        wait_for(streamed, 201)
    found = check((tmp_path / "files" / "siem.ndjson").read_bytes().splitlines(), start=0)

    assert (found.is_complete, found.duplicates) == (True, 0)


def test_a_paused_sink_gets_nothing_and_its_sender_ends(streamed: LedgerDatabase, tmp_path: Path) -> None:
    grow(streamed, 3)
    sink = add_sink(streamed, "file", "ecs", file="siem.ndjson")
    with streamed.connect() as conn:
        conn.execute("UPDATE sinks SET state = 'paused'")
    sender_of(streamed, sink, tmp_path).run(threading.Event())

    assert not (tmp_path / "files").exists()


# -- HTTPS --


class Collector(BaseHTTPRequestHandler):
    """Answers what it is told to, and keeps what it got."""

    def do_POST(self) -> None:
        body = gzip.decompress(self.rfile.read(int(self.headers["Content-Length"])))
        status = self.server.answers.pop(0) if self.server.answers else 200  # type: ignore[attr-defined]  # ours
        self.server.got.append((status, self.headers.get("Authorization"), body))  # type: ignore[attr-defined]  # ours
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_web_receiver_is_asked_again_until_it_says_yes(streamed: LedgerDatabase, tmp_path: Path) -> None:
    grow(streamed, 10)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    server.answers, server.got = [503, 429, 302], list[Any]()  # type: ignore[attr-defined]  # ours
    (tmp_path / "siem.token").write_text("tell-nobody\n")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/in"
    sink = add_sink(streamed, "https", "ocsf", url=url, token="siem.token")
    with running(sender_of(streamed, sink, tmp_path)):
        wait_for(streamed, 11)
    server.shutdown()
    server.server_close()
    got = server.got  # type: ignore[attr-defined]  # ours

    assert [status for status, _, _ in got] == [503, 429, 302, 200]
    assert {token for _, token, _ in got} == {"Bearer tell-nobody"}
    assert check(got[-1][2].splitlines(), start=0).is_complete
    assert row(streamed)["failures"] == 3


# -- syslog over TLS, with receivers and senders that are killed --


@pytest.fixture
def tls(tmp_path: Path) -> Path:
    """Make certificates of a CA, and one of a stranger."""
    ca = receivers.authority(tmp_path)
    for name in ("server", "client"):
        receivers.certificate(tmp_path, name, ca)
    receivers.certificate(tmp_path, "stranger", receivers.authority(tmp_path, "other"))
    return tmp_path


def target(tls: Path, port: str, **more: str) -> dict[str, str]:
    return {"url": f"syslog+tls://127.0.0.1:{port}", "ca": (tls / "ca.pem").read_text(), **more}


def test_frames_arrive_over_tls_with_a_client_certificate(streamed: LedgerDatabase, tls: Path) -> None:
    grow(streamed, 50)
    into = tls / "got"
    given = (0, str(tls / "server.pem"), str(tls / "ca.pem"), str(into))
    with process("receive", *given) as (_, port):
        sink = add_sink(streamed, "syslog", **target(tls, port, certificate="client.pem"))
        with running(sender_of(streamed, sink, tls, batch=9)):
            wait_for(streamed, 51)
        time.sleep(0.3)  # what the kernel has, the receiver reads
    found = received(into)

    assert found.is_complete
    assert (found.last, found.unreadable, found.duplicates) == (50, [], 0)


@pytest.mark.parametrize(("server", "client"), [("stranger", ""), ("server", "stranger.pem")])
def test_a_stranger_is_not_believed_on_either_side(
    streamed: LedgerDatabase, tls: Path, server: str, client: str
) -> None:
    grow(streamed, 5)
    client_ca = str(tls / "ca.pem") if client else ""
    with process("receive", 0, str(tls / f"{server}.pem"), client_ca, str(tls / "got")) as (_, port):
        sender = sender_of(streamed, add_sink(streamed, "syslog", **target(tls, port, certificate=client)), tls)
        with running(sender):
            deadline = time.monotonic() + 20
            while not row(streamed)["failures"]:
                assert time.monotonic() < deadline
                time.sleep(0.05)

    assert row(streamed)["following"] == 0
    assert "does not take the stream" in row(streamed)["error"]
    assert received(tls / "got").messages == 0


def test_nothing_is_lost_when_receiver_and_sender_are_killed_again_and_again(
    streamed: LedgerDatabase, tls: Path
) -> None:
    into = tls / "got"
    with process("receive", 0, str(tls / "server.pem"), "", f"{into}.a") as (first, port):
        sink = add_sink(streamed, "syslog", "ocsf", **target(tls, port))
        dsn, total = streamed.url("khatim_sequencer"), 1
        for life in range(4):
            with process("send", dsn, str(sink), str(tls)):
                grow(streamed, 150)
                total += 150
                wait_for(streamed, total - 100)
                if life == 1:
                    first.kill()
                    first.wait()
                    break
    for name in ("b", "c"):
        with process("receive", int(port), str(tls / "server.pem"), "", f"{into}.{name}"):
            with process("send", dsn, str(sink), str(tls)):
                grow(streamed, 150)
                total += 150
                wait_for(streamed, total)
            time.sleep(0.3)
    found = received(into)

    assert found.gaps == []
    assert found.broken == found.contradictions == []
    assert (found.first, found.last, found.lost) == (0, total - 1, 0)
    assert found.duplicates > 0


# -- what is refused before anything is opened --


@pytest.mark.parametrize(
    ("transport", "given"),
    [
        ("file", {"file": "../x"}),
        ("file", {"file": ""}),
        ("https", {"url": "http://siem.example/in"}),
        ("https", {"url": "https://user:secret@siem.example/"}),
        ("syslog", {"url": "syslog://siem.example:514"}),
        ("syslog", {"url": "syslog+tls://:6514"}),
        ("syslog", {"url": "https://siem.example"}),
    ],
)
def test_an_address_that_is_unsafe_or_none_is_not_taken(transport: str, given: dict[str, str]) -> None:
    with pytest.raises(Malformed):
        check_target(transport, given)


def test_a_missing_or_wandering_credential_is_told(tmp_path: Path) -> None:
    places = Places(tmp_path, tmp_path)
    for name in ("none.pem", "../etc/passwd"):
        with pytest.raises(Misconfigured):
            open_transport("https", {"url": "https://siem.example/", "token": name}, Format.ECS, places)


def test_a_receiver_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    gone = open_transport("syslog", {"url": "syslog://127.0.0.1:9"}, Format.CEF, Places(tmp_path, tmp_path))
    with pytest.raises(Unavailable):
        gone.send([])
