# SPDX-License-Identifier: Apache-2.0
"""``khatim verify PATH --witness``: real witnesses cosign over HTTP, and receipts are checked here."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.checkpoint import NoteSigner
from audit.cosignatures import Cosigner
from audit.publisher import Publisher, Publishing
from audit.witness import Witness, WitnessStore
from audit.witness_client import clients_of
from audit.witness_http import WitnessServer
from gateway import composition
from khatim.cli.witnessing import circumstances_of
from khatim.client import Client
from khatim.errors import LedgerInvalid, Malformed
from tests.audit.cosigning import MLDSA44, ed25519
from tests.khatim.test_cli import VERSION, Terminal
from tests.support.people import ADEL
from tests.support.world import World

FIRST, SECOND, STRANGER = ed25519("witness.test/w1"), ed25519("witness.test/w2"), ed25519("witness.test/w3")
VKEYS = ("--witness", FIRST.vkey, "--witness", SECOND.vkey, "--quorum", "2")


@contextmanager
def watching(world: World, folder: Path, *cosigners: Cosigner) -> Iterator[str]:
    """Yield the address of a witness that watches the ledger of *world*."""
    log = composition.ledger_signer(world.parts.settings, world.parts.instance)
    witness = Witness(WitnessStore(folder), list(cosigners), {log.name: [log.verifier]}, lambda: datetime.now(UTC))
    server = WitnessServer(witness)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.url
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def witnessed(listening: tuple[World, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[World, str]:
    """Return a registry whose latest checkpoint two witnesses have cosigned."""
    world, _ = listening
    world.sequence()
    folder = Path(tmp_path_factory.mktemp("witnesses"))
    origin = composition.ledger_signer(world.parts.settings, world.parts.instance).name
    with watching(world, folder / "1", FIRST, MLDSA44) as first, watching(world, folder / "2", SECOND) as second:
        keys = [(FIRST.verifier, first), (MLDSA44.verifier, first), (SECOND.verifier, second)]
        clients = clients_of(keys, origin)
        done = Publisher(world.url("khatim_sequencer"), Publishing(witnesses=clients)).publish_once()
        for one in clients:
            one.close()
    assert done.faults == ()
    assert len(done.added) == len(keys)
    return listening


@pytest.fixture
def auditor(witnessed: tuple[World, str]) -> Terminal:
    return Terminal(*witnessed, ADEL)


def vkey_of(world: World) -> str:
    return composition.ledger_signer(world.parts.settings, world.parts.instance).vkey


@pytest.mark.parametrize("is_pinned", [True, False])
def test_every_statement_of_a_version_is_shown_as_witnessed(
    witnessed: tuple[World, str], auditor: Terminal, is_pinned: bool
) -> None:
    pinned = ("--vkey", vkey_of(witnessed[0])) if is_pinned else ()
    found = auditor.json("verify", VERSION, *VKEYS, *pinned, "--strict")

    assert found["holds"] is True
    assert found["claims"]
    assert all("witnessed" in one["rests_on"] for one in found["claims"])
    assert all("witnessed" in one["rests_on"] for one in found["approvals"])
    assert "runner-attested, witnessed; time attested" in auditor.run("verify", VERSION, *VKEYS, *pinned)


def test_two_keys_of_one_witness_are_one_witness(auditor: Terminal) -> None:
    both = ("--witness", FIRST.vkey, "--witness", MLDSA44.vkey)
    assert all("witnessed" in one["rests_on"] for one in auditor.json("verify", VERSION, *both)["claims"])
    with pytest.raises(Malformed, match="quorum of 2 cannot be met by 1"):
        auditor.run("verify", VERSION, *both, "--quorum", "2")


def test_a_witness_that_did_not_cosign_makes_nothing_witnessed_and_strict_fails(auditor: Terminal) -> None:
    asked = ("verify", VERSION, "--witness", FIRST.vkey, "--witness", STRANGER.vkey, "--quorum", "2")
    found = auditor.json(*asked)

    assert found["holds"] is True
    assert not [one for one in found["claims"] if "witnessed" in one["rests_on"]]
    auditor.run(*asked, "--strict", status=1)


def test_without_witnesses_nothing_is_asked_and_nothing_is_claimed(auditor: Terminal) -> None:
    assert not [one for one in auditor.json("verify", VERSION)["claims"] if "witnessed" in one["rests_on"]]


def test_a_ledger_of_another_key_is_refused(auditor: Terminal) -> None:
    with pytest.raises(LedgerInvalid) as refused:
        auditor.run(
            "verify", VERSION, *VKEYS, "--vkey", NoteSigner("ledger.test.khatim", Ed25519PrivateKey.generate()).vkey
        )
    assert refused.value.members["place"] == "checkpoint"


def lying(world: World, url: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Client:
    """Return a client whose registry answers every receipt changed."""

    def answer(request: httpx.Request) -> httpx.Response:
        found = httpx.request(request.method, request.url, headers={"Authorization": request.headers["authorization"]})
        if request.url.path.endswith("/receipt"):
            return httpx.Response(found.status_code, json=change(found.json()))
        return httpx.Response(found.status_code, json=found.json())

    return Client(url, world.token(ADEL), transport=httpx.MockTransport(answer))


def bent(receipt: dict[str, Any]) -> dict[str, Any]:
    data = bytearray(base64.b64decode(receipt["entry"]))
    data[-10] ^= 1
    return {**receipt, "entry": base64.b64encode(data).decode()}


def test_a_receipt_of_another_entry_or_with_changed_bytes_is_refused(witnessed: tuple[World, str]) -> None:
    world, url = witnessed
    with Client(url, world.token(ADEL)) as client:
        dossier = client.versions.dossier(VERSION)
        opening = client.ledger.receipt(0).model_dump(mode="json")
    for change, said in (
        (lambda _: opening, "not about the statement"),
        (bent, "not that of its entry"),
    ):
        with lying(world, url, change) as client, pytest.raises(LedgerInvalid, match=said):
            circumstances_of(client, dossier, vkey_of(world), [FIRST.vkey], 1)
