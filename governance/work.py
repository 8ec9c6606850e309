# SPDX-License-Identifier: Apache-2.0
"""Asking a zone for work: governance inserts the job in its own transaction; runners hand it out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit.canonical import canonical
from audit.transaction import Transaction
from governance.events import JobEnded, JobRequested
from governance.tables import Job
from khatim.errors import Conflict
from khatim.vocabulary import Action, Digest, JobKind, JobState
from registry import standing
from registry.signing.revocation import digests_in

NORMAL, URGENT = 100, 10


def spec_digest(spec: Mapping[str, Any]) -> str:
    """Return the digest of a job's specification, as the signed envelope binds it."""
    return str(Digest.of(canonical(spec)))


def request(  # noqa: PLR0913 - a job is its kind, its place, its subject and its specification
    tx: Transaction,
    kind: JobKind,
    *,
    namespace: str,
    zone: str,
    about: str,
    spec: Mapping[str, Any],
    by: str = "",
    priority: int = NORMAL,
    also: tuple[str, ...] = (),
) -> Job:
    """Ask *zone* for work.  The calling verb has asked the permission; *by* defaults to the actor.

    Raises `RevokedRefused` for work on revoked bytes.

    *also* names further rows that change with the request (an authorisation's count of runs).
    """
    standing.require_usable(tx, digests_in(spec), f"no {kind.value} job may be asked for")
    job = Job(
        id=tx.new_id(),
        kind=kind.value,
        namespace=namespace,
        zone=zone,
        about=about,
        spec=dict(spec),
        priority=priority,
        state=JobState.QUEUED.value,
        requested_by=by or tx.actor.ref,
        requested_at=tx.now,
    )
    tx.add(job)
    tx.record(
        JobRequested(
            about=job.ref,
            also=also,
            namespace=namespace,
            zone=zone,
            job_kind=kind.value,
            subject=about,
            spec=spec_digest(spec),
        )
    )
    return job


def cancel(tx: Transaction, job: Job, *, because: str) -> Job:
    """Cancel a job that has not ended; an agent that holds it learns of it at its next heartbeat."""
    tx.require(Action.JOB_CANCEL, job.resource)
    return call_off(tx, job, because=because)


def call_off(tx: Transaction, job: Job, *, because: str) -> Job:
    """Cancel a job whose ground was taken away; the calling verb asked the permission."""
    if job.state not in (JobState.QUEUED.value, JobState.LEASED.value):
        raise Conflict(f"the job has ended: {job.state}")
    job.state, job.error, job.ended_at = JobState.CANCELLED.value, because, tx.now
    tx.record(
        JobEnded(about=job.ref, namespace=job.namespace, zone=job.zone, state=job.state, fence=job.fence, error=because)
    )
    return job
