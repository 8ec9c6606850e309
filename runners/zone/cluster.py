# SPDX-License-Identifier: Apache-2.0
"""The door to Ray: one ephemeral head per approved job, on loopback only, behind a token of its own.

Ray's boundary lies outside the cluster (CVE-2023-48022 is disputed by its vendor for that reason), so the boundary is
drawn here: every socket on loopback, token authentication, no Ray Client server, no runtime environment in the request
(nothing is installed for a job), no usage report, and a cluster that ends with its job.  The agent speaks Ray's Jobs
API over HTTP and never imports Ray; only the job does (`runners.zone.trainer`).
"""

from __future__ import annotations

import functools
import secrets
import shlex
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from khatim.errors import NotFound, Unavailable
from runners.zone.execution import (
    LOG_LIMIT,
    JobStatus,
    RunJob,
    Warded,
    job_environment,
    run_job,
)

LOOPBACK = "127.0.0.1"
_OBJECT_STORE_BYTES = 128 * 1024 * 1024  # jobs pass paths, not data; Ray's least is 75 MiB
_WORKER_PORTS = range(10002, 20000)  # Ray gives these to workers and refuses to start its head there
_START_S = 90.0
_ATTEMPTS = 2
_ANSWER_S = 30.0
_POLL_S = 0.1
_STATUS = {
    "PENDING": JobStatus.PENDING,
    "RUNNING": JobStatus.RUNNING,
    "SUCCEEDED": JobStatus.SUCCEEDED,
    "FAILED": JobStatus.FAILED,
    "STOPPED": JobStatus.CANCELLED,
}


def free_ports(count: int) -> list[int]:
    """Return *count* different ports that are free on loopback now and lie outside Ray's worker ports."""
    held: list[socket.socket] = []
    found: list[int] = []
    try:
        while len(found) < count:
            probe = socket.socket()
            held.append(probe)  # held until the end, so that no port comes twice
            probe.bind((LOOPBACK, 0))
            port = probe.getsockname()[1]
            if port not in _WORKER_PORTS:
                found.append(port)
    finally:
        for probe in held:
            probe.close()
    return found


