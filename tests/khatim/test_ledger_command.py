# SPDX-License-Identifier: Apache-2.0
"""The ledger over HTTP and on the command line: verify, export, receipts, caching, and a ledger shown to everybody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from anyio.from_thread import BlockingPortal
from moto.server import ThreadedMotoServer
from typer.testing import CliRunner

from audit import receipts
from audit.checkpoint import Checkpoint
from audit.mirror_objects import MirrorObjects
from audit.showing import Showing
from gateway import app as application
from gateway import composition
from khatim.cli.main import app
from khatim.client import Client
from khatim.errors import Forbidden, Malformed, NotFound
from tests.support.http import InProcess
from tests.support.people import ADEL, DANA, SAMI, Person
from tests.support.world import World


def run(url: str, token: str, *words: str, status: int = 0) -> str:
    done = CliRunner().invoke(app, list(words), env={"KHATIM_SERVER": url, "KHATIM_TOKEN": token})
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == status, done.output
    return done.output


def vkey_of(world: World) -> str:
    return composition.ledger_signer(world.parts.settings, world.parts.instance).vkey


def client(url: str, world: World, person: Person) -> Client:
    return Client(url, world.token(person))


def test_the_ledger_verifies_on_the_server_and_wherever_it_was_copied(
    listening: tuple[World, str], tmp_path: Path
) -> None:
    world, url = listening
    world.sequence()
    token, key = world.token(ADEL), vkey_of(world)
    size = json.loads(run(url, token, "ledger", "verify", "--vkey", key, "--json"))["size"]
    run(url, token, "ledger", "export", str(tmp_path / "copy"))
    run(url, token, "ledger", "export", str(tmp_path / "copy.zip"))
    run(url, token, "ledger", "export", str(tmp_path / "copy"))
    kept = tmp_path / "kept"
    kept.write_bytes((tmp_path / "copy" / "checkpoint").read_bytes())
    for source in ("copy", "copy.zip"):
        words = ["ledger", "verify", str(tmp_path / source), "--vkey", key, "--since", str(kept)]
        found = json.loads(run("", "", *words, "--json"))
        assert found["size"] >= size
        assert "holds" in run("", "", *words)


def test_an_event_is_asked_for_by_what_the_answer_named(listening: tuple[World, str], tmp_path: Path) -> None:
    world, url = listening
    with client(url, world, SAMI) as sami:
        with sami.ledger.noting() as events:
            sami.models.create("oncology/receipted")
        assert len(events) == 1
        world.sequence()
        found = sami.ledger.receipt(events[0], wait=5)
    checked = receipts.check(found, vkey_of(world))
    assert checked.entry.event["resource"].endswith("oncology/receipted")
    with client(url, world, ADEL) as auditor:
        assert auditor.ledger.receipt(events[0]).index == found.index
        assert auditor.ledger.receipt(found.index).entry == found.entry
        with pytest.raises(NotFound):
            auditor.ledger.receipt("2026-01-01T00:00:00.000000Z/" + "0" * 64)
        with pytest.raises(Malformed):
            auditor.ledger.receipt("nothing")
    with client(url, world, DANA) as other, pytest.raises((NotFound, Forbidden)):
        other.ledger.receipt(events[0])
    world.sequence()
    file = tmp_path / "receipt.json"
    run(url, world.token(ADEL), "ledger", "receipt", str(found.index), "-o", str(file))
    assert f"entry {found.index}" in run("", "", "ledger", "check-receipt", str(file), "--vkey", vkey_of(world))
    file.write_text(file.read_text().replace('"index":', '"index": 1'))
    with pytest.raises(Exception, match=r"receipt|leaf|entry|place"):
        run("", "", "ledger", "check-receipt", str(file), "--vkey", vkey_of(world))


@pytest.fixture
def shown(world: World, portal: BlockingPortal) -> Any:
    """Return what makes an application of this world, shown to everybody or not."""
    world.sequence()

    def made(*, is_public: bool) -> httpx.Client:
        served = application.create(world.parts)
        served.state.parts = {**served.state.parts, Showing: Showing(is_public)}
        return httpx.Client(transport=InProcess(served, portal), base_url="http://ledger.test")

    return made


def test_a_public_ledger_is_read_by_everybody_and_nothing_else_is(shown: Any) -> None:
    outsider: httpx.Client = shown(is_public=True)
    note = outsider.get("/ledger/checkpoint")
    assert note.status_code == 200
    size = Checkpoint.of_note(note.text).size
    assert outsider.get(f"/ledger/tile/entries/000.p/{min(size, 255)}").status_code == 200
    assert outsider.get("/v1/ledger/entries").status_code == 401
    assert outsider.get("/v1/ledger/entries/0/receipt").status_code == 401
    assert shown(is_public=False).get("/ledger/checkpoint").status_code == 401
    assert shown(is_public=False).get("/ledger/tile/0/000.p/1").status_code == 401


@pytest.mark.parametrize("is_public", [True, False])
def test_tiles_may_be_cached_for_ever_and_checkpoints_never(shown: Any, world: World, is_public: bool) -> None:
    served: httpx.Client = shown(is_public=is_public)
    headers = {} if is_public else {"Authorization": f"Bearer {world.token(ADEL)}"}
    note = served.get("/ledger/checkpoint", headers=headers)
    assert (note.headers["cache-control"], note.headers["content-type"]) == ("no-cache", "text/plain; charset=utf-8")
    tile: httpx.Response = served.get("/ledger/tile/0/000.p/1", headers=headers)
    whom = "public" if is_public else "private"
    assert tile.headers["cache-control"] == f"{whom}, max-age=31536000, immutable"
    assert (tile.headers["content-type"], len(tile.content)) == ("application/octet-stream", 32)
    head = served.head("/ledger/tile/0/000.p/1", headers=headers)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "32")
    assert served.head("/ledger/tile/0/777", headers=headers).status_code == 404
    assert served.get("/ledger/tile/0/777", headers=headers).status_code == 404
    assert served.get("/ledger/tile/0/000.p/0", headers=headers).status_code == 422


def test_an_answer_names_its_events_and_the_wait_that_was_honoured(world: World, portal: BlockingPortal) -> None:
    served = httpx.Client(transport=InProcess(application.create(world.parts), portal), base_url="http://ledger.test")
    headers = {"Authorization": f"Bearer {world.token(SAMI)}"}
    made = served.post("/v1/models/oncology/named", json={}, headers=headers)
    assert made.status_code < 300
    moment, _, digest = made.headers["khatim-events"].partition("/")
    assert (moment[-1], len(digest)) == ("Z", 64)
    assert "preference-applied" not in made.headers
    refused = served.post("/v1/models/oncology/named", json={}, headers=headers)
    assert "khatim-events" not in refused.headers


def test_the_ledger_is_exported_to_a_bucket(listening: tuple[World, str], tmp_path: Path) -> None:
    world, url = listening
    world.sequence()
    (tmp_path / "secret").write_text("secret\n")
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        who = {"aws_access_key_id": "admin", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
        boto3.client("s3", endpoint_url=f"http://{host}:{port}", **who).create_bucket(Bucket="copies")
        to = f"http://{host}:{port}/copies/ledger"
        words = ("ledger", "export", to, "--access-key", "key", "--secret-file", str(tmp_path / "secret"))
        assert "holds the ledger of" in run(url, world.token(ADEL), *words)
        kept = MirrorObjects(to, "key", "secret").read("checkpoint").decode()
        assert Checkpoint.of_note(kept).size > 1
        with pytest.raises(Malformed, match="--secret-file"):
            run(url, world.token(ADEL), "ledger", "export", to)
    finally:
        server.stop()
