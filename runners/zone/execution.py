# SPDX-License-Identifier: Apache-2.0
"""Running one approved job beside the agent: what a cluster must be able to do, and the loop that drives it.

Two clusters exist: `runners.zone.cluster.RayHead` (the real one) and `runners.zone.local_process.LocalProcess` (the
fake shipped beside it).  Both pass the same contract suite, and both live under a warden (`runners.zone.warden`), so
that nothing is left when the lease is lost, the time is up, or the agent dies.

The job sees none of the agent's environment: its credentials and addresses stay with the agent.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from khatim.errors import Unavailable
from runners.zone import warden

CHECKOUT = Path(__file__).resolve().parents[2]
LOG_LIMIT = 64 * 1024  # characters; the end of a log says why
_POLL_S = 0.2
_CLOSE_S = 20.0
# What a job needs of the agent's environment, and nothing else.
_INHERITED = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "SSL_CERT_FILE")


class JobStatus(StrEnum):
    """How a job stands, or how it ended."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed-out"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen."""
        return self not in {JobStatus.PENDING, JobStatus.RUNNING}


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """How a job ended, the end of what it printed, seconds in all, and seconds until the cluster took the job."""

    status: JobStatus
    logs: str
    seconds: float
    start_seconds: float


class Cluster(Protocol):
    """Where a job runs.  Submitting an id twice runs it once; closing leaves no process and no folder."""

    def submit(self, submission_id: str, module: str, spec_path: Path) -> None:
        """Start ``python -m module spec_path``; an id that is already here is looked up, not run again."""
        ...

    def status(self, submission_id: str) -> JobStatus:
        """Return how the job stands; raises `khatim.errors.Unavailable` when the cluster does not answer."""
        ...

    def logs(self, submission_id: str) -> str:
        """Return the end of what the job printed."""
        ...

    def cancel(self, submission_id: str) -> None:
        """Stop the job; one that has ended is left as it is."""
        ...

    def close(self) -> None:
        """End every process and remove the folder.  May be called twice."""
        ...


class OpenCluster(Protocol):
    """Starts a cluster; calls *alive* while it waits, and gives up when that answers False."""

    def __call__(self, workdir: Path, *, cpus: int, alive: Callable[[], bool]) -> Cluster | None:
        """Return a running cluster of *cpus* processors, or None when *alive* answered False first."""
        ...


class RunJob(Protocol):
    """``run_ray_job`` and ``run_local_job``."""

    def __call__(  # noqa: PLR0913 - a job is exactly these
        self,
        submission_id: str,
        module: str,
        spec_path: Path,
        workdir: Path,
        *,
        cpus: int,
        timeout_s: float,
        heartbeat: Callable[[], bool],
    ) -> JobOutcome:
        """Run one job to its end."""
        ...


def run_job(  # noqa: PLR0913 - a job is exactly these
    open_cluster: OpenCluster,
    submission_id: str,
    module: str,
    spec_path: Path,
    workdir: Path,
    *,
    cpus: int,
    timeout_s: float,
    heartbeat: Callable[[], bool],
) -> JobOutcome:
    """Run ``python -m module spec_path`` in a cluster that lives only for it.

    *submission_id* is ``job-fence``: it names the effect of one lease.  *heartbeat* is called several times a second,
    from the start of the cluster on, in the calling thread; it must be quick.  When it answers False the job is
    cancelled; when it raises, the job is cancelled and the error goes on.  *timeout_s* covers the start as well.
    Raises `khatim.errors.Unavailable` when the cluster does not come up or stops answering.
    """
    began = time.monotonic()
    lost = False

    def alive() -> bool:
        nonlocal lost
        lost = lost or not heartbeat()
        return not lost and time.monotonic() - began < timeout_s

    cluster = open_cluster(workdir, cpus=cpus, alive=alive)
    if cluster is None:
        ended = JobStatus.CANCELLED if lost else JobStatus.TIMED_OUT
        seconds = time.monotonic() - began
        return JobOutcome(ended, "The cluster had not started yet.", seconds, seconds)
    with contextlib.closing(cluster):
        cluster.submit(submission_id, module, spec_path)
        started = time.monotonic() - began
        while not (status := cluster.status(submission_id)).is_final:
            if not alive():
                cluster.cancel(submission_id)
                status = JobStatus.CANCELLED if lost else JobStatus.TIMED_OUT
                break
            time.sleep(_POLL_S)
        logs = cluster.logs(submission_id)
    return JobOutcome(status, logs, time.monotonic() - began, started)


def job_environment(home: Path, **more: str) -> dict[str, str]:
    """Return the environment of a job: a few of the agent's variables, the checkout to import from, and *more*."""
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {**kept, "HOME": str(home), "PYTHONPATH": str(CHECKOUT), "PYTHONUNBUFFERED": "1", **more}


class Warded:
    """A command under a warden.  Its folder is private (0700), short enough for Unix sockets, and goes with it."""

    def __init__(self, prefix: str) -> None:
        """Make the folder; nothing runs yet."""
        root = tempfile.gettempdir()
        # sun_path holds 107 characters, and Ray adds about 65 to its folder (unix(7)).
        self.folder = Path(tempfile.mkdtemp(prefix=prefix, dir=root if len(root) <= 20 else "/tmp"))  # noqa: S108, PLR2004
        self._process: subprocess.Popen[bytes] | None = None
        self._told = b""
        self._kept = ""

    def __enter__(self) -> Self:
        """Return the warded command."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close after an error; otherwise the command lives until `close`."""
        if kind is not None:
            self.close()

    def start(self, command: list[str], environment: Mapping[str, str], cwd: Path) -> None:
        """Start the warden and, below it, *command*."""
        self._process = subprocess.Popen(  # noqa: S603 - our own module, a command made by the caller from constants
            [sys.executable, "-m", "runners.zone.warden", str(self.folder), "--", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(environment),
            cwd=cwd,
            start_new_session=True,
        )
        if self._process.stdout:
            os.set_blocking(self._process.stdout.fileno(), False)

    def exit_code(self) -> int | None:
        """Return the exit code of the command, or None while it runs; raises `Unavailable` when the warden is gone."""
        process = self._process
        if process is None or process.stdout is None:
            raise Unavailable("The job's command was not started.")
        self._told += process.stdout.read() or b""
        if self._told.endswith(b"\n"):
            return int(self._told.removeprefix(warden.EXITED.encode()))
        if process.poll() is not None:
            raise Unavailable("The warden of the job ended unexpectedly.", logs=self.output())
        return None

    def output(self) -> str:
        """Return the end of what the command printed, or what was kept of it at `close`."""
        try:
            return (self.folder / "output.log").read_text(errors="replace")[-LOG_LIMIT:]
        except FileNotFoundError:
            return self._kept

    def close(self) -> None:
        """Let the warden end everything and remove the folder; wait for it."""
        process = self._process
        if process is None:
            with contextlib.suppress(OSError):
                self.folder.rmdir()
            return
        self._kept = self.output()
        for stream in (process.stdin, process.stdout):
            if stream and not stream.closed:
                stream.close()
        try:
            process.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:  # pragma: no cover - only when the kernel cannot end a process
            process.kill()
            process.wait()
