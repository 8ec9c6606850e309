# SPDX-License-Identifier: Apache-2.0
"""Approvals: one person's signed yes, bound to bytes.  Any change of what it is bound to voids it."""

from __future__ import annotations

from datetime import timedelta

from audit.events import moment
from audit.transaction import Transaction
from governance import facts, queries
from governance.events import ApprovalGranted, ApprovalsChanged
from governance.tables import Approval
from khatim.errors import Conflict, Forbidden, SeparationOfDuties
from khatim.vocabulary import Action, Digest, Role
from policies import gates
from policies.facts import Transition
from policies.loading import PolicyBundle
from registry import queries as registered
from registry.notary import Notary
from registry.signing import statements
from registry.tables import ModelVersion


def approve(  # noqa: PLR0913 - an approval is who, in which role, meaning what, for how long
    tx: Transaction,
    path: str,
    *,
    role: Role,
    meaning: str,
    comment: str,
    valid_days: int,
    notary: Notary,
    rules: PolicyBundle,
) -> Approval:
    """Approve a version for production in its own zone, in one role that the actor holds.

    Raises `Forbidden` for a role that the actor does not hold, `SeparationOfDuties` for requester, authors anywhere in
    the lineage, and a second voice of the same person.
    """
    version = registered.numbered(tx, ModelVersion, path, for_update=True)
    tx.require(Action.VERSION_APPROVE, version.resource)
    if role not in tx.actor.roles_for(version.resource, tx.now):
        raise Forbidden(f"you do not hold the role {role.value}", rule="roles/held", role=role.value)
    known = facts.facts_of(tx, version, zone=version.zone, notary=notary, rules=rules)
    decision = gates.may_approve(rules.gates, known, tx.actor.ref, role, tx.now)
    if not decision:
        raise SeparationOfDuties(decision.reason, advice=decision.advice, role=role.value, **decision.as_members())
    binding = gates.binding_of(rules.gates, Transition.PRODUCTION, known)
    mine = (one for one in known.approvals if one.approver == tx.actor.ref and one.role is role)
    if any(one.binding == binding and one.is_voice(tx.now) for one in mine):
        raise Conflict(f"you approved {path} as {role.value} already")
    expires = tx.now + timedelta(days=valid_days)
    predicate = {
        "approver": tx.actor.ref,
        "role": role.value,
        "meaning": meaning,
        "binding": binding.as_members(),
        "approvedAt": moment(tx.now),
        "expiresAt": moment(expires),
        "assurance": "server-attested",
    }
    subjects = [(file["path"], Digest.parse(file["digest"])) for file in version.files]
    statement = notary.attest(tx, version.ref, notary.person(tx.actor.ref), statements.APPROVAL, subjects, predicate)
    row = Approval(
        id=tx.new_id(),
        about=version.ref,
        role=role.value,
        approver=tx.actor.ref,
        meaning=meaning,
        comment=comment,
        binding=binding.as_members(),
        approved_at=tx.now,
        expires_at=expires,
        state="active",
        state_because="",
        statement_id=statement.id,
    )
    tx.add(row)
    tx.record(
        ApprovalGranted(
            about=version.ref,
            namespace=version.namespace,
            zone=version.zone,
            role=role.value,
            binding=row.binding,
            expires_at=moment(expires),
            statement=str(statement.id),
            comment_digest=str(Digest.of(comment.encode())) if comment else "",
        )
    )
    return row


def suspend_all(tx: Transaction, version: ModelVersion, *, finding: str, rule: str, because: str) -> list[Approval]:
    """Suspend every active approval of a version; the calling verb asked the permission."""
    active = [row for row in queries.approvals_of(tx, version.ref) if row.state == "active"]
    for row in active:
        row.state, row.state_because = "suspended", because
    if active:
        _say(tx, version, active, finding=finding, rule=rule)
    return active


def expire(tx: Transaction, version: ModelVersion, rows: list[Approval]) -> list[Approval]:
    """Revoke approvals whose time is over; the calling verb asked the permission."""
    for row in rows:
        row.state, row.state_because = "revoked", f"expired at {moment(row.expires_at)}"
    _say(tx, version, rows, finding="", rule="approval/expired")
    return rows


def restore(tx: Transaction, version: ModelVersion, *, finding: str) -> list[Approval]:
    """Let suspended approvals count again when the last finding that asked for it is resolved."""
    suspended = [row for row in queries.approvals_of(tx, version.ref) if row.state == "suspended"]
    for row in suspended:
        row.state, row.state_because = "active", ""
    if suspended:
        _say(tx, version, suspended, finding=finding, rule="finding/resolved")
    return suspended


def _say(tx: Transaction, version: ModelVersion, rows: list[Approval], *, finding: str, rule: str) -> None:
    tx.record(
        ApprovalsChanged(
            about=version.ref,
            namespace=version.namespace,
            zone=version.zone,
            finding=finding,
            rule=rule,
            approvals=[str(row.id) for row in rows],
            state=rows[0].state,
        )
    )
