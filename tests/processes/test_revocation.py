# SPDX-License-Identifier: Apache-2.0
"""A real agent process learns of a revocation in seconds: its endpoint answers no more, also after a restart."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from onnx import TensorProto, helper

from gateway import app
from khatim.vocabulary import Digest, JobKind
from registry.signing import oms, statements
from runners.zone.cluster import free_ports
from tests.support.agents import FEATURES, blob, file
from tests.support.http import good
from tests.support.people import ADEL, PAVEL, PETRA, SAMI
from tests.support.world import MODEL, ZONE, Step, World, Worlds

LIMIT_S = 5.0
INFER = f"/v2/models/{MODEL.replace('/', '.')}/infer"
ASK = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1.0, 2.0]}]}
Json = dict[str, Any]


def onnx_model() -> bytes:
    """Return a model that answers: it doubles what it is given."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, len(FEATURES)])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, len(FEATURES)])
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "g", [x], [y])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(made.SerializeToString())


def trained(world: World, job: Json, files: Mapping[str, bytes]) -> Json:
    """Return the outcome of a training that made these very bytes."""
    agent = world.agent
    named = [
        {**file(path, role="weights" if path.endswith(".onnx") else "config"), "digest": str(Digest.of(data)),
         "size": len(data)}
        for path, data in files.items()
    ]  # fmt: skip
    kept = [blob(job["id"], what) for what in ("holdout", "reference")]
    subjects = [(one["path"], one["digest"]) for one in named]
    placed = [{"digest": one["digest"], "size": one["size"], "media_type": "application/octet-stream"} for one in named]
    beside = [one["digest"] for one in kept]
    return {
        "kind": "train",
        "files": named,
        "placed": [*placed, *kept],
        "training": {"features": FEATURES, "label": "malignant", "holdout": beside[0], "reference": beside[1]},
        "provenance": agent.provenance(statements.TRAINING, job, subjects, beside),
        "model_signature": agent.sign(
            oms.oms_statement("oncology-malignancy", [(path, Digest.parse(digest)) for path, digest in subjects])
        ),
    }


@contextlib.contextmanager
def served(world: World) -> Iterator[str]:
    """Serve the registry of *world* over real HTTP; yield its address."""
    (port,) = free_ports(1)
    config = uvicorn.Config(app.create(world.parts), host="127.0.0.1", port=port, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        until(lambda: server.started, "the registry does not start")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


def until(holds: Callable[[], bool], otherwise: str, timeout_s: float = 60) -> float:
    """Wait until *holds*; return how long it took in seconds."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < timeout_s, otherwise
        time.sleep(0.05)
    return time.monotonic() - began


class Process:
    """An agent as its operator runs it."""

    def __init__(self, folder: Path, server: str) -> None:
        self._folder, self._server = folder, server
        (self.port,) = free_ports(1)
        self._running: subprocess.Popen[bytes] | None = None

    def start(self, token: str = "") -> None:
        with (self._folder.parent / "agent.log").open("ab") as log:
            self._running = subprocess.Popen(
                [
                    sys.executable, "-m", "khatim", "agent", "run", "--server", self._server,
                    "--data", str(self._folder), "--port", str(self.port),
                ],
                env={**os.environ, "KHATIM_ENROL_TOKEN": token},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        until(lambda: self.answers("/v2/health/live") == 200, "the agent does not start")

    def kill(self) -> None:
        if self._running is not None:
            self._running.kill()
            self._running.wait(20)

    def answers(self, path: str, body: Json | None = None) -> int:
        """Return the status of an answer, 0 when there is none."""
        try:
            method = "POST" if body else "GET"
            return httpx.request(method, f"http://127.0.0.1:{self.port}{path}", json=body, timeout=5).status_code
        except httpx.TransportError:
            return 0


@pytest.fixture
def running(worlds: Worlds, tmp_path: Path) -> Iterator[tuple[World, Process]]:
    """Yield a world whose model is served by an agent process."""
    files = {"model.onnx": onnx_model(), "training.json": b"{}"}
    with worlds.at(Step.AUTHORISED) as world:
        good(world.as_(SAMI).post("/v1/trainings", world.training()))
        job = world.agent.claim_a(JobKind.TRAIN)
        good(world.agent.complete(job, trained(world, job, files)))
        world.agent.do(JobKind.SCAN)
        world.evaluate()
        world.approve()
        world.promote()
        with served(world) as url:
            agent = Process(tmp_path / "agent", url)
            try:
                agent.start(world.invite())
                for data in files.values():
                    bring(world, data)
                asked = good(world.as_(PAVEL).post("/v1/deployments", {"version": f"{MODEL}@1", "zone": ZONE}))
                world.memory.deployment = asked["id"]
                until(lambda: agent.answers(INFER, ASK) == 200, "the endpoint does not answer")
                until(lambda: state(world)["state"] == "serving", "the registry does not hear of it")
                yield world, agent
            finally:
                agent.kill()


def bring(world: World, data: bytes) -> None:
    digest = str(Digest.of(data))
    ticket = good(
        world.as_(SAMI).post("/v1/uploads", {"zone": ZONE, "digest": digest, "size": len(data), "tags": ["health.ae"]})
    )
    answer = httpx.put(
        f"{ticket['door']}/blobs/{digest}", content=data, headers={"Authorization": f"Bearer {ticket['token']}"}
    )
    assert answer.status_code == 201, answer.text


def state(world: World) -> Json:
    found: Json = good(world.as_(ADEL).get(f"/v1/deployments/{world.memory.deployment}"))
    return found


def test_a_revoked_model_answers_no_more_within_seconds_and_not_after_a_restart(
    running: tuple[World, Process], record_property: Callable[[str, object], None]
) -> None:
    world, agent = running
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
    running: tuple[World, Process],
) -> None:
    world, agent = running
    asked = {
        "kind": "identity",
        "target": f"person/{PETRA.ref}",
        "because": "it was not her",
        "from_the_beginning": True,
    }
    good(world.as_(PETRA).post("/v1/revocations", asked))
    # As if the registry had not stopped the deployment: the list alone must do it.
    world.sql("UPDATE deployments SET state = 'serving', because = '' WHERE id = %s", world.memory.deployment)
    until(lambda: agent.answers(INFER, ASK) != 200, "the endpoint still answers", LIMIT_S)
    until(lambda: state(world)["state"] == "stopped", "the agent does not report it", LIMIT_S)

    assert "it was not her" in state(world)["because"]
    assert "endpoint.halted" in world.kinds()
