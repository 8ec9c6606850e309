# SPDX-License-Identifier: Apache-2.0
"""A model served by a real agent process, beneath a registry that can go away and come back at the same address."""

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
import uvicorn
from onnx import TensorProto, helper

from gateway import app
from khatim.vocabulary import Digest, JobKind
from registry.signing import oms, statements
from runners.zone.cluster import free_ports
from tests.support.agents import FEATURES, blob, file
from tests.support.http import good
from tests.support.people import ADEL, PAVEL, SAMI
from tests.support.world import MODEL, ZONE, Step, World, Worlds

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


class Registry:
    """The registry of a world over real HTTP, always at the same address."""

    def __init__(self, world: World) -> None:
        """Take a port; nothing listens yet."""
        self._world = world
        (self._port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self._port}"
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen."""
        config = uvicorn.Config(
            app.create(self._world.parts), host="127.0.0.1", port=self._port, log_level="critical", lifespan="off",
            timeout_graceful_shutdown=2,
        )  # fmt: skip
        server = self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=server.run, daemon=True)
        self._thread.start()
        until(lambda: server.started, "the registry does not start")

    def stop(self) -> None:
        """Go away."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(20)
            assert not self._thread.is_alive()
            self._server = None


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
            running = self._running = subprocess.Popen(
                [
                    sys.executable, "-m", "khatim", "agent", "run", "--server", self._server,
                    "--data", str(self._folder), "--port", str(self.port),
                ],
                env={**os.environ, "KHATIM_ENROL_TOKEN": token},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        ended = "the agent does not start"
        until(lambda: running.poll() is not None or self.answers("/v2/health/live") == 200, ended)
        assert running.poll() is None, ended

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


@contextlib.contextmanager
def serving(worlds: Worlds, folder: Path, policies: Path | None = None) -> Iterator[tuple[World, Process, Registry]]:
    """Yield a world whose model is served by an agent process."""
    files = {"model.onnx": onnx_model(), "training.json": b"{}"}
    with worlds.at(Step.AUTHORISED, policies) as world:
        good(world.as_(SAMI).post("/v1/trainings", world.training()))
        job = world.agent.claim_a(JobKind.TRAIN)
        good(world.agent.complete(job, trained(world, job, files)))
        world.agent.do(JobKind.SCAN)
        world.evaluate()
        world.approve()
        world.promote()
        registry = Registry(world)
        agent = Process(folder / "agent", registry.url)
        registry.start()
        try:
            agent.start(world.invite())
            for data in files.values():
                bring(world, data)
            asked = good(world.as_(PAVEL).post("/v1/deployments", {"version": f"{MODEL}@1", "zone": ZONE}))
            world.memory.deployment = asked["id"]
            until(lambda: agent.answers(INFER, ASK) == 200, "the endpoint does not answer")
            until(lambda: state(world)["state"] == "serving", "the registry does not hear of it")
            yield world, agent, registry
        finally:
            agent.kill()
            registry.stop()


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
