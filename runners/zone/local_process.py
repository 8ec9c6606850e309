# SPDX-License-Identifier: Apache-2.0
"""The fake cluster, shipped beside the real one: each job is a process of its own on this machine, without Ray."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path

from khatim.errors import NotFound
from runners.zone.execution import JobStatus, RunJob, Warded, job_environment, run_job


class LocalProcess:
    """A cluster of single processes, each under its own warden."""

    def __init__(self, workdir: Path) -> None:
        """Start nothing; *workdir* becomes the home and the working folder of the jobs."""
        self._workdir = workdir
        self._jobs: dict[str, Warded] = {}
        self._cancelled: set[str] = set()

    @classmethod
    def open(cls, workdir: Path, *, cpus: int, alive: Callable[[], bool]) -> LocalProcess:  # noqa: ARG003
        """Return a cluster; nothing has to start, and a process takes the processors it finds."""
        return cls(workdir)

    def submit(self, submission_id: str, module: str, spec_path: Path) -> None:
        """Start the module in a process; an id that is already here is left alone."""
        if submission_id in self._jobs:
            return
        with Warded("kp-") as job:
            command = [sys.executable, "-m", module, str(spec_path), "--on", "process"]
            job.start(command, job_environment(self._workdir), self._workdir)
        self._jobs[submission_id] = job

    def status(self, submission_id: str) -> JobStatus:
        """Return how the job stands."""
        job = self._job(submission_id)
        if submission_id in self._cancelled:
            return JobStatus.CANCELLED
        code = job.exit_code()
        if code is None:
            return JobStatus.RUNNING
        return JobStatus.FAILED if code else JobStatus.SUCCEEDED

    def logs(self, submission_id: str) -> str:
        """Return the end of what the job printed."""
        return self._job(submission_id).output()

    def cancel(self, submission_id: str) -> None:
        """End the job's processes; what it printed is kept."""
        if not self.status(submission_id).is_final:
            self._cancelled.add(submission_id)
            self._job(submission_id).close()

    def close(self) -> None:
        """End all jobs."""
        for job in self._jobs.values():
            job.close()

    def _job(self, submission_id: str) -> Warded:
        if submission_id not in self._jobs:
            raise NotFound(f"No job {submission_id} was submitted here.")
        return self._jobs[submission_id]


run_local_job: RunJob = functools.partial(run_job, LocalProcess.open)
"""Run one job as a plain process: the same arguments and outcome as `runners.zone.cluster.run_ray_job`."""
