# SPDX-License-Identifier: Apache-2.0
"""Taking one's own approval back: it counts no more, and what served by it does what was agreed for that."""

from __future__ import annotations

from audit.transaction import Transaction
from governance import deployments, facts, findings, queries, reacting
from governance.events import ApprovalWithdrawn
from governance.tables import Approval
from khatim.errors import Conflict, NotFound
from khatim.vocabulary import Action, Severity
from policies import gates
from policies.loading import PolicyBundle
from policies.runtime import Reaction, RuntimeEvent
from registry import queries as registered
from registry.notary import Notary
from registry.tables import ModelVersion


def withdraw(  # noqa: PLR0913 - whose approval of what, why, and what judges the rest
    tx: Transaction, path: str, name: str, *, because: str, notary: Notary, rules: PolicyBundle
) -> Approval:
    """Take an approval of one's own back.  Raises `NotFound` for somebody else's: they open a finding instead.

    Where the approvals that remain do not suffice, a finding is opened, and endpoints stop unless it was agreed that
    they go on under a suspension.
    """
    version = registered.numbered(tx, ModelVersion, path, for_update=True)
    tx.require(Action.VERSION_APPROVE, version.resource)
    row = next((one for one in queries.given_to(tx, version.ref) if str(one.id) == name), None)
    if row is None or row.approver != tx.actor.ref:
        raise NotFound(
            f"you gave no approval {name[:80]} of {path}",
            advice="Against somebody else's approval, open a finding: khatim finding open … --suspend.",
        )
    if row.state not in ("active", "suspended"):
        raise Conflict(f"the approval is {row.state} already")
    row.state, row.state_because = "revoked", because
    tx.record(
        ApprovalWithdrawn(
            about=version.ref, namespace=version.namespace, zone=version.zone, approval=str(row.id), role=row.role,
            because=because,
        )
    )  # fmt: skip
    served = [one for one in queries.deployments_of(tx, version.ref) if one.state in reacting.ENDPOINTS]
    fallen = [
        one
        for one in served
        if gates.approved_until(
            rules.gates, facts.facts_of(tx, version, zone=one.zone, notary=notary, rules=rules)
        ) is None
    ]  # fmt: skip
    if fallen:
        finding = findings.open_(
            tx,
            about=version.resource,
            kind="approval-withdrawn",
            severity=Severity.HIGH,
            summary=f"an approval of {version.path} was taken back, and those that remain do not suffice",
            details={"version": version.ref, "approval": str(row.id)},
            consequence=Reaction.WARN,
            rule=f"runtime/{RuntimeEvent.SUSPENDED.value}",
            rules=rules.findings,
            owner=version.registered_by,
        )
        for one in fallen:
            # Stopped, not suspended: the end of the finding brings no approval back, so it must not bring the endpoint.
            if not reacting.effect_on(tx, one, RuntimeEvent.SUSPENDED).is_serving:
                deployments.halt(tx, one, because=f"an approval was withdrawn: finding {finding.id}")
    return row
