# SPDX-License-Identifier: Apache-2.0
"""The agent's inference door in a process of its own, with one endpoint, as an agent serves it."""

from __future__ import annotations

from pathlib import Path

from khatim.cli.benchmarks import processes
from khatim.cli.benchmarks.predictions import MODEL


def main() -> None:
    """Serve until the standard input is closed."""
    import uvicorn

    from runners.zone import onnx_runtime
    from runners.zone.capture import Capture
    from runners.zone.endpoints import Endpoint, Endpoints
    from runners.zone.serving import build_serving
    from runners.zone.store import ZoneStore

    plan = processes.told()
    session = onnx_runtime.load(Path(plan["model"]).read_bytes(), (onnx_runtime.CPU,))
    store = ZoneStore.ensure(Path(plan["folder"]) / "store", "ae-health")
    capture = Capture(lambda data: store.put([data], max_size=1 << 30), session.feature_order())
    endpoints = Endpoints()
    endpoints.put(Endpoint(MODEL, "1", session, capture=capture))
    config = uvicorn.Config(
        build_serving(endpoints), host="127.0.0.1", port=0, log_level="warning", access_log=False, server_header=False
    )
    processes.until_closed(uvicorn.Server(config))
    capture.close()


if __name__ == "__main__":
    main()
