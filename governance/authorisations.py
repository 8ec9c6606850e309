# SPDX-License-Identifier: Apache-2.0
"""Standing training authorisations: what may be trained, on what, with which code, where, how often, until when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from audit.events import moment
from audit.transaction import Transaction
from governance import queries, work
from governance.events import AuthorisationApproved, AuthorisationRequested, AuthorisationRevoked
from governance.tables import Authorisation, Job
from khatim.errors import Conflict, Malformed, OutsideAuthorisation, SeparationOfDuties
from khatim.vocabulary import Action, Digest, JobKind, Resource
from policies import training as rules_of_training
from policies.loading import PolicyBundle
from policies.residency import MovementKind
from registry import accounts, artifacts
from registry import queries as registered
from registry.naming import Path, checked
from registry.tables import DatasetVersion, FeatureViewVersion

FOREVER = datetime(9999, 1, 1, tzinfo=UTC)  # what lies beyond cannot be written in every offset from UTC


def request(  # noqa: PLR0913 - the terms of an authorisation
    tx: Transaction,
    namespace: str,
    *,
    datasets: Sequence[str],
    purpose: str,
    code_digest: str,
    zone: str,
    budget_runs: int,
    ends_at: datetime,
) -> Authorisation:
    """Ask for an authorisation; another person must approve it."""
    tx.require(Action.AUTHORISATION_REQUEST, Resource("authorisation", "new", checked(namespace, "namespace"), zone))
    if ends_at.tzinfo is None or not tx.now < ends_at < FOREVER:
        raise Malformed("ends_at must be a moment in the future, with its offset from UTC")
    known = [registered.numbered(tx, DatasetVersion, path) for path in datasets]
    if any(dataset.zone != zone for dataset in known):
        raise Malformed(f"every dataset of the authorisation must stand in zone {zone}")
    row = Authorisation(
        id=tx.new_id(),
        namespace=namespace,
        datasets=[dataset.path for dataset in known],
        purpose=purpose,
        code_digest=code_digest,
        zone=zone,
        budget_runs=budget_runs,
        runs_used=0,
        ends_at=ends_at,
        requested_by=tx.actor.ref,
        requested_at=tx.now,
        state="requested",
        approved_by=None,
        because="",
    )
    tx.add(row)
    terms = {
        "datasets": row.datasets,
        "purpose": purpose,
        "code_digest": code_digest,
        "budget_runs": budget_runs,
        "ends_at": moment(ends_at),
    }
    tx.record(AuthorisationRequested(about=row.ref, namespace=namespace, zone=zone, terms=terms))
    return row


def approve(tx: Transaction, name: str, *, because: str, rules: PolicyBundle) -> Authorisation:
    """Approve it.  Raises `SeparationOfDuties` when the requester tries."""
    row = queries.identified(tx, Authorisation, name, for_update=True)
    tx.require(Action.AUTHORISATION_APPROVE, row.resource)
    if accounts.is_actor(tx, row.requested_by):
        raise SeparationOfDuties(
            "you asked for this authorisation; another person must approve it", rule="sod/requester"
        )
    if row.state != "requested":
        raise Conflict(f"the authorisation is {row.state}")
    row.state, row.approved_by, row.because = "approved", tx.actor.ref, because
    tx.record(
        AuthorisationApproved(
            about=row.ref, namespace=row.namespace, zone=row.zone, because=because, policy=str(rules.digest)
        )
    )
    return row


def revoke(tx: Transaction, name: str, *, because: str) -> Authorisation:
    """Take it back."""
    row = queries.identified(tx, Authorisation, name, for_update=True)
    tx.require(Action.AUTHORISATION_REVOKE, row.resource)
    if row.state == "revoked":
        raise Conflict("the authorisation is revoked already")
    row.state, row.because = "revoked", because
    tx.record(AuthorisationRevoked(about=row.ref, namespace=row.namespace, zone=row.zone, because=because))
    return row


def train(  # noqa: PLR0913 - the terms of one run
    tx: Transaction,
    name: str,
    *,
    features: str,
    model: str,
    purpose: str,
    code_digest: str,
    parameters: Mapping[str, Any],
    holdout_share: float,
    seed: int,
    rules: PolicyBundle,
) -> Job:
    """Start a run inside an authorisation.  Raises `OutsideAuthorisation` with the term that it breaks."""
    row = queries.identified(tx, Authorisation, name, for_update=True)
    view = registered.numbered(tx, FeatureViewVersion, features)
    target = Path.parse(model)
    tx.require(
        Action.TRAINING_REQUEST, Resource("version", target.name, target.namespace, view.zone, frozenset(view.tags))
    )
    dataset = view.dataset_ref.partition(":")[2]
    decision = rules_of_training.inside(
        terms_of(row),
        rules_of_training.TrainingRun(
            datasets=frozenset({dataset}), purpose=purpose, code=Digest.parse(code_digest), zone=view.zone
        ),
        tx.now,
        policy=str(rules.digest),
    )
    if decision and target.namespace != row.namespace:
        raise OutsideAuthorisation(
            f"the authorisation is for models of {row.namespace}, not of {target.namespace}",
            rule="training/namespace",
            policy=str(rules.digest),
        )
    if not decision:
        raise OutsideAuthorisation(decision.reason, advice=decision.advice, **decision.as_members())
    artifacts.decide_movement(tx, MovementKind.DISPATCH, view.zone, view.zone, view.tags, rules)
    row.runs_used += 1
    spec = {
        "authorisation": str(row.id),
        "namespace": target.namespace,
        "name": target.name,
        "features": view.path,
        "features_digest": view.digest,
        "dataset": dataset,
        "dataset_digest": registered.numbered(tx, DatasetVersion, dataset).digest,
        "view": view.spec,
        "purpose": purpose,
        "code_digest": code_digest,
        "parameters": dict(parameters),
        "holdout_share": holdout_share,
        "seed": seed,
        "tags": view.tags,
    }
    return work.request(
        tx,
        JobKind.TRAIN,
        namespace=target.namespace,
        zone=view.zone,
        about=f"model:{target}",
        spec=spec,
        also=(row.ref,),
    )


def terms_of(row: Authorisation) -> rules_of_training.TrainingAuthorisation:
    """Return the authorisation as the pure rules read it."""
    return rules_of_training.TrainingAuthorisation(
        ref=row.ref,
        datasets=frozenset(row.datasets),
        purpose=row.purpose,
        code=Digest.parse(row.code_digest),
        zone=row.zone,
        budget=rules_of_training.Budget(runs=row.budget_runs),
        starts=row.requested_at,
        ends=row.ends_at,
        requester=row.requested_by,
        approver=row.approved_by or "",
        revoked_at=row.requested_at if row.state == "revoked" else None,
        used_runs=row.runs_used,
    )
