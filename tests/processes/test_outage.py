# SPDX-License-Identifier: Apache-2.0
"""An agent process without its registry: it starts, serves what it had verified, starts nothing new, and comes back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from khatim.vocabulary import Digest
from runners.zone import remembered, revocations
from tests.processes.serving import ASK, INFER, Process, Registry, onnx_model, serving, state, until
from tests.support.http import good
from tests.support.people import PAVEL, PETRA
from tests.support.world import World, Worlds

Running = tuple[World, Process, Registry]


@pytest.fixture
def running(worlds: Worlds, tmp_path: Path) -> Iterator[Running]:
    with serving(worlds, tmp_path) as found:
        # The orders that name the deployment are what it may serve by when it is alone.
        orders = tmp_path / "agent" / "deployments" / "known" / remembered.ORDERS
        until(lambda: orders.exists() and found[0].memory.deployment in orders.read_text(), "no orders are kept")
        yield found


def test_an_agent_starts_without_its_registry_and_serves_what_it_had_verified(running: Running) -> None:
    world, agent, registry = running
    registry.stop()
    agent.kill()
    agent.start()
    assert agent.answers(INFER, ASK) == 200
    good(world.as_(PETRA).post("/v1/revocations", {
        "kind": "artifact", "target": str(Digest.of(onnx_model())), "because": "it was poisoned",
    }))  # fmt: skip
    time.sleep(2)
    assert agent.answers(INFER, ASK) == 200  # nobody can have told it
    registry.start()
    until(lambda: agent.answers(INFER, ASK) == 404, "it does not come back by itself", 30)

    assert "it was poisoned" in state(world)["because"]


def test_it_comes_back_by_its_own_key_after_its_identity_has_ended(running: Running, tmp_path: Path) -> None:
    world, agent, registry = running
    registry.stop()
    agent.kill()
    file = tmp_path / "agent" / "identity.json"
    kept = json.loads(file.read_bytes())
    stale = world.agent_token(kept["agent"], seconds=-3600)
    file.write_text(json.dumps({**kept, "token": stale, "expires_at": str(datetime.now(UTC) - timedelta(hours=1))}))
    agent.start()
    assert agent.answers(INFER, ASK) == 200
    registry.start()
    until(lambda: json.loads(file.read_bytes())["token"] != stale, "its identity is not renewed", 30)
    good(world.as_(PAVEL).post("/v1/deployments/" + world.memory.deployment + "/stop", {"because": "enough"}))

    until(lambda: agent.answers(INFER, ASK) == 404, "it does not hear its orders", 30)


def test_what_was_revoked_before_the_outage_stays_down_without_the_registry(running: Running, tmp_path: Path) -> None:
    world, agent, registry = running
    asked = {
        "kind": "identity", "target": f"person/{PETRA.ref}", "because": "it was not her", "from_the_beginning": True
    }  # fmt: skip
    known = tmp_path / "agent" / "deployments" / "known"
    before = (known / remembered.ORDERS).read_bytes()
    good(world.as_(PETRA).post("/v1/revocations", asked))
    # As if the registry had not stopped the deployment: the list alone must do it.
    world.sql("UPDATE deployments SET state = 'serving', because = '' WHERE id = %s", world.memory.deployment)
    until(lambda: state(world)["state"] == "stopped", "the agent does not report it", 30)
    registry.stop()
    agent.kill()
    spec = tmp_path / "agent" / "deployments" / f"{world.memory.deployment}.json"
    dossier = known / f"{world.memory.deployment}.json"
    (known / remembered.ORDERS).write_bytes(before)  # orders that say "serving" do not outweigh the signed list
    assert spec.exists() == dossier.exists()
    agent.start()

    assert agent.answers(INFER, ASK) == 404


def test_without_a_list_it_serves_nothing_until_the_registry_is_back(running: Running, tmp_path: Path) -> None:
    _, agent, registry = running
    registry.stop()
    agent.kill()
    (tmp_path / "agent" / revocations.FILE).unlink()
    agent.start()
    assert agent.answers(INFER, ASK) == 404
    registry.start()

    until(lambda: agent.answers(INFER, ASK) == 200, "it does not come back by itself", 30)


def test_a_list_that_somebody_changed_stops_it_from_starting_also_then(running: Running, tmp_path: Path) -> None:
    _, agent, registry = running
    registry.stop()
    agent.kill()
    file = tmp_path / "agent" / revocations.FILE
    file.write_text(file.read_text().replace('"sig":"M', '"sig":"N'))
    with pytest.raises(AssertionError, match="does not start"):
        agent.start()

    assert "does not verify" in (tmp_path / "agent.log").read_text()
