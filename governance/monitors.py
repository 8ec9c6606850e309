# SPDX-License-Identifier: Apache-2.0
"""Monitors: what flows through an endpoint compared with what the model learnt from, and what policy makes of it."""

from __future__ import annotations

from audit.canonical import canonical
from audit.transaction import Transaction
from governance import findings, queries, reacting, work
from governance.events import MonitorRan
from governance.tables import Deployment, Job, MonitorRun
from khatim.errors import Conflict, Malformed
from khatim.vocabulary import Action, Digest, JobKind, Resource, Severity
from khatim.wire import work as wire
from policies.loading import PolicyBundle
from policies.runtime import RuntimeEvent
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
    """Take in the results; on drift open a finding and do what was agreed for the endpoint."""
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
    effect = reacting.effect_on(tx, row, RuntimeEvent.DRIFT)
    drifted = sorted({f for result in run.results for f in result.get("drifted", [])})
    finding = findings.open_(
        tx,
        about=Resource("deployment", str(row.id), row.namespace, row.zone),
        kind="drift",
        severity=Severity.HIGH,
        summary=f"inputs of {version.path} have drifted in {len(drifted)} features",
        details={"monitor_run": str(run.id), "features": drifted, "version": version.ref},
        consequence=effect.do,
        rule=f"runtime/{RuntimeEvent.DRIFT.value}",
        rules=rules.findings,
        owner=version.registered_by,
    )
    reacting.apply(tx, row, effect, finding, because=f"drift: finding {finding.id}")
