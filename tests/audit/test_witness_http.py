# SPDX-License-Identifier: Apache-2.0
"""The witness as a process of its own over HTTP: keep-alive, TLS, refusals, and ``kill -9`` at every moment."""

from __future__ import annotations

import http.client
import random
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from audit import witness_folder
from audit.checkpoint import Checkpoint
from audit.cosignatures import CosignatureVerifier, cosigned_by
from audit.witness import named
from audit.witness_http import WitnessServer
from khatim.errors import Misconfigured
from tests.audit.ledgers import ORIGIN, SIGNER
from tests.audit.test_witness import asked, tree_of

ROOT = Path(__file__).parents[2]
# A witness that dies at the very moment when its record is on the disk and its answer is not sent yet, or just before.
DYING = """
import os, signal, sys
from pathlib import Path
from audit import witness_folder, witness
from audit.witness_http import WitnessServer
from datetime import UTC, datetime
save = witness.WitnessStore.save
def dying(self, origin, note):
    if sys.argv[2] == "after":
        save(self, origin, note)
    os.kill(os.getpid(), signal.SIGKILL)
witness.WitnessStore.save = dying
server = WitnessServer(witness_folder.open_witness(Path(sys.argv[1]), lambda: datetime.now(UTC)))
print(f"witness ready on {server.url}", file=sys.stderr, flush=True)
server.serve_forever()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    witness_folder.found(tmp_path / "witness", "witness.test/w1")
    witness_folder.watch(tmp_path / "witness", SIGNER.vkey)
    return tmp_path / "witness"


class Process:
    """A witness in a process of its own."""

    def __init__(self, *command: str) -> None:
        self.child = subprocess.Popen([sys.executable, *command], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        assert self.child.stderr is not None
        line = self.child.stderr.readline()
        assert "witness ready on " in line, line + self.child.stderr.read()
        self.url = line.rsplit(" ", 1)[1].strip()

    def add(self, old: int, size: int) -> httpx.Response:
        return httpx.post(f"{self.url}/add-checkpoint", content=asked(old, size), timeout=20)

    def shown(self) -> int:
        """Return the size that a monitor is told."""
        found = httpx.get(f"{self.url}/{named(ORIGIN)}/checkpoint", timeout=20)
        return Checkpoint.parse(found.text.rpartition("\n\n")[0] + "\n").size if found.is_success else 0

    def kill(self) -> None:
        self.child.send_signal(signal.SIGKILL)
        self.end()

    def end(self) -> None:
        self.child.terminate()
        self.child.wait(20)
        assert self.child.stderr is not None
        self.child.stderr.close()


def started(folder: Path) -> Process:
    return Process("-m", "khatim", "witness", "run", str(folder), "--port", "0")


@pytest.fixture
def process(folder: Path) -> Iterator[Process]:
    running = started(folder)
    yield running
    running.end()


def test_a_log_is_cosigned_over_http_and_a_monitor_sees_it(process: Process, folder: Path) -> None:
    verifiers = [CosignatureVerifier.parse(vkey) for vkey in (folder / "vkeys").read_text().split()]
    with httpx.Client(base_url=process.url) as client:  # one connection, kept alive
        for old, size in ((0, 3), (3, 3), (3, 700)):
            answer = client.post("/add-checkpoint", content=asked(old, size))
            assert answer.status_code == 200
            note = asked(old, size).decode().partition("\n\n")[2] + answer.text
            assert set(cosigned_by(note, verifiers)) == {one.vkey for one in verifiers}
        conflict = client.post("/add-checkpoint", content=asked(3, 800))
        assert (conflict.status_code, conflict.text) == (409, "700\n")
        assert conflict.headers["content-type"] == "text/x.tlog.size"
        assert client.post("/add-checkpoint", content=asked(700, 900, tree=tree_of(900, fork=5))).status_code == 422
    assert process.shown() == 700


def test_what_is_not_asked_for_is_not_found_and_what_is_too_large_is_not_read(process: Process) -> None:
    assert httpx.post(f"{process.url}/other", content=b"x").status_code == 404
    assert httpx.get(f"{process.url}/add-checkpoint").status_code == 404
    assert httpx.get(f"{process.url}/../../etc/passwd").status_code == 404
    host, port = process.url.removeprefix("http://").split(":")
    for length in ("999999999", "-1", "many", ""):
        connection = http.client.HTTPConnection(host, int(port), timeout=20)
        connection.putrequest("POST", "/add-checkpoint")
        connection.putheader("Content-Length", length)
        connection.endheaders()
        assert connection.getresponse().status == 400
        connection.close()
    assert process.add(0, 1).status_code == 200


@pytest.mark.parametrize(("moment", "kept"), [("before", 0), ("after", 9)])
def test_a_kill_between_record_and_answer_never_makes_it_forget(folder: Path, moment: str, kept: int) -> None:
    dying = Process("-c", DYING, str(folder), moment)
    with pytest.raises(httpx.TransportError):
        dying.add(0, 9)
    dying.end()
    again = started(folder)
    try:
        assert again.shown() == kept
        answer = again.add(0, 9)
        assert (answer.status_code, answer.text) == (409, "9\n") if kept else (answer.status_code == 200)
        assert again.add(9, 9).status_code == 200, "the log gets the cosignature that it lost"
    finally:
        again.end()


def test_what_was_cosigned_outlives_every_kill(folder: Path) -> None:
    """Three logs' threads push the same log on while the witness is killed again and again."""
    acknowledged, chance, size = 0, random.Random(7), 0
    for _ in range(6):
        running = started(folder)
        assert running.shown() >= acknowledged
        size = running.shown()
        done = threading.Event()

        def push(target: Process = running, ended: threading.Event = done) -> None:
            nonlocal acknowledged, size
            while not ended.is_set():
                try:
                    old = size
                    answer = target.add(old, old + 1)
                except httpx.TransportError:
                    return
                if answer.status_code == 200:
                    acknowledged = max(acknowledged, old + 1)
                    size = max(size, old + 1)
                else:
                    assert answer.status_code == 409
                    size = int(answer.text)

        threads = [threading.Thread(target=push) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(chance.uniform(0.1, 0.5))
        running.kill()
        done.set()
        for thread in threads:
            thread.join()
    last = started(folder)
    assert last.shown() >= acknowledged > 0
    last.end()


def test_beyond_loopback_it_needs_tls(folder: Path) -> None:
    witness = witness_folder.open_witness(folder, lambda: datetime.now(UTC))
    with pytest.raises(Misconfigured, match="without TLS"):
        WitnessServer(witness, "0.0.0.0")  # noqa: S104 - refused
    with pytest.raises(Misconfigured, match="certificate"):
        WitnessServer(witness, certificate=folder / "nothing.pem")


def test_it_speaks_tls(folder: Path, tmp_path: Path) -> None:
    certificate = self_signed(tmp_path)
    witness = witness_folder.open_witness(folder, lambda: datetime.now(UTC))
    with WitnessServer(witness, certificate=certificate) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            trusted = ssl.create_default_context(cafile=str(certificate))
            answer = httpx.post(f"{server.url}/add-checkpoint", content=asked(0, 4), verify=trusted)
            assert answer.status_code == 200
        finally:
            server.shutdown()
            thread.join()


def self_signed(folder: Path) -> Path:
    """Return a file with a key and its certificate for 127.0.0.1."""
    import ipaddress  # noqa: PLC0415

    key, now = generate_private_key(SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "witness")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "tls.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(private + made.public_bytes(Encoding.PEM))
    return file


def test_it_needs_nothing_of_the_server() -> None:
    """No database, no web framework: what a witness imports is small enough to be read."""
    code = (
        "import audit.witness_folder, audit.witness_http, khatim.cli.witness, sys; "
        "print([m for m in ('sqlalchemy', 'psycopg', 'fastapi', 'starlette', 'pydantic_settings', 'sigstore') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
