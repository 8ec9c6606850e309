# SPDX-License-Identifier: Apache-2.0
"""Findings: opened by what monitors see, resolved by a person, never deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit.transaction import Transaction
from governance import approvals, deployments, queries
from governance.events import FindingOpened, FindingResolved
from governance.tables import Finding
from khatim.errors import Conflict
from khatim.vocabulary import Action, Resource
from policies.runtime import Reaction
from registry import queries as registered
from registry.tables import ModelVersion


def open_(  # noqa: PLR0913 - the columns of one finding
    tx: Transaction,
    *,
    about: Resource,
    kind: str,
    severity: str,
    summary: str,
    details: Mapping[str, Any],
    consequence: str,
    rule: str,
) -> Finding:
    """Open a finding about a resource; the calling verb asked the permission."""
    row = Finding(
        id=tx.new_id(),
        about=str(about),
        namespace=about.namespace,
        zone=about.zone,
        kind=kind,
        severity=severity,
        summary=summary,
        details=dict(details),
        consequence=consequence,
        state="open",
        opened_at=tx.now,
    )
    tx.add(row)
    tx.record(
        FindingOpened(
            about=row.ref,
            namespace=row.namespace,
            zone=row.zone,
            finding_kind=kind,
            severity=severity,
            subject=row.about,
            consequence=consequence,
            rule=rule,
        )
    )
    return row


def resolve(tx: Transaction, name: str, *, because: str) -> Finding:
    """Resolve a finding: what it suspended counts again, and endpoints that it stopped serve again."""
    row = queries.identified(tx, Finding, name, for_update=True)
    tx.require(Action.FINDING_RESOLVE, row.resource)
    if row.state != "open":
        raise Conflict("the finding is resolved already")
    row.state, row.resolved_by, row.resolved_because = "resolved", tx.actor.ref, because
    tx.record(FindingResolved(about=row.ref, namespace=row.namespace, zone=row.zone, because=because))
    if version_ref := row.details.get("version"):
        _lift(tx, str(version_ref).partition(":")[2], row)
    return row


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
