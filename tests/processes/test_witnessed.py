# SPDX-License-Identifier: Apache-2.0
"""A registry whose checkpoints a witness elsewhere cosigns, an authority stamps and a folder keeps for good."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from audit.checkpoint import Checkpoint
from audit.receipts import check
from audit.witness_policy import WitnessPolicy
from audit.worm import FOLDER, note_in
from gateway.instance import Instance
from khatim.errors import NotWitnessed
from khatim.wire import proofs
from registry.signing import trust
from registry.signing.authority import Authority
from tests.processes.installation import Installation, khatim
from tests.processes.test_erasure import copied

NAMES = ("witness.example/w1", "witness.example/w2")
READY = "witness ready on "


class Witness:
    """``khatim witness run`` as a process of its own, on loopback."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        made = khatim("witness", "keygen", str(folder), "--name", name)
        assert made.returncode == 0, made.stderr
        self.vkey = next(line for line in made.stdout.splitlines() if line.startswith(name))
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "khatim", "witness", "run", str(self.folder), "--port"]
        command += [self.url.rpartition(":")[2] or "0"]
        said = self.folder / "said"
        with said.open("wb") as log:  # what it tells people goes to stderr
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while READY not in said.read_text():
            assert time.monotonic() < deadline, said.read_text()
            assert self._process.poll() is None, said.read_text()
            time.sleep(0.02)
        self.url = said.read_text().partition(READY)[2].split()[0]

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@dataclass(frozen=True)
class Witnessed:
    """A registry, its two witnesses, of which both must have cosigned, and its verifier key."""

    house: Installation
    witnesses: list[Witness]
    vkey: str
    worm: Path

    @property
    def policy(self) -> WitnessPolicy:
        return WitnessPolicy.of_keys([(one.vkey, "") for one in self.witnesses], 2)

    def created(self, name: str) -> int:
        """Create a model; return the index of its entry."""
        return created(self.house, name)

    def receipt(self, index: int) -> proofs.Receipt:
        return proofs.Receipt.model_validate(self.house.call("auditor", "GET", f"/v1/ledger/entries/{index}/receipt"))

    def await_witnessed(self, index: int) -> proofs.Receipt:
        self.house.await_that(lambda: self.receipt(index).is_witnessed, "the witnesses do not cosign")
        return self.receipt(index)


@pytest.fixture(scope="module")
def witnessed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Witnessed]:
    """Found a ledger, tell two witnesses of it, and start the registry again with them, a quorum and a folder."""
    tmp_path = tmp_path_factory.mktemp("witnessed")
    house, variables = Installation(tmp_path), pytest.MonkeyPatch()
    witnesses = [Witness(tmp_path / f"witness{number}", name) for number, name in enumerate(NAMES)]
    house.up()
    try:
        created(house, "opening")  # answers when the ledger is open
        vkey = house.call("auditor", "GET", "/v1/ledger/entries/0")["body"]["payload"]["vkey"]
        house.down()
        for one in witnesses:
            watched = khatim("witness", "watch", str(one.folder), vkey)
            assert watched.returncode == 0, watched.stderr
            one.start()
        known = json.dumps([{"vkey": one.vkey, "url": one.url} for one in witnesses])
        variables.setenv("KHATIM_LEDGER__WITNESSES", known)
        variables.setenv("KHATIM_LEDGER__QUORUM", "2")
        variables.setenv("KHATIM_LEDGER__PUBLISH_S", "0.3")
        variables.setenv("KHATIM_LEDGER__PUBLIC", "true")
        variables.setenv("KHATIM_LEDGER__WORM__FOLDER", str(tmp_path / "worm"))
        house.up()
        yield Witnessed(house, witnesses, vkey, tmp_path / "worm")
    finally:
        variables.undo()
        house.down()
        for one in witnesses:
            one.kill()


def created(house: Installation, name: str) -> int:
    house.call("scientist", "POST", f"/v1/models/seen/{name}", {"tier": 2})
    found: list[int] = []

    def stands() -> bool:
        about = f"/v1/ledger/entries?kind=model.created&resource=model:seen/{name}"
        found.extend(one["index"] for one in house.call("auditor", "GET", about)["items"])
        return bool(found)

    house.await_that(stands, "the ledger does not hold the model")
    return found[0]


