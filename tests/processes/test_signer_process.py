# SPDX-License-Identifier: Apache-2.0
"""The signer in a process of its own: who may ask it, what it refuses, and what happens while it is dead."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from gateway import children, signing
from gateway.instance import Instance
from khatim.errors import Forbidden, Misconfigured, Unavailable
from khatim.settings import Settings
from khatim.vocabulary import Digest
from registry.signing import identity, socket_server, statements, trust
from registry.signing.identity import IdentityPolicy
from registry.signing.journal import Journal
from registry.signing.socket_office import SocketOffice
from registry.signing.verification import TrustRoot, verify_bundle
from tests.processes.installation import Installation, khatim

NOBODY = 65534
Running = tuple[Settings, "subprocess.Popen[bytes]", SocketOffice]
SUBJECT = [("model", Digest.of(b"model"))]
APPROVAL = statements.statement(SUBJECT, statements.APPROVAL, {"meaning": "approved"})
TRAINED = statements.statement(SUBJECT, statements.TEST_RESULT, {"result": "PASSED"})
PERSON = identity.person("local", "p-1")
# Run under another account: ask the signer, then try to read the keys that it holds.
STRANGER = """
import os, sys
from pathlib import Path
from khatim.errors import KhatimError
from registry.signing.socket_office import SocketOffice
os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
folder = Path(sys.argv[1])
try:
    print("signed", len(SocketOffice(folder / "s").sign(sys.argv[3], sys.argv[4].encode())) > 1000)
except KhatimError as refused:
    print(refused.slug())
for name in ("authority/sigstore/keys/signing-1.pem", "authority/sigstore/authority.json"):
    try:
        print("read", bool((folder / "data" / name).read_bytes()))
    except PermissionError:
        print("denied")
"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """Run ``khatim signer`` alone, for this account and one other."""
    settings = Settings(
        data=tmp_path / "data",
        authority={"process": True, "socket": tmp_path / "s", "accounts": (os.getuid(), NOBODY)},  # type: ignore[arg-type]  # pydantic parses
    )
    Instance(settings.data).prepare()
    child = started(settings)
    with contextlib.closing(SocketOffice(signing.socket_of(settings))) as office:
        yield settings, child, office
    child.kill()
    child.wait()


def started(settings: Settings) -> subprocess.Popen[bytes]:
    child = subprocess.Popen(
        [sys.executable, "-m", "khatim", "signer"], env={**os.environ, **children.environment(settings)}
    )
    signing.await_signer(settings, alive=[lambda: child.poll() is None])
    return child


def test_what_the_signer_signs_verifies_and_stands_in_its_own_log(
    running: Running,
) -> None:
    settings, _, office = running
    root = TrustRoot.load(trust.dumps(trust.trusted_root(office.record)))
    found = verify_bundle(office.sign(PERSON, APPROVAL), root, IdentityPolicy.of_instance("local", "https://local"))

    assert (found.identity, found.kind) == (PERSON, statements.APPROVAL)
    last = list(Journal(settings.data / "authority" / "signer.jsonl").lines())[-1]
    assert (last["did"], last["who"]) == ("signed", PERSON)
    assert last["asker"] == f"uid {os.getuid()} pid {os.getpid()}", "the kernel says who asked"


@pytest.mark.parametrize(
    ("who", "statement"),
    [
        (identity.agent("local", "ae-health", "a-1"), TRAINED),
        (PERSON, TRAINED),
        (identity.service("local", "registry"), TRAINED),
        (identity.service("local", "registry"), APPROVAL),
        (identity.person("other", "p-1"), APPROVAL),
        ("somebody@example.org", APPROVAL),
    ],
    ids=["an agent", "a person as agent", "a service as agent", "a service as person", "another instance", "outside"],
)
def test_the_signer_has_its_own_mind_about_who_says_what(running: Running, who: str, statement: bytes) -> None:
    settings, _, office = running
    with pytest.raises(Forbidden) as refused:
        office.sign(who, statement)
    assert refused.value.members["rule"] == "signer/policy"
    last = list(Journal(settings.data / "authority" / "signer.jsonl").lines())[-1]
    assert (last["did"], last["why"], last["who"]) == ("refused", "forbidden", who)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another account")
@pytest.mark.parametrize(("account", "said"), [(NOBODY, "signed True"), (NOBODY - 1, "forbidden")])
def test_another_account_signs_when_it_may_and_reads_no_key(running: Running, account: int, said: str) -> None:
    settings, _, _ = running
    folder = settings.data.parent
    for parent in (folder, *folder.parents):
        if parent.owner() == "root" and parent.stat().st_mode & 0o077 == 0:
            parent.chmod(parent.stat().st_mode | 0o011)  # the tests' own folder: let others pass through
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, str(folder), str(account), PERSON, APPROVAL.decode()],
        capture_output=True, text=True, check=False, timeout=60, cwd=children.ROOT,
    )  # fmt: skip
    assert done.stdout.split("\n")[:3] == [said, "denied", "denied"], done.stderr


def test_a_second_signer_does_not_start_beside_the_first(running: Running) -> None:
    settings, _, _ = running
    second = subprocess.run(
        [sys.executable, "-m", "khatim", "signer"],
        env={**os.environ, **children.environment(settings)}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert second.returncode != 0
    assert "another signer listens" in second.stderr


def test_while_the_signer_is_dead_verifying_goes_on_and_signing_waits(
    running: Running,
) -> None:
    settings, child, office = running
    before = office.record
    child.kill()
    child.wait()
    with pytest.raises(Unavailable) as silent:
        office.sign(PERSON, APPROVAL)
    assert "started again" in silent.value.advice
    time.sleep(1.1)
    assert office.record is before

    again = started(settings)  # over the socket that the dead one left behind
    try:
        assert office.sign(PERSON, APPROVAL)
    finally:
        again.terminate()
        assert again.wait(10) == 0


def test_a_path_that_no_socket_can_have_is_refused_with_advice(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 120)
    with pytest.raises(Misconfigured, match="107 bytes"):
        socket_server.Counter(long, None, frozenset())  # type: ignore[arg-type]  # it is refused before


# --- khatim up ---


APART = {"KHATIM_AUTHORITY__PROCESS": "true"}


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Run an installation whose signer is a process of its own."""
    made = Installation(tmp_path_factory.mktemp("apart"))
    os.environ.update(APART)
    try:
        made.up()
    finally:  # what is started later in this process is told by itself
        for name in APART:
            del os.environ[name]
    try:
        yield made
    finally:
        made.down()


