# SPDX-License-Identifier: Apache-2.0
"""Receipts as callers get them: `Prefer: wait` over HTTP, and ``--receipt FILE`` of every command that writes."""

from __future__ import annotations

import json
import time
from pathlib import Path

import httpx
import pytest
import typer.main
from typer.testing import CliRunner

from audit import receipts
from khatim.cli.main import app
from khatim.errors import LedgerInvalid, Malformed
from khatim.wire import proofs
from tests.khatim.test_ledger_command import run, vkey_of
from tests.support.http import problem
from tests.support.people import ADEL, SAMI
from tests.support.world import World


def sent(url: str, world: World, method: str, path: str, prefer: str = "") -> httpx.Response:
    headers = {"Authorization": f"Bearer {world.token(SAMI)}", **({"Prefer": prefer} if prefer else {})}
    body: dict[str, str] | None = {} if method == "POST" else None
    return httpx.request(method, url + path, headers=headers, json=body, timeout=30)


@pytest.mark.parametrize("prefer", ["wait=10", "respond-async, wait=10", "handling=lenient; wait=10"])
def test_who_prefers_to_wait_gets_the_receipt_at_once(listening: tuple[World, str], prefer: str) -> None:
    world, url = listening
    name = f"waited-{len(prefer)}"
    with world.sequencing():
        made = sent(url, world, "POST", f"/v1/models/oncology/{name}", prefer)
        assert made.status_code == 201, made.text
        assert made.headers["preference-applied"] == "wait=10"
        answer = sent(url, world, "GET", f"/v1/ledger/receipts?event={made.headers['khatim-events']}")
    receipt = proofs.Receipt.model_validate(answer.json())
    assert receipt.size > receipt.index
    found = receipts.check(receipt, vkey_of(world))
    assert found.entry.event["resource"] == f"model:oncology/{name}"
    assert found.checkpoint.size == receipt.size


def test_a_wait_that_is_over_is_not_said_to_be_honoured_and_the_change_stands(listening: tuple[World, str]) -> None:
    """Nothing sequences here: the answer is that of the change, without the preference, and there is no receipt yet."""
    world, url = listening
    began = time.monotonic()
    made = sent(url, world, "POST", "/v1/models/oncology/overdue", "wait=1")
    assert made.status_code == 201, made.text
    assert time.monotonic() - began >= 1
    assert "preference-applied" not in made.headers
    asked = f"/v1/ledger/receipts?event={made.headers['khatim-events']}"
    early = sent(url, world, "GET", asked, "wait=1")
    assert "or not yet" in problem(early, 404)["detail"]
    assert "preference-applied" not in early.headers
    world.sequence()
    late = sent(url, world, "GET", asked, "wait=1")
    assert (late.status_code, late.headers["preference-applied"]) == (200, "wait=1")


@pytest.mark.parametrize("prefer", ["", "wait=soon", "wait=99999", "await=5", "wait=0"])
def test_what_is_no_wait_is_no_preference(listening: tuple[World, str], prefer: str) -> None:
    world, url = listening
    made = sent(url, world, "POST", f"/v1/models/oncology/plain-{len(prefer)}", prefer)
    assert (made.status_code, "preference-applied" in made.headers) == (201, False)


def test_a_command_that_writes_leaves_the_receipts_of_what_it_recorded(
    listening: tuple[World, str], tmp_path: Path
) -> None:
    world, url = listening
    file = tmp_path / "receipt.json"
    words = ("ledger", "check-receipt", str(file), "--vkey", vkey_of(world))
    with world.sequencing():
        run(url, world.token(SAMI), "model", "create", "oncology/kept", "--receipt", str(file))
    (found,) = json.loads(run("", "", *words, "--json"))
    assert found["event"]["resource"] == "model:oncology/kept"
    assert "stands in ledger.test.khatim" in run("", "", *words)
    copy = tmp_path / "copy"
    world.sequence()

    run(url, world.token(ADEL), "ledger", "export", str(copy))
    assert "entries as well" in run("", "", *words, "--ledger", str(copy))
    file.write_text(file.read_text().replace('"index": ', '"index": 1', 1))
    with pytest.raises((LedgerInvalid, Malformed)):
        run("", "", *words)
    file.write_text("[17]")
    with pytest.raises(Malformed):
        run("", "", *words)


def test_every_command_that_writes_can_leave_a_receipt_and_none_that_only_reads() -> None:
    """The option comes with `connection.writing`; the table of the commands says which ones have it."""
    with_it = {name for name, options in commands() if "--receipt" in options}
    assert {"model create", "version register", "version approve", "version promote", "revoke statement"} <= with_it
    assert {"authorisation request", "transfer approve", "waiver revoke", "dataset ingest", "job cancel"} <= with_it
    reading = ("list", "show", "gate", "whoami", "zones", "explain", "timeline", "status", "verify")
    read = {name for name in with_it if name.split()[-1] in reading}
    assert read <= {"ledger show", "people show"}, "a person's name is read by leave, and that is recorded"


def commands() -> list[tuple[str, set[str]]]:
    found = []
    waiting = [("", typer.main.get_command(app))]
    while waiting:
        name, command = waiting.pop()
        if hasattr(command, "commands"):
            waiting += [(f"{name} {key}".strip(), one) for key, one in command.commands.items()]
        else:
            found.append((name, {option for parameter in command.params for option in parameter.opts}))
    return found


def test_the_change_stands_where_the_receipt_cannot_be_had(listening: tuple[World, str], tmp_path: Path) -> None:
    world, url = listening
    environment = {"KHATIM_SERVER": url, "KHATIM_TOKEN": world.token(SAMI)}
    words = ["model", "create", "oncology/unreceipted", "--receipt", str(tmp_path / "no" / "folder" / "file")]
    with world.sequencing():
        done = CliRunner().invoke(app, words, env=environment)
    assert isinstance(done.exception, Malformed)
    assert "it is done, but" in str(done.exception)
    assert sent(url, world, "GET", "/v1/models/oncology/unreceipted").status_code == 200
