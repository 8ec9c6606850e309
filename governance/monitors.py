# SPDX-License-Identifier: Apache-2.0
"""Monitors: what flows through an endpoint compared with what the model learnt from, and what policy makes of it."""

from __future__ import annotations

from typing import assert_never

from audit.canonical import canonical
from audit.transaction import Transaction
from governance import approvals, deployments, findings, queries, work
from governance.events import MonitorRan
from governance.tables import Deployment, Job, MonitorRun
from khatim.errors import Conflict, Malformed
from khatim.vocabulary import Action, Digest, JobKind, Resource
from khatim.wire import work as wire
from policies.loading import PolicyBundle
from policies.runtime import Reaction, RuntimeEvent
from registry import queries as registered
from registry.tables import ModelVersion


def request(tx: Transaction, name: str) -> Job:
    """Ask the deployment's zone to compare captured inputs with the model's reference."""
    row = queries.identified(tx, Deployment, name)
    tx.require(Action.MONITOR_RUN, row.resource)
    version = registered.numbered(tx, ModelVersion, row.version_ref.partition(":")[2])
    if row.state != "serving":
        raise Conflict(f"the deployment is {row.state}; nothing flows through it")
    if "reference" not in version.training:
        raise Malformed(f"{version.path} has no reference data to compare with")
    spec = {
        "deployment": str(row.id),
        "version": version.path,
        "reference": version.training["reference"],
        "features": version.training["features"],
        "seed": 0,
    }
    return work.request(
        tx, JobKind.MONITOR, namespace=row.namespace, zone=row.zone, about=row.ref, spec=spec, priority=work.URGENT
    )


def submit(tx: Transaction, job: Job, outcome: wire.Monitored, *, rules: PolicyBundle) -> str:
    """Take in the results; on drift open a finding and do what the approved runtime policy says."""
    row = queries.identified(tx, Deployment, job.spec["deployment"], for_update=True)
    is_drift = any(bool(result["is_drift"]) for result in outcome.results)
    run = MonitorRun(id=tx.new_id(), deployment_id=row.id, is_drift=is_drift, results=outcome.results, at=tx.now)
    tx.add(run)
    tx.record(
        MonitorRan(
            about=run.ref,
            namespace=row.namespace,
            zone=row.zone,
            deployment=row.ref,
            is_drift=is_drift,
            engines=[str(result["engine"]) for result in outcome.results],
            results=str(Digest.of(canonical(outcome.results))),
        )
    )
    if is_drift:
        _follow(tx, row, run, rules)
    return run.ref


def _follow(tx: Transaction, row: Deployment, run: MonitorRun, rules: PolicyBundle) -> None:
    version = registered.numbered(tx, ModelVersion, row.version_ref.partition(":")[2], for_update=True)
    tier = registered.tier_of(tx, version)
    others = deployments.serving_others(tx, row)
    effect = rules.runtime.effect(RuntimeEvent.DRIFT, tier, since=tx.now, at=tx.now, has_fallback=bool(others))
    drifted = sorted({f for result in run.results for f in result.get("drifted", [])})
    finding = findings.open_(
        tx,
        about=Resource("deployment", str(row.id), row.namespace, row.zone),
        kind="drift",
        severity="high",
        summary=f"inputs of {version.path} have drifted in {len(drifted)} features",
        details={"monitor_run": str(run.id), "features": drifted, "version": version.ref},
        consequence=effect.do.value,
        rule=f"runtime/{RuntimeEvent.DRIFT.value}",
    )
    because = f"drift: finding {finding.id}"
    match effect.do:
        case Reaction.SUSPEND:
            approvals.suspend_all(tx, version, finding=finding.ref, rule="runtime/drift", because=because)
            for deployment in queries.deployments_of(tx, version.ref):
                deployments.suspend(tx, deployment, finding, because=because)
        case Reaction.STOP:
            deployments.suspend(tx, row, finding, because=because)
        case Reaction.FALL_BACK:
            # The zone's other version answers for the model from now on; a person decides about this one.
            deployments.suspend(tx, row, finding, because=f"{because}; {others[0].version_ref} answers instead")
        case Reaction.WARN | Reaction.SERVE_UNTIL:
            pass
        case _:
            assert_never(effect.do)
