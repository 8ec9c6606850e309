# SPDX-License-Identifier: Apache-2.0
"""Serving a model: Open Inference Protocol v2 as an agent answers it, a plain endpoint, and the bare runtime."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import Any

from khatim.cli.benchmarks import plain_endpoint, processes, traffic
from khatim.cli.benchmarks.figures import Figure, Section, faster, longer, timed
from khatim.errors import VerificationFailed

SECONDS = 2.0
BATCHES = (1, 64)
CLIENTS = (1, 16)
MODEL = "oncology.malignancy"
PATH = f"/v2/models/{MODEL}/infer"
_SAME = 1e-6


def measure() -> Section:
    """Train the demo's model and serve it in three ways."""
    with tempfile.TemporaryDirectory(prefix="khatim-bench-") as folder:
        model, rows = trained(Path(folder))
        bare = _bare(model, rows)
        with processes.serving("endpoint", {"model": str(model), "folder": folder}) as port:
            _compare(port, PATH, _asked(rows, 4), bare[2], "outputs")
            ours = {
                (batch, binary, clients): _sent(port, batch, clients, rows, binary=binary)
                for batch in BATCHES
                for binary in (False, True)
                for clients in CLIENTS
            }
        with processes.serving("plain_endpoint", {"model": str(model)}) as port:
            _compare(port, "/predict", {"rows": rows[:4]}, bare[2], "probabilities")
            plain = {(batch, clients): _plain(port, batch, clients, rows) for batch in BATCHES for clients in CLIENTS}
    return Section(
        "Serving",
        "The demo's model, a gradient boosting classifier on the thirty measures of the Breast Cancer Wisconsin data, "
        "exported to ONNX. Ours is the agent's inference door in a process of its own: request checked against the "
        "model, NaN and infinities refused, inputs captured into the encrypted store, Open Inference Protocol v2 in "
        "JSON and with Triton's binary extension. The anchor is what one writes in ten lines: FastAPI, a pydantic "
        "body of `list[list[float]]`, ONNX Runtime with the same options, one process. The bare runtime is a loop "
        "around `session.run` without any server. All three give the same probabilities, which the run checks.",
        (*ours.values(), *plain.values(), bare[0], bare[1]),
        (
            *(
                faster(
                    f"JSON requests a second ÷ the plain endpoint's, batch {batch}, {_callers(clients)}",
                    ours[batch, False, clients],
                    plain[batch, clients],
                )
                for batch in BATCHES
                for clients in CLIENTS
            ),
            longer("time of a binary request ÷ the bare runtime alone, batch 64", ours[64, True, 1], bare[1]),
        ),
    )


def trained(folder: Path) -> tuple[Path, list[list[float]]]:
    """Train the demo's model in *folder*; return the ONNX file and its feature rows."""
    from khatim import contracts
    from khatim.cli.story import sample
    from runners.zone import arrow, features, ingestion, training
    from runners.zone.recipe import GRADIENT_BOOSTING, MODEL_FILE, TrainingSpec

    raw, view = folder / "raw.csv", folder / "features.parquet"
    sample.write(raw)
    with raw.open("rb") as file:
        taken = ingestion.ingest(file, contracts.contract_of(sample.contract()))
    table = features.materialise(taken.accepted, contracts.feature_view_of(sample.view()))
    view.write_bytes(arrow.to_parquet(table))
    spec = TrainingSpec(
        recipe=GRADIENT_BOOSTING,
        features=str(view),
        entity_key=sample.ENTITY,
        label=sample.LABEL,
        out=str(folder / "out"),
        seed=sample.SEED,
        holdout_share=sample.HOLDOUT_SHARE,
    )
    training.train(spec)
    rows = training.split(table, spec).features
    return folder / "out" / MODEL_FILE, rows.tolist()


def _bare(model: Path, rows: list[list[float]]) -> tuple[Figure, Figure, list[float]]:
    import numpy as np

    session = plain_endpoint.session_of(model)
    one, many = (np.asarray(rows[:batch], dtype=np.float32) for batch in BATCHES)
    found = session.run(["probabilities"], {"features": np.asarray(rows[:4], dtype=np.float32)})[0]
    return (
        timed("*anchor:* bare ONNX Runtime, batch 1", lambda _: session.run(None, {"features": one}), 2000),
        timed("*anchor:* bare ONNX Runtime, batch 64", lambda _: session.run(None, {"features": many}), 1000),
        [float(value) for value in found.ravel()],
    )


def _asked(rows: list[list[float]], batch: int) -> dict[str, Any]:
    data = [value for row in rows[:batch] for value in row]
    return {"inputs": [{"name": "features", "shape": [batch, 30], "datatype": "FP32", "data": data}]}


def _request(rows: list[list[float]], batch: int, *, binary: bool) -> bytes:
    import numpy as np

    if not binary:
        body = json.dumps(_asked(rows, batch)).encode()
        return traffic.request("POST", PATH, {"Content-Type": "application/json"}, body)
    raw = np.asarray(rows[:batch], dtype="<f4").tobytes()
    asked = _asked([], batch)
    del asked["inputs"][0]["data"]
    asked["inputs"][0]["parameters"] = {"binary_data_size": len(raw)}
    asked["parameters"] = {"binary_data_output": True}
    head = json.dumps(asked).encode()
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
    return traffic.request("POST", PATH, headers, head + raw)


def _sent(port: int, batch: int, clients: int, rows: list[list[float]], *, binary: bool) -> Figure:
    what = f"batch {batch}, {'binary' if binary else 'JSON'}, {_callers(clients)}"
    prepared = _request(rows, batch, binary=binary)
    return traffic.send(what, port, [prepared], clients=clients, seconds=SECONDS)


def _plain(port: int, batch: int, clients: int, rows: list[list[float]]) -> Figure:
    body = json.dumps({"rows": rows[:batch]}).encode()
    prepared = traffic.request("POST", "/predict", {"Content-Type": "application/json"}, body)
    what = f"*anchor:* plain endpoint, batch {batch}, JSON, {_callers(clients)}"
    return traffic.send(what, port, [prepared], clients=clients, seconds=SECONDS)


def _callers(clients: int) -> str:
    return "1 client" if clients == 1 else f"{clients} clients"


def _compare(port: int, path: str, body: dict[str, Any], expected: list[float], member: str) -> None:
    """Raise `VerificationFailed` unless the endpoint says what the bare runtime says."""
    import httpx

    with httpx.Client() as http:
        answer = http.post(f"http://127.0.0.1:{port}{path}", json=body).raise_for_status().json()
    found = answer[member]
    if member == "outputs":
        found = next(one["data"] for one in found if one["name"] == "probabilities")
    else:
        found = [value for row in found for value in row]
    worst = max((abs(one - other) for one, other in zip(found, expected, strict=True)), default=math.inf)
    if worst > _SAME:
        raise VerificationFailed(f"{path} differs from the bare runtime by {worst:.1e}")
