# SPDX-License-Identifier: Apache-2.0
"""Revoking with its consequences: what rests on what is revoked stops, in the same transaction.

Which deployments stop is not guessed from names: those whose own statement falls, and those whose version does not
pass the gate to deploy any more.  A version that stands on another statement of the same kind goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, Text, cast, or_, select

from audit.transaction import Reader, Transaction
from governance import aftermath, deployments, promotion
from governance.tables import Deployment, Job
from khatim.vocabulary import JobState, Revoked
from khatim.wire import answers, requests
from khatim.wire import revocations as wire_revocations
from policies.facts import Transition
from policies.loading import PolicyBundle
from registry import lineage, revocation_drafts, revocations
from registry import queries as registered
from registry.notary import Notary
from registry.revocation_drafts import Draft
from registry.revocation_tables import RevocationRow
from registry.signing.revocation import digests_in
from registry.tables import DatasetVersion, FeatureViewVersion, ModelVersion, Statement

_RUNS = ("requested", "serving", "suspended")
_WAITS = (JobState.QUEUED.value, JobState.LEASED.value)


@dataclass(frozen=True)
class Touched:
    """What a revocation reaches: statements that fall, versions made from it, deployments of these, work under way."""

    statements: list[Statement]
    versions: list[ModelVersion]
    deployments: list[Deployment]
    jobs: list[Job]

    @property
    def refs(self) -> list[str]:
        """Return references: what the ledger names."""
        named = [*(row.about for row in self.statements), *(row.ref for row in self.versions)]
        return sorted({*named, *(row.ref for row in self.deployments), *(row.ref for row in self.jobs)})


def told(found: Touched) -> wire_revocations.Touched:
    """Return what is reached as it goes out."""
    return wire_revocations.Touched(
        statements=[wire_revocations.Struck.model_validate(row) for row in found.statements],
        versions=[row.ref for row in found.versions],
        deployments=[answers.Deployment.model_validate(row) for row in found.deployments],
        jobs=[answers.Job.model_validate(row) for row in found.jobs],
    )


def preview(reader: Reader, body: requests.Revoke, *, notary: Notary) -> Touched:
    """Say what a revocation would reach; changes nothing, and asks the same permission."""
    what = _read(reader, body, notary)
    reader.require(what.action, what.resource)
    return touched_by(reader, what)


def revoke(tx: Transaction, body: requests.Revoke, *, notary: Notary, rules: PolicyBundle) -> RevocationRow:
    """Revoke, stop what may not serve any more, and call off work on revoked bytes."""
    what = _read(tx, body, notary)
    tx.require(what.action, what.resource)
    reached = touched_by(tx, what)
    row, is_new = revocations.record(tx, what, because=body.because, touched=reached.refs)
    if is_new:
        with tx.whole():
            _stop(tx, reached, f"revoked ({what.kind.value}): {body.because}", notary, rules)
    return row


def _stop(tx: Transaction, reached: Touched, because: str, notary: Notary, rules: PolicyBundle) -> None:
    fallen = {one.about for one in reached.statements}
    for deployment in reached.deployments:
        if deployment.ref in fallen or not _may_serve(tx, deployment, reached.versions, notary, rules):
            deployments.halt(tx, deployment, because=because)
    for job in reached.jobs:
        aftermath.call_off(tx, job, because=because)


def touched_by(reader: Reader, what: Draft) -> Touched:
    """Return everything that the revocation reaches, whether or not it can go on without it."""
    with reader.whole():  # it reaches whatever rests on it, in whose namespace it stands
        statements = revocation_drafts.struck(reader, what.as_if(reader.now))
        made = [row.about for row in statements]
        if what.kind is Revoked.ARTIFACT:
            made += _made_of(reader, what.target)
        below = lineage.below(reader, made)
        versions = registered.versions_named(reader, [ref for ref in below if ref.startswith(f"{ModelVersion.KIND}:")])
        return Touched(statements, versions, _serving(reader, versions, made), _jobs(reader, what))


def _read(reader: Reader, body: requests.Revoke, notary: Notary) -> Draft:
    # Timestamp authorities tell whole seconds: a cut-off within one must cover what was signed later in it.
    since = None if body.from_the_beginning else (body.since or reader.now).replace(microsecond=0)
    return revocation_drafts.read(reader, body.kind, body.target, since, instance=notary.instance)


def _made_of(reader: Reader, digest: str) -> list[str]:
    """Return what these bytes are, or are a file of."""
    refs = [f"artifact:{digest}"]
    for table in (DatasetVersion, FeatureViewVersion, ModelVersion):
        refs += [row.ref for row in reader.scalars(select(table).where(table.digest == digest))]
    files = select(ModelVersion).where(ModelVersion.manifest.contains({"files": [{"digest": digest}]}))
    return [*refs, *(row.ref for row in reader.scalars(files))]


def _serving(reader: Reader, versions: list[ModelVersion], made: list[str]) -> list[Deployment]:
    own = [ref.rpartition("/")[2] for ref in made if ref.startswith("deployment:")]
    of_these = or_(Deployment.version_ref.in_([row.ref for row in versions]), cast(Deployment.id, Text).in_(own))
    query = select(Deployment).where(Deployment.state.in_(_RUNS), of_these).order_by(Deployment.id)
    return list(reader.scalars(_locked(reader, query)))


def _jobs(reader: Reader, what: Draft) -> list[Job]:
    """Return the work under way whose specification names the bytes; an agent that is barred finds out by itself."""
    if what.kind is not Revoked.ARTIFACT:
        return []
    waiting = select(Job).where(Job.state.in_(_WAITS)).order_by(Job.number)
    return [job for job in reader.scalars(_locked(reader, waiting)) if what.target in digests_in(job.spec)]


def _locked(reader: Reader, query: Select[Any]) -> Select[Any]:
    """Return *query* so that what is about to change stays as it is read; a preview locks nothing."""
    return query.with_for_update() if isinstance(reader, Transaction) else query


def _may_serve(
    tx: Transaction, row: Deployment, versions: list[ModelVersion], notary: Notary, rules: PolicyBundle
) -> bool:
    version = next(one for one in versions if one.ref == row.version_ref)
    return bool(promotion.gate_of(tx, version, Transition.DEPLOY, zone=row.zone, notary=notary, rules=rules))
