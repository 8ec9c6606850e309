# SPDX-License-Identifier: Apache-2.0
"""What follows when work ends without an outcome: whoever waited for it must not wait for ever."""

from __future__ import annotations

from audit.transaction import Transaction
from governance import deployments, queries, work
from governance.tables import Job
from khatim.vocabulary import JobKind, VersionStatus
from registry import queries as registered
from registry import versions
from registry.tables import ModelVersion


def follow(tx: Transaction, job: Job, *, because: str) -> None:
    """Let a deployment be refused, or a version's registration fail, when their job will bring nothing any more."""
    if job.kind == JobKind.DEPLOY.value:
        deployments.failed(tx, job, because=because)
    if job.kind == JobKind.SCAN.value:
        version = registered.numbered(tx, ModelVersion, job.spec["version"], for_update=True)
        if version.status == VersionStatus.PENDING.value:
            versions.give_up_scan(tx, version, because=because)


def call_off(tx: Transaction, job: Job, *, because: str) -> Job:
    """Cancel a job because of a revocation, and say so to whoever waited for it; the caller asked the permission."""
    ended = work.call_off(tx, job, because=because)
    follow(tx, ended, because=because)
    return ended


def cancel(tx: Transaction, name: str, *, because: str) -> Job:
    """Cancel a job that has not ended, and say so to whoever waited for it."""
    job = work.cancel(tx, queries.identified(tx, Job, name, for_update=True), because=because)
    follow(tx, job, because=f"cancelled: {because}")
    return job
