# SPDX-License-Identifier: Apache-2.0
"""The anchor of serving: the endpoint that one writes in ten lines, on the same model and the same runtime options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from khatim.cli.benchmarks import processes


class Rows(BaseModel):
    """What is asked."""

    rows: list[list[float]]


class Scores(BaseModel):
    """What is answered."""

    labels: list[int]
    probabilities: list[list[float]]


def session_of(model: Path) -> Any:
    """Return a bare ONNX Runtime session, with the options that an agent uses."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def main() -> None:
    """Serve until the standard input is closed."""
    import numpy as np
    import uvicorn
    from fastapi import FastAPI

    plan = processes.told()
    session = session_of(Path(plan["model"]))
    app = FastAPI()

    @app.post("/predict")
    def predict(body: Rows) -> Scores:
        labels, scores = session.run(None, {"features": np.asarray(body.rows, dtype=np.float32)})
        return Scores(labels=labels.tolist(), probabilities=scores.tolist())

    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", access_log=False)
    processes.until_closed(uvicorn.Server(config))


if __name__ == "__main__":
    main()
