# SPDX-License-Identifier: Apache-2.0
"""Handing out work under leases with fencing tokens (Kleppmann 2016): who lost the lease cannot complete the job.

A job runs at least once; its result counts exactly once, because completion compares the fence.  The clock of every
lease is the database's.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert

from audit.transaction import Transaction
from governance import aftermath, queries
from governance.events import JobClaimed, JobEnded, JobRequeued
from governance.tables import Job
from governance.work import spec_digest
from khatim import tokens
from khatim.errors import NotFound, StaleFence
from khatim.vocabulary import Action, JobState
from khatim.wire import work as wire
from registry import standing
from registry.signing import identity
from registry.signing.revocation import digests_in
from runners import agents
from runners.agents import TokenIssuer
from runners.tables import Lease

LEASE = timedelta(seconds=30)
MAX_ATTEMPTS = 3


def claim(tx: Transaction, *, issuer: TokenIssuer) -> wire.Work | None:
    """Give the next job of the agent's zone to the acting agent, or None when nothing waits.

    Raises `RevokedRefused` for an agent whose identity is revoked; work on revoked bytes is called off.
    """
    agent = agents.of_actor(tx)
    standing.require_in_office(tx, identity.agent(issuer.instance, agent.zone, str(agent.id)))
    agents.note_presence(tx)
    _requeue_expired(tx, agent.zone)
    waiting = select(Job).where(Job.zone == agent.zone, Job.state == JobState.QUEUED.value)
    job: Job | None = tx.scalar(waiting.order_by(Job.priority, Job.number).limit(1).with_for_update(skip_locked=True))
    if job is None or _is_barred(tx, job):
        return None
    job.fence, job.attempts = job.fence + 1, job.attempts + 1
    job.state, job.agent = JobState.LEASED.value, tx.actor.ref
    lease_until = _renewed(tx, job.id, job.fence)
    tx.record(
        JobClaimed(
            about=job.ref,
            namespace=job.namespace,
            zone=job.zone,
            agent=agent.ref,
            fence=job.fence,
            attempt=job.attempts,
        )
    )
    envelope = tokens.issue(
        issuer.key,
        kind="job",
        subject=str(job.id),
        audience=f"zone:{job.zone}",
        issuer=issuer.issuer,
        at=tx.now,
        ttl=timedelta(hours=6),
        job_kind=job.kind,
        fence=job.fence,
        spec=spec_digest(job.spec),
        agent=agent.ref,
    )
    return wire.Work(
        id=str(job.id),
        kind=job.kind,
        about=job.about,
        spec=job.spec,
        fence=job.fence,
        lease_until=lease_until,
        envelope=envelope,
    )


def heartbeat(tx: Transaction, name: str, fence: int) -> wire.Lease:
    """Renew the lease; the answer tells an agent to stop when the job was cancelled.  Raises `StaleFence`."""
    job = _held(tx, name, fence, states=(JobState.LEASED, JobState.CANCELLED))
    agents.note_presence(tx)
    if job.state == JobState.CANCELLED.value:
        return wire.Lease(order="cancel", lease_until=tx.now)
    return wire.Lease(order="continue", lease_until=_renewed(tx, job.id, fence))


def held(tx: Transaction, name: str, fence: int) -> Job:
    """Return the job, locked, when the acting agent holds it under *fence*; raises `StaleFence` otherwise."""
    return _held(tx, name, fence, states=(JobState.LEASED,))


def end(tx: Transaction, job: Job, *, outcome: str) -> Job:
    """Mark a held job done; *outcome* references what it made."""
    return _ended(tx, job, JobState.DONE, outcome=outcome)


def fail(tx: Transaction, name: str, failed: wire.Failed) -> Job:
    """Note that a held job failed; put it back into the queue when that may help and attempts are left.

    When it has failed for good, a deployment is refused and a registration fails, with the runner's reason.
    """
    job = held(tx, name, failed.fence)
    if failed.retry and job.attempts < MAX_ATTEMPTS:
        return _requeued(tx, job)
    job.error = failed.error
    job.outcome = {"problem": failed.problem} if failed.problem else {}
    _ended(tx, job, JobState.FAILED)
    aftermath.follow(tx, job, because=job.error)
    return job


def _held(tx: Transaction, name: str, fence: int, *, states: tuple[JobState, ...]) -> Job:
    agents.of_actor(tx)
    job = queries.identified(tx, Job, name, for_update=True)
    tx.require(Action.JOB_REPORT, job.resource)
    if job.fence != fence or job.agent != tx.actor.ref or job.state not in states:
        raise StaleFence(f"fence {fence} is not the job's: it is {job.state} under fence {job.fence}", fence=job.fence)
    return job


def _ended(tx: Transaction, job: Job, state: JobState, *, outcome: str = "") -> Job:
    job.state, job.ended_at = state.value, tx.now
    if outcome:
        job.outcome = {**job.outcome, "made": outcome}
    tx.execute(delete(Lease).where(Lease.job_id == job.id))
    tx.record(
        JobEnded(
            about=job.ref,
            namespace=job.namespace,
            zone=job.zone,
            state=job.state,
            fence=job.fence,
            outcome=outcome,
            error=job.error,
        )
    )
    return job


def _requeued(tx: Transaction, job: Job) -> Job:
    before, job.state, job.agent = job.agent, JobState.QUEUED.value, ""
    tx.execute(delete(Lease).where(Lease.job_id == job.id))
    tx.record(JobRequeued(about=job.ref, namespace=job.namespace, zone=job.zone, agent=before, fence=job.fence))
    return job


def _requeue_expired(tx: Transaction, zone: str) -> None:
    expired = select(Job).join(Lease, Lease.job_id == Job.id)
    expired = expired.where(Job.zone == zone, Job.state == JobState.LEASED.value, Lease.lease_until < func.now())
    for job in tx.scalars(expired.limit(10).with_for_update(of=Job, skip_locked=True)).all():
        if job.attempts < MAX_ATTEMPTS:
            _requeued(tx, job)
        else:
            job.error = f"gave up after {job.attempts} attempts: the lease ran out each time"
            _ended(tx, job, JobState.FAILED)
            aftermath.follow(tx, job, because=job.error)


def _is_barred(tx: Transaction, job: Job) -> bool:
    """Whether a job may not be handed out: it works on bytes that were revoked since it was asked for."""
    verdict = standing.book_of(tx).forbids(digests_in(job.spec), tx.now)
    if not verdict.holds:
        aftermath.call_off(tx, job, because=verdict.sentence)
    return not verdict.holds


def _renewed(tx: Transaction, job_id: uuid.UUID, fence: int) -> datetime:
    until = func.now() + LEASE
    row = insert(Lease).values(job_id=job_id, agent=tx.actor.ref, fence=fence, lease_until=until)
    row = row.on_conflict_do_update(
        index_elements=["job_id"], set_={"agent": tx.actor.ref, "fence": fence, "lease_until": until}
    )
    renewed: datetime | None = tx.execute(row.returning(Lease.lease_until)).scalar()
    if renewed is None:
        raise NotFound(f"there is no job {job_id}")
    return renewed
