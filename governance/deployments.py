# SPDX-License-Identifier: Apache-2.0
"""Deployments: a version asked to serve in a zone, verified again by its runner, stopped when its approval falls."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from audit.events import moment
from audit.transaction import Transaction
from governance import facts, promotion, queries, work
from governance.deployment_events import DeploymentChanged, DeploymentExpiring, DeploymentRenewed, DeploymentRequested
from governance.tables import Deployment, Finding, Job
from khatim.errors import Conflict, Malformed
from khatim.vocabulary import Action, Digest, JobKind
from khatim.wire import work as wire
from policies import gates
from policies.facts import Transition
from policies.loading import PolicyBundle
from policies.residency import MovementKind
from registry import artifacts
from registry import queries as registered
from registry.notary import Notary
from registry.signing import statements
from registry.tables import ModelVersion


def request(  # noqa: PLR0913 - which version, where, what for, and who judges
    tx: Transaction, path: str, *, zone: str, notary: Notary, rules: PolicyBundle, purpose: str = ""
) -> Deployment:
    """Ask that a version serve in *zone*.  Residency decides first, then the gate; both refusals name their rule."""
    version = registered.numbered(tx, ModelVersion, path)
    tx.require(Action.DEPLOYMENT_REQUEST, version.resource)
    way = (MovementKind.DEPLOY, version.zone, zone)
    decision = artifacts.decide_movement(
        tx, *way, version.tags, rules, purpose=purpose, names=lambda: (version.ref, f"artifact:{version.digest}")
    )
    promotion.require_open(tx, version, Transition.DEPLOY, zone=zone, notary=notary, rules=rules, purpose=purpose)
    row = Deployment(
        id=tx.new_id(),
        version_id=version.id,
        version_ref=version.ref,
        namespace=version.namespace,
        zone=zone,
        state="requested",
        because="",
        finding_id=None,
        endpoint="",
        agent="",
        requested_by=tx.actor.ref,
        requested_at=tx.now,
        changed_at=tx.now,
        tier=registered.tier_of(tx, version),
        runtime=_terms(tx, version, zone, rules),
        approved_until=_approved_until(tx, version, zone, notary, rules),
        assurance=promotion.assurance_of(tx, version, rules=rules),
    )
    tx.add(row)
    tx.record(
        DeploymentRequested(
            about=row.ref,
            namespace=row.namespace,
            zone=zone,
            subject=version.ref,
            purpose=purpose,
            rule=decision.rule,
            because=decision.reason,
            policy=str(rules.digest),
            runtime=row.runtime,
            approved_until=moment(row.approved_until) if row.approved_until else "",
            assurance=row.assurance,
        )
    )
    model = next((file for file in version.files if file["format"] == "onnx"), None)
    if model is None:
        raise Malformed(f"{path} has no ONNX file, which is what runners load", advice="Register it as ONNX.")
    spec = {
        "deployment": str(row.id),
        "version": version.path,
        "digest": version.digest,
        "model": model["digest"],
        "files": version.files,
        "providers": ["CPUExecutionProvider"],
        "features": version.training.get("features", []),
        "seats": promotion.seats_required(tx, version, rules=rules),
        "assurance": row.assurance,
        "policy": str(rules.digest),
        "runtime": row.runtime,
    }
    work.request(tx, JobKind.DEPLOY, namespace=row.namespace, zone=zone, about=row.ref, spec=spec, priority=work.URGENT)
    return row


def started(tx: Transaction, job: Job, outcome: wire.Deployed, *, notary: Notary) -> str:
    """Take in that the runner verified everything and serves; its signed statement says what it verified."""
    row = queries.identified(tx, Deployment, job.spec["deployment"], for_update=True)
    verified = notary.check(outcome.statement, statements.DEPLOYMENT, [Digest.parse(job.spec["model"])], zone=job.zone)
    if row.state != "requested":
        raise Conflict(f"the deployment is {row.state} by now", advice="Stop the endpoint.")
    notary.admit(tx, row.ref, outcome.statement, verified)
    row.endpoint, row.agent = outcome.endpoint, tx.actor.ref
    _change(tx, row, "serving", because="", verification=outcome.verification)
    return row.ref


def failed(tx: Transaction, job: Job, *, because: str) -> None:
    """Note that the runner refused to serve: verification failed there."""
    row = queries.identified(tx, Deployment, job.spec["deployment"], for_update=True)
    if row.state == "requested":
        _change(tx, row, "refused", because=because)


def renew(tx: Transaction, version: ModelVersion, *, notary: Notary, rules: PolicyBundle) -> None:
    """Note for what serves *version* until when its approvals stand now, if that is longer than was known."""
    for row in queries.deployments_of(tx, version.ref):
        if row.state in ("requested", "serving", "suspended"):
            extend(tx, row, _approved_until(tx, version, row.zone, notary, rules))


def extend(tx: Transaction, row: Deployment, until: datetime | None) -> bool:
    """Let a deployment's approvals stand until *until*; return whether that is longer than was known."""
    if until is None or (row.approved_until is not None and until <= row.approved_until):
        return False
    row.approved_until, row.warned_days = until, None
    tx.record(
        DeploymentRenewed(
            about=row.ref, namespace=row.namespace, zone=row.zone, subject=row.version_ref, until=moment(until)
        )
    )  # fmt: skip
    return True


