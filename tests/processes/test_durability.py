# SPDX-License-Identifier: Apache-2.0
"""What survives a stop, a `kill -9` and a restart, and what local mode refuses."""

from __future__ import annotations

import os
import signal
import stat
import time
from datetime import datetime
from pathlib import Path

import httpx
import psycopg

from audit.checkpoint import NoteVerifier
from audit.verify_database import verify_database
from gateway import supervisor
from gateway.embedded import EmbeddedDatabase
from tests.processes.installation import Installation, khatim


def names_of(installation: Installation) -> list[str]:
    return [model["name"] for model in installation.call("auditor", "GET", "/v1/models")["items"]]


def test_data_survive_a_kill_and_the_ledger_still_verifies(installation: Installation) -> None:
    for number in range(20):
        installation.call("scientist", "POST", f"/v1/models/durable/model-{number:02d}", {"tier": 2})
    before = names_of(installation)

    os.kill(installation.pid(), signal.SIGKILL)
    installation.await_that(lambda: supervisor.state_of(installation.data) is None, "the killed server looks alive")
    installation.up()

    assert names_of(installation) == before
    installation.call("scientist", "POST", "/v1/models/durable/after-the-kill", {"tier": 2})
    url = EmbeddedDatabase(installation.data / "postgres").url("khatim_service")

    def is_sequenced() -> bool:
        found = installation.call("auditor", "GET", "/v1/ledger/entries?kind=model.created&limit=100")["items"]
        return len(found) == 21

    installation.await_that(is_sequenced, "the sequencer did not come back")
    vkey = installation.call("auditor", "GET", "/v1/ledger/entries/0")["body"]["payload"]["vkey"]
    with psycopg.connect(url) as connection:
        report = verify_database(connection, NoteVerifier.parse(vkey))
    assert report.kinds["model.created"] == 21


def test_data_survive_down_and_up(installation: Installation) -> None:
    before = names_of(installation)

    assert khatim("down", "--data", str(installation.data)).returncode == 0
    assert supervisor.state_of(installation.data) is None
    assert khatim("down", "--data", str(installation.data)).returncode == 0, "down twice is no error"
    installation.up()

    assert names_of(installation) == before


def test_a_second_server_on_the_same_folder_is_refused_with_advice(installation: Installation) -> None:
    second = khatim("up", "--data", str(installation.data), "--port", "0")

    assert second.returncode == 1
    assert "another khatim runs" in second.stderr
    assert "khatim down" in second.stderr


def test_an_agent_goes_on_after_the_server_was_killed(installation: Installation) -> None:
    port = installation.port
    installation.start_agent(name="patient")

    os.kill(installation.pid(), signal.SIGKILL)
    installation.await_that(lambda: supervisor.state_of(installation.data) is None, "the killed server looks alive")
    installation.up("--port", str(port))
    since = time.time()

    def was_seen() -> bool:
        agents = installation.call("platform", "GET", "/v1/agents")["items"]
        return any(agent["seen_at"] and _moment(agent["seen_at"]) > since for agent in agents)

    installation.await_that(was_seen, "the agent did not come back")


def test_health_answers_without_sign_in_and_says_nothing_else(installation: Installation) -> None:
    answer = httpx.get(f"{installation.url}/health")

    assert answer.json() == {"status": "ok", "signer": "in this process", "disk": "room"}


def test_the_folder_keeps_its_secrets_from_others(installation: Installation) -> None:
    kept = (installation.data / "keys").rglob("*")
    secrets = [*(path for path in kept if path.is_file()), installation.data / "postgres" / "passwords.json"]

    assert stat.S_IMODE((installation.data / "keys").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}


def test_local_mode_does_not_listen_beyond_this_machine(tmp_path: Path) -> None:
    refused = khatim("up", "--data", str(tmp_path / "open"), "--host", "0.0.0.0")  # noqa: S104 - must be refused

    assert refused.returncode == 1
    assert "loopback only" in refused.stderr


def test_a_provider_without_an_audience_refuses_to_start(tmp_path: Path) -> None:
    refused = khatim("up", "--data", str(tmp_path / "open"), KHATIM_OIDC__ISSUER="https://id.example.org")

    assert refused.returncode == 1
    assert "audience" in refused.stderr


def test_local_tokens_are_refused_with_a_provider(installation: Installation) -> None:
    provider = {"KHATIM_OIDC__ISSUER": "https://id.example.org", "KHATIM_OIDC__AUDIENCE": "khatim"}

    refused = khatim("token", "issue", "--data", str(installation.data), "--as", "eve", "--role", "auditor", **provider)

    assert refused.returncode == 1
    assert "OIDC" in refused.stderr


def test_a_token_of_the_command_line_signs_its_person_in(installation: Installation) -> None:
    issued = khatim(
        "token", "issue", "--data", str(installation.data), "--as", "Amal", "--role", "model risk approver"
    )  # fmt: skip
    answer = httpx.get(
        f"{installation.url}/v1/whoami", headers={"Authorization": f"Bearer {issued.stdout.strip()}"}
    ).json()

    assert (answer["display_name"], answer["roles"]) == ("Amal", ["model-risk-approver"])
    assert "Amal" not in answer["ref"]


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
