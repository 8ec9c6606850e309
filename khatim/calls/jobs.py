# SPDX-License-Identifier: Apache-2.0
"""Jobs: the work that zones were asked to do."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator

from khatim.calls import addresses
from khatim.calls.connection import PAGE, Connection, body
from khatim.errors import Conflict, KhatimError, Unavailable, from_problem
from khatim.vocabulary import JobState
from khatim.wire import answers, requests

FIRST_POLL_S = 0.1
LONGEST_POLL_S = 1.0
SLOWER = 1.3
WAITING = frozenset({JobState.QUEUED.value, JobState.LEASED.value})


class Jobs:
    """Jobs."""

    def __init__(self, connection: Connection) -> None:
        """Call through *connection*."""
        self._connection = connection

    def get(self, job: str | uuid.UUID) -> answers.Job:
        """Return one job."""
        return self._connection.ask(answers.Job, addresses.identified("jobs", job))

    def list(self) -> Iterator[answers.Job]:
        """Yield the jobs, newest first."""
        return self._connection.pages(answers.Job, "/v1/jobs", {"limit": PAGE})

    def cancel(self, job: str | uuid.UUID, *, because: str) -> answers.Job:
        """Cancel a job that has not ended."""
        where = addresses.identified("jobs", job)
        return self._connection.send(answers.Job, f"{where}/cancellation", body(requests.Reason, because=because))

    def wait(
        self,
        job: answers.Job | str | uuid.UUID,
        *,
        timeout_s: float = 600,
        watch: Callable[[answers.Job], None] | None = None,
    ) -> answers.Job:
        """Return the job when it is done; *watch* is called with what each look finds.

        A job that failed raises the error that its agent met, of the very class it had there, with the job's id as
        the member ``job``.  Raises `Conflict` when it was cancelled and `Unavailable` after *timeout_s* seconds.
        """
        name = job.id if isinstance(job, answers.Job) else job
        until, pause = time.monotonic() + timeout_s, FIRST_POLL_S
        while (found := self.get(name)).state in WAITING:
            if watch:
                watch(found)
            if time.monotonic() > until:
                raise Unavailable(
                    f"the {found.kind} job {found.id} is still {found.state} after {timeout_s:g} s",
                    advice=f"Does an agent run in zone {found.zone}?",
                    job=str(found.id),
                )
            self._connection.sleep(pause)
            pause = min(pause * SLOWER, LONGEST_POLL_S)
        if found.state != JobState.DONE.value:
            raise failure_of(found)
        return found


def made_by(job: answers.Job) -> str:
    """Return the reference of what a job that is done has made: ``dataset:oncology/wdbc@1``."""
    return str(job.outcome.get("made", ""))


def failure_of(job: answers.Job) -> KhatimError:
    """Return the error of a job that failed or was cancelled."""
    told = f"the {job.kind} job {job.id} {job.state}: {job.error or 'no reason was given'}"
    if job.state == JobState.CANCELLED.value:
        return Conflict(told, job=str(job.id))
    problem = job.outcome.get("problem") or {}
    return from_problem({**problem, "detail": told, "job": str(job.id)}, int(problem.get("status", 500)))