def signer_of(installation: Installation) -> psutil.Process:
    children = psutil.Process(installation.pid()).children()
    return next(one for one in children if one.cmdline()[-1] == "signer")


def test_no_process_but_the_signer_has_opened_a_key(apart: Installation) -> None:
    """In another process of the same settings, every file that is opened while it is built is looked at."""
    script = """
import sys
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
from gateway import app, composition
from khatim import settings
parts = composition.build(settings.load())
app.create(parts)
from khatim.vocabulary import Digest
from registry.signing import statements
notary = parts.notary
said = statements.statement([("m", Digest.of(b"m"))], statements.ENGAGEMENT, {"number": 1})
bundle = notary.signer_for(notary.service()).sign(said)
notary.check(bundle, statements.ENGAGEMENT, [Digest.of(b"m")])
secret = [one for one in opened if "/authority/" in one and not one.endswith((".py", ".pyc"))]
print(*secret, *[one for one in opened if "/keys/ledger" in one])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120, cwd=children.ROOT,
        env={**os.environ, **APART, "KHATIM_DATA": str(apart.data)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "", "files of the authority, or the key of the ledger, were opened"
    log = (apart.data / "run" / "server.log").read_text()
    assert "signing in a process of its own" in log
    assert "its account is the server's" in log


def test_the_signer_is_started_again_and_requests_meanwhile_are_told_to_come_back(apart: Installation) -> None:
    query: dict[str, dict[str, str]] = {"hashedRekordRequestV002": {}}
    assert httpx.post(f"{apart.url}/api/v2/log/entries", json=query, timeout=30).status_code == 422
    first = signer_of(apart)
    first.suspend()  # so that it is not started again before it was missed
    first.send_signal(signal.SIGKILL)
    told = httpx.post(f"{apart.url}/api/v2/log/entries", json=query, timeout=30)
    assert told.status_code == 503
    assert told.json()["type"].endswith("/unavailable")
    assert "Try again" in told.json()["advice"]
    assert httpx.get(f"{apart.url}/api/v2/trustBundle", timeout=30).status_code == 200, "reading goes on"

    def answers() -> bool:
        return httpx.post(f"{apart.url}/api/v2/log/entries", json=query, timeout=30).status_code == 422

    apart.await_that(answers, "the signer does not come back")
    assert signer_of(apart).pid != first.pid


def test_local_mode_says_that_one_process_signs_and_serves(tmp_path: Path) -> None:
    made = Installation(tmp_path)
    made.up()
    try:
        assert signing.LOCAL_NOTICE in (made.data / "run" / "server.log").read_text()
        health = httpx.get(f"{made.url}/health", timeout=30).json()
    finally:
        made.down()
    assert health["signer"] == "in this process"


def test_the_command_says_what_it_is_for() -> None:
    assert "signing keys" in khatim("signer", "--help").stdout