def endorsed(house: Installation) -> str:
    found = httpx.get(f"{house.url}/ledger/endorsed")
    return found.text if found.is_success else ""


def copies(worm: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((worm / FOLDER).glob("*.note"))]


def test_checkpoints_are_cosigned_stamped_and_copied_and_a_dead_witness_stops_nothing_else(
    witnessed: Witnessed,
) -> None:
    house, policy, vkey = witnessed.house, witnessed.policy, witnessed.vkey

    first = witnessed.created("first")
    assert check(witnessed.await_witnessed(first), vkey, policy).witnessed.counts
    served = httpx.get(f"{house.url}/ledger/checkpoint").text
    assert policy.judge(served).counts, "the checkpoint that is served carries both cosignatures"
    assert Checkpoint.of_note(served).size > first
    house.await_that(lambda: any(policy.judge(note_in(one)).counts for one in copies(witnessed.worm)), "no copy")
    assert any(b"\ntimestamp embedded " in one for one in copies(witnessed.worm)), "the copy carries the timestamp"

    house.await_that(lambda: "\ntimestamp embedded " in endorsed(house), "no timestamp is served")
    root = house.folder / "trusted_root.json"
    authority = Authority.open(house.data / "authority" / "sigstore")
    root.write_text(trust.dumps(trust.trusted_root(authority.record)))
    authority.close()

    trusted = [word for one in witnessed.witnesses for word in ("--witness", one.vkey)]
    words = [
        "ledger",
        "verify",
        f"{house.url}/ledger",
        "--vkey",
        vkey,
        *trusted,
        "--quorum",
        "2",
        "--trusted-root",
        str(root),
    ]
    seen = khatim(*words)
    assert seen.returncode == 0, seen.stdout + seen.stderr
    assert f"witnessed by {', '.join(NAMES)}; wanted: 2 of 2 witnesses" in seen.stderr
    assert "time attested by the operator only" in seen.stderr

    witnessed.witnesses[1].kill()
    second = witnessed.created("second")
    after = witnessed.receipt(second)
    assert not after.is_witnessed
    with pytest.raises(NotWitnessed):
        check(after, vkey, policy)
    assert check(after, vkey).entry.index == second, "the ledger itself goes on"
    still = httpx.get(f"{house.url}/ledger/checkpoint").text
    assert policy.judge(still).counts, "what counted is still served"
    assert Checkpoint.of_note(still).size <= second

    witnessed.witnesses[1].start()
    assert check(witnessed.await_witnessed(second), vkey, policy).entry.index == second, "publishing catches up"
    house.await_that(
        lambda: any(Checkpoint.of_note(note_in(one)).size > second for one in copies(witnessed.worm)), "no copy"
    )


def test_a_restored_database_is_not_signed_on_where_only_the_witnesses_remember(
    witnessed: Witnessed, tmp_path: Path
) -> None:
    house = witnessed.house
    witnessed.created("before")
    house.down()
    copied(house.data / "postgres", tmp_path / "backup")
    house.up()
    witnessed.await_witnessed(witnessed.created("lost"))
    house.down()

    shutil.rmtree(house.data / "postgres")
    copied(tmp_path / "backup", house.data / "postgres")
    shutil.rmtree(witnessed.worm)
    Instance(house.data).head_file.unlink()
    house.up()

    log = house.data / "run" / "server.log"
    house.await_that(
        lambda: "witness.example/w" in log.read_text().partition("is read-only")[2], "the sequencer does not refuse"
    )
    headers = {"Authorization": f"Bearer {house.token('scientist')}", "Idempotency-Key": "after-the-restore"}
    refused = httpx.post(f"{house.url}/v1/models/seen/forked", headers=headers, json={"tier": 2}, timeout=30)
    assert refused.status_code == 503, refused.text
    held = house.call("auditor", "GET", "/v1/ledger/entries?limit=500")["items"]
    assert held, "reading goes on"
    assert all("lost" not in one["resource"] for one in held)
