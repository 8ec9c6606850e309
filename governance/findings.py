# SPDX-License-Identifier: Apache-2.0
"""Findings: opened by monitors, by the ledger's own patterns or by people, owned, due, resolved, never deleted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select

from audit.events import moment
from audit.transaction import Transaction
from governance import approvals, deployments, queries, reacting
from governance.finding_events import FindingAssigned, FindingOpened, FindingOverdue, FindingResolved
from governance.tables import Deployment, Finding
from khatim.errors import Conflict, Malformed, SeparationOfDuties
from khatim.vocabulary import Action, Digest, Resource, Severity
from khatim.wire import findings as wire
from policies.findings import FindingRules
from policies.requirements import Separation
from policies.runtime import Reaction
from registry import accounts
from registry import queries as registered
from registry.tables import ModelVersion

REPORTED = "reported"


def open_(  # noqa: PLR0913 - the columns of one finding
    tx: Transaction,
    *,
    about: Resource,
    kind: str,
    severity: Severity,
    summary: str,
    details: Mapping[str, Any],
    consequence: Reaction,
    rule: str,
    rules: FindingRules,
    owner: str = "",
    due_at: datetime | None = None,
) -> Finding:
    """Open a finding about a resource, which *owner* answers for; the calling verb asked the permission."""
    row = Finding(
        id=tx.new_id(),
        about=str(about),
        namespace=about.namespace,
        zone=about.zone,
        kind=kind,
        severity=severity.value,
        summary=summary,
        details=dict(details),
        consequence=consequence.value,
        state="open",
        opened_at=tx.now,
        opened_by=tx.actor.ref,
        owner=owner,
        due_at=due_at or rules.due(severity, tx.now),
    )
    tx.add(row)
    tx.record(
        FindingOpened(
            about=row.ref,
            namespace=row.namespace,
            zone=row.zone,
            finding_kind=kind,
            severity=row.severity,
            subject=row.about,
            consequence=row.consequence,
            rule=rule,
            due_at=moment(row.due_at),
            owner=row.owner,
            summary_digest=str(Digest.of(summary.encode())),
        )
    )
    return row


def report(tx: Transaction, body: wire.OpenFinding, *, rules: FindingRules) -> Finding:
    """Open a finding about a version or a deployment, by a person; with `suspend` its approvals do not count meanwhile.

    Raises `Forbidden` for whoever may not open, or not suspend.
    """
    about, path = subject_of(tx, body.about)
    tx.require(Action.FINDING_OPEN, about)
    version = registered.numbered(tx, ModelVersion, path, for_update=body.suspend)
    if body.suspend:
        tx.require(Action.VERSION_SUSPEND, version.resource)
    if body.due_at is not None and body.due_at <= tx.now:
        raise Malformed("the day by which it is answered for is over")
    row = open_(
        tx,
        about=about,
        kind=REPORTED,
        severity=body.severity,
        summary=body.summary,
        details={"version": version.ref},
        consequence=Reaction.SUSPEND if body.suspend else Reaction.WARN,
        rule="finding/reported",
        rules=rules,
        owner=body.owner or version.registered_by,
        due_at=body.due_at,
    )
    if body.suspend:
        reacting.suspend(tx, version, row, rule="finding/reported", because=f"finding {row.id}")
    return row


def subject_of(tx: Transaction, text: str) -> tuple[Resource, str]:
    """Return what ``version:…`` or ``deployment:…`` means, and the path of the version that it is or serves."""
    kind, _, name = text.partition(":")
    if kind == "deployment":
        served = queries.identified(tx, Deployment, name)
        return served.resource, served.version_ref.partition(":")[2]
    if kind == "version":
        return registered.numbered(tx, ModelVersion, name).resource, name
    raise Malformed("write version:… or deployment:…")


def assign(tx: Transaction, name: str, body: wire.AssignFinding) -> Finding:
    """Let somebody answer for a finding, by a day that may be another than before."""
    row = queries.identified(tx, Finding, name, for_update=True)
    tx.require(Action.FINDING_ASSIGN, row.resource)
    _must_be_open(row)
    if body.due_at is not None and body.due_at <= tx.now:
        raise Malformed("the day by which it is answered for is over")
    row.owner = body.owner
    if body.due_at is not None:
        row.due_at, row.overdue_at = body.due_at, None
    tx.record(
        FindingAssigned(
            about=row.ref, namespace=row.namespace, zone=row.zone, owner=row.owner, due_at=moment(row.due_at),
            because=body.because,
        )
    )  # fmt: skip
    return row


def resolve(tx: Transaction, name: str, *, because: str) -> Finding:
    """Resolve a finding: what it suspended counts again, and endpoints that it stopped serve again.

    Raises `SeparationOfDuties` for the person whom it is about.
    """
    row = queries.identified(tx, Finding, name, for_update=True)
    tx.require(Action.FINDING_RESOLVE, row.resource)
    _must_be_open(row)
    if moment(tx.now) < str(row.details.get("runs_until", "")):
        raise Conflict("what it is about still runs", advice="Review what was done when it is over.")
    if accounts.is_actor(tx, *row.details.get("people", [])):
        raise SeparationOfDuties(
            "The finding is about what you did, so you may not resolve it.", advice="Ask somebody else with this role.",
            rule=Separation.REQUESTER.value,
        )  # fmt: skip
    row.state, row.resolved_by, row.resolved_because = "resolved", tx.actor.ref, because
    row.resolved_at = tx.now
    tx.record(FindingResolved(about=row.ref, namespace=row.namespace, zone=row.zone, because=because))
    if version_ref := row.details.get("version"):
        _lift(tx, str(version_ref).partition(":")[2], row)
    return row


def overdue(tx: Transaction, at_once: int) -> int:
    """Tell of findings that are open after their day, each once; return how many."""
    query = select(Finding).where(Finding.state == "open", Finding.due_at <= tx.now, Finding.overdue_at.is_(None))
    rows = list(tx.scalars(query.order_by(Finding.due_at).limit(at_once).with_for_update()))
    for row in rows:
        row.overdue_at = tx.now
        tx.record(
            FindingOverdue(
                about=row.ref, namespace=row.namespace, zone=row.zone, owner=row.owner, due_at=moment(row.due_at),
                severity=row.severity,
            )
        )  # fmt: skip
    return len(rows)


def _must_be_open(row: Finding) -> None:
    if row.state != "open":
        raise Conflict("the finding is resolved already")


def _lift(tx: Transaction, path: str, resolved: Finding) -> None:
    """Take back what *resolved* caused, except where another open finding asks for the same."""
    version = registered.numbered(tx, ModelVersion, path, for_update=True)
    served = queries.deployments_of(tx, version.ref)
    about = queries.findings_about(tx, [version.ref, *(one.ref for one in served)])
    others = [one for one in about if one.state == "open" and one.consequence != Reaction.WARN.value]
    if any(one.consequence == Reaction.SUSPEND.value for one in others):
        return
    approvals.restore(tx, version, finding=resolved.ref)
    for deployment in served:
        if deployment.ref not in {one.about for one in others}:
            deployments.resume(tx, deployment)