def warn(tx: Transaction, row: Deployment, days: int) -> None:
    """Tell that a deployment's approvals end within *days*; the calling verb asked the permission."""
    row.warned_days = days
    until = moment(row.approved_until) if row.approved_until else ""
    tx.record(
        DeploymentExpiring(
            about=row.ref, namespace=row.namespace, zone=row.zone, subject=row.version_ref, until=until, days=days
        )
    )  # fmt: skip


def _approved_until(
    tx: Transaction, version: ModelVersion, zone: str, notary: Notary, rules: PolicyBundle
) -> datetime | None:
    return gates.approved_until(rules.gates, facts.facts_of(tx, version, zone=zone, notary=notary, rules=rules))


def _terms(tx: Transaction, version: ModelVersion, zone: str, rules: PolicyBundle) -> dict[str, Any]:
    there = rules.zones.get(zone)
    is_airgapped = there is not None and there.is_airgapped
    return rules.runtime.terms(registered.tier_of(tx, version), is_airgapped=is_airgapped).as_members()


def stop(tx: Transaction, name: str, *, because: str) -> Deployment:
    """Stop a deployment; the agent takes the endpoint down within seconds."""
    row = queries.identified(tx, Deployment, name, for_update=True)
    tx.require(Action.DEPLOYMENT_STOP, row.resource)
    if row.state == "stopped":
        raise Conflict("the deployment is stopped already")
    _change(tx, row, "stopped", because=because)
    return row


def suspend(tx: Transaction, row: Deployment, finding: Finding, *, because: str) -> None:
    """Suspend a deployment because of a finding; policy decided it, the calling verb asked the permission.

    One that has not begun to serve is refused: there is nothing that could go on when the finding is resolved.
    """
    if row.state in ("requested", "serving"):
        row.finding_id = finding.id
        _change(tx, row, "suspended" if row.state == "serving" else "refused", because=because)


def serving_others(tx: Transaction, row: Deployment) -> list[Deployment]:
    """Return what else serves the same model in the same zone, newest first: what an endpoint can fall back to."""
    model = row.version_ref.rpartition("@")[0]
    serving = (one for one in queries.deployments_in(tx, row.zone) if one.state == "serving")
    return sorted(
        (one for one in serving if one.id != row.id and one.version_ref.rpartition("@")[0] == model),
        key=lambda one: one.id,
        reverse=True,
    )


def stop_all_of(tx: Transaction, version: ModelVersion, *, because: str) -> None:
    """Stop every deployment of a version that was revoked."""
    for row in queries.deployments_of(tx, version.ref):
        if row.state in ("requested", "serving", "suspended"):
            _change(tx, row, "stopped", because=because)


def halt(tx: Transaction, row: Deployment, *, because: str) -> None:
    """Stop one deployment because of what was revoked; the calling verb asked the permission."""
    if row.state in ("requested", "serving", "suspended"):
        _change(tx, row, "stopped", because=because)


def resume(tx: Transaction, row: Deployment) -> None:
    """Let a suspended deployment serve again; no finding stands against it any more."""
    if row.state == "suspended":
        row.finding_id = None
        _change(tx, row, "serving", because="")


def _change(
    tx: Transaction, row: Deployment, state: str, *, because: str, verification: dict[str, object] | None = None
) -> None:
    row.state, row.because, row.changed_at = state, because, tx.now
    tx.record(
        DeploymentChanged(
            about=row.ref,
            namespace=row.namespace,
            zone=row.zone,
            subject=row.version_ref,
            state=state,
            because=because,
            endpoint=row.endpoint,
            finding=str(row.finding_id or ""),
            verification=verification,
        )
    )