class RayHead:
    """A running Ray head and its Jobs API."""

    def __init__(self, warded: Warded, api: httpx.Client) -> None:
        """Take what `open` has started."""
        self._warded = warded
        self._api = api

    @classmethod
    def open(cls, workdir: Path, *, cpus: int, alive: Callable[[], bool], attempts: int = _ATTEMPTS) -> RayHead | None:
        """Start a head of *cpus* processors, or return None when *alive* answers False meanwhile.

        Raises `khatim.errors.Unavailable` when Ray does not start.
        """
        log = ""
        for _ in range(attempts):
            # Another process may take a port between the choice and the start; then Ray fails, and new ports are tried.
            head, dashboard, listen, metrics = free_ports(4)
            with Warded("kr-") as warded:
                token = secrets.token_hex(32)
                token_path = warded.folder / "token"
                token_path.touch(mode=0o600)
                token_path.write_text(token)
                environment = job_environment(
                    workdir,
                    RAY_AUTH_MODE="token",
                    RAY_AUTH_TOKEN_PATH=str(token_path),
                    RAY_USAGE_STATS_ENABLED="0",
                    # Ray's name for it is historical: without "clusters", nodes are 127.0.0.1 and all sockets loopback.
                    RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",
                    RAY_START_HOOK="runners.zone.ray_start.without_client_server",
                    DASHBOARD_METRIC_PORT=str(metrics),
                )
                command = _start_command(warded.folder, cpus, head, dashboard, listen)
                warded.start(command, environment, workdir)
                code = _await_start(warded, alive)
                if code == 0:
                    return cls(
                        warded,
                        httpx.Client(
                            base_url=f"http://{LOOPBACK}:{dashboard}/api/jobs/",
                            headers={"Authorization": f"Bearer {token}"},
                            timeout=_ANSWER_S,
                            trust_env=False,  # a proxy must never see the token
                        ),
                    )
                log = warded.output()
                warded.close()
                if code is None:
                    return None
        raise Unavailable(
            "The Ray head of this job did not start.",
            advice="Read the end of Ray's own log below; a full disk or too little shared memory are common.",
            logs=log[-4000:],
        )

    def submit(self, submission_id: str, module: str, spec_path: Path) -> None:
        """Submit ``python -m module spec_path``; Ray refuses a second job of the same id, which is then looked up."""
        entrypoint = shlex.join([sys.executable, "-m", module, str(spec_path), "--on", "ray"])
        until = time.monotonic() + _ANSWER_S
        while True:
            answer = self._ask("POST", "", json={"entrypoint": entrypoint, "submission_id": submission_id})
            if answer.is_success or self._is_here(submission_id):
                return
            if not answer.is_server_error or time.monotonic() > until:
                raise Unavailable("Ray did not take the job.", answer=_last_line(answer.text))
            time.sleep(_POLL_S)  # the head answers a little before its job agent does

    def status(self, submission_id: str) -> JobStatus:
        """Return how the job stands."""
        body = self._json("GET", submission_id)
        return _STATUS.get(str(body.get("status")), JobStatus.RUNNING)

    def logs(self, submission_id: str) -> str:
        """Return the end of what the job printed."""
        return str(self._json("GET", f"{submission_id}/logs").get("logs", ""))[-LOG_LIMIT:]

    def cancel(self, submission_id: str) -> None:
        """Ask Ray to stop the job and wait a little for it; what survives ends with the cluster."""
        self._json("POST", f"{submission_id}/stop")
        until = time.monotonic() + 5.0
        while not self.status(submission_id).is_final and time.monotonic() < until:
            time.sleep(_POLL_S)

    def close(self) -> None:
        """End the cluster: its processes and its folder, and no other cluster's."""
        self._api.close()
        self._warded.close()

    def _is_here(self, submission_id: str) -> bool:
        return self._ask("GET", submission_id).is_success

    def _json(self, method: str, path: str) -> dict[str, Any]:
        answer = self._ask(method, path)
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise NotFound(f"Ray knows no job {path.partition('/')[0]}.")
        if not answer.is_success:
            raise Unavailable("The Ray head does not answer as it should.", answer=_last_line(answer.text))
        body: dict[str, Any] = answer.json()
        return body

    def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            return self._api.request(method, path, **more)
        except httpx.HTTPError as error:
            raise Unavailable(f"The Ray head does not answer: {type(error).__name__}.") from error


def _start_command(folder: Path, cpus: int, head: int, dashboard: int, listen: int) -> list[str]:
    return [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--disable-usage-stats"),
        *("--port", str(head), "--dashboard-host", LOOPBACK, "--dashboard-port", str(dashboard)),
        *("--dashboard-agent-listen-port", str(listen), "--min-worker-port", "0", "--max-worker-port", "0"),
        *("--temp-dir", str(folder / "r"), "--object-store-memory", str(_OBJECT_STORE_BYTES)),
        *("--num-cpus", str(cpus), "--num-gpus", "0", "--include-dashboard", "true"),  # the dashboard is the Jobs API
        *("--no-monitor", "--include-log-monitor", "false", "--log-color", "false"),
    ]


def _await_start(warded: Warded, alive: Callable[[], bool]) -> int | None:
    until = time.monotonic() + _START_S
    while (code := warded.exit_code()) is None:
        if not alive():
            return None
        if time.monotonic() > until:
            return -1
        time.sleep(_POLL_S)
    return code


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip(" .")]
    return lines[-1][:500] if lines else ""


run_ray_job: RunJob = functools.partial(run_job, RayHead.open)
"""Run one job in a Ray cluster that lives only for it: ``run_ray_job(submission_id, module, spec_path, workdir, *,
cpus, timeout_s, heartbeat) -> JobOutcome``."""
