# SPDX-License-Identifier: Apache-2.0
"""A real agent process learns of a revocation in seconds: its endpoint answers no more, also after a restart."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from khatim.vocabulary import Digest
from tests.processes.serving import ASK, INFER, Process, Registry, onnx_model, serving, state, until
from tests.support.http import good
from tests.support.people import PETRA
from tests.support.world import World, Worlds

LIMIT_S = 5.0


@pytest.fixture
def running(worlds: Worlds, tmp_path: Path) -> Iterator[tuple[World, Process, Registry]]:
    """Yield a world whose model is served by an agent process."""
    with serving(worlds, tmp_path) as found:
        yield found


def test_a_revoked_model_answers_no_more_within_seconds_and_not_after_a_restart(
    running: tuple[World, Process, Registry], record_property: Callable[[str, object], None]
) -> None:
    world, agent, _ = running
    asked = {"kind": "artifact", "target": str(Digest.of(onnx_model())), "because": "it was poisoned"}
    good(world.as_(PETRA).post("/v1/revocations", asked))
    took = until(lambda: agent.answers(INFER, ASK) != 200, "the endpoint still answers", LIMIT_S)
    record_property("revocation_to_silence_s", round(took, 2))

    assert took < LIMIT_S
    assert "it was poisoned" in state(world)["because"]
    agent.kill()
    agent.start()
    time.sleep(2)
    assert agent.answers(INFER, ASK) == 404


def test_an_agent_obeys_the_signed_list_even_when_the_orders_say_that_it_may_serve(
    running: tuple[World, Process, Registry],
) -> None:
    world, agent, registry = running
    asked = {
        "kind": "identity",
        "target": f"person/{PETRA.ref}",
        "because": "it was not her",
        "from_the_beginning": True,
    }
    # As if the registry had not stopped the deployment: the list alone must do it.  The agent looks every second and
    # must not see the moment in between, in which the orders stop it.
    registry.stop()
    good(world.as_(PETRA).post("/v1/revocations", asked))
    world.sql("UPDATE deployments SET state = 'serving', because = '' WHERE id = %s", world.memory.deployment)
    registry.start()
    until(lambda: agent.answers(INFER, ASK) != 200, "the endpoint still answers", LIMIT_S)
    until(lambda: state(world)["state"] == "stopped", "the agent does not report it", LIMIT_S)

    assert "it was not her" in state(world)["because"]
    assert "endpoint.halted" in world.kinds()
