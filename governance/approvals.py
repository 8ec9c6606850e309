# SPDX-License-Identifier: Apache-2.0
"""Approvals: one person's signed yes, bound to bytes.  Any change of what it is bound to voids it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from audit.events import moment
from audit.transaction import Reader, Transaction
from governance import deployments, facts, queries
from governance.events import ApprovalGranted, ApprovalsChanged, ObligationAnswered
from governance.tables import Approval
from khatim.errors import Changed, Conflict, Forbidden, Malformed, NotFound, SeparationOfDuties
from khatim.vocabulary import Action, Decision, Digest, Role
from policies import gates, voices
from policies.facts import Facts, Transition
from policies.loading import PolicyBundle
from registry import accounts
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
    ticket: Mapping[str, Any] | None = None,
    obligations: Sequence[Mapping[str, Any]] = (),
    seen: str = "",
    notary: Notary,
    rules: PolicyBundle,
) -> Approval:
    """Approve a version for production in its own zone, in one role that the actor holds.

    Under *obligations* it holds until the first of them is due; approving anew without them is how they are accepted.
    *ticket* is the change ticket as the approver sees it, *seen* the digest of the binding that they looked at.
    Raises `Forbidden` for a role that the actor does not hold, `Changed` when it is not any more what they saw,
    `SeparationOfDuties` for requester, authors anywhere in the lineage, a second voice of the same person and one that
    comes too early, `Malformed` for an obligation that is due already.
    """
    version = registered.numbered(tx, ModelVersion, path, for_update=True)
    tx.require(Action.VERSION_APPROVE, version.resource)
    if role not in tx.actor.roles_for(version.resource, tx.now):
        raise Forbidden(f"you do not hold the role {role.value}", rule="roles/held", role=role.value)
    known = facts.facts_of(tx, version, zone=version.zone, notary=notary, rules=rules)
    decision = may_approve(tx, version, known, role, rules=rules)
    if not decision:
        raise SeparationOfDuties(decision.reason, advice=decision.advice, role=role.value, **decision.as_members())
    binding = gates.binding_of(rules.gates, Transition.PRODUCTION, known)
    if seen and seen != binding.digest:
        raise Changed("evidence, data, tier or policy is not what it was when you looked", now=binding.digest)
    conditional = {str(row.id) for row in queries.approvals_of(tx, version.ref) if row.obligations}
    me = accounts.naturals(tx)(tx.actor.ref)
    mine = (one for one in known.approvals if me in one.voices and one.role is role)
    if any(one.binding == binding and one.is_voice(tx.now) and one.ref not in conditional for one in mine):
        raise Conflict(f"you approved {path} as {role.value} already")
    if early := [one for one in obligations if one["due_at"] <= tx.now]:
        raise Malformed(f"an obligation is due at {moment(early[0]['due_at'])}, which is past")
    expires = min([tx.now + timedelta(days=valid_days), *(one["due_at"] for one in obligations)])
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
        stands_in_for=tx.actor.stands_in_for(role, version.resource, tx.now),
        ticket={**ticket, "seenAt": moment(tx.now)} if ticket else {},
        obligations=[{"text": one["text"], "dueAt": moment(one["due_at"])} for one in obligations],
    )
    signer, said = notary.person(tx.actor.ref), facts.approved(row)
    row.statement_id = notary.attest(tx, version.ref, signer, statements.APPROVAL, version.subjects, said).id
    tx.add(row)
    tx.record(
        ApprovalGranted(
            about=version.ref,
            namespace=version.namespace,
            zone=version.zone,
            role=role.value,
            binding=row.binding,
            expires_at=moment(expires),
            statement=str(row.statement_id),
            comment_digest=str(Digest.of(comment.encode())) if comment else "",
            stands_in_for=row.stands_in_for,
            ticket=row.ticket,
            obligations=row.obligations,
        )
    )
    deployments.renew(tx, version, notary=notary, rules=rules)
    return row


def may_approve(reader: Reader, version: ModelVersion, known: Facts, role: Role, *, rules: PolicyBundle) -> Decision:
    """Decide whether the actor, as the natural person behind the account, may approve a version in a role they hold."""
    who = accounts.naturals(reader)
    absent = reader.actor.stands_in_for(role, version.resource, reader.now)
    me = who(reader.actor.ref)
    return voices.may_approve(rules.gates, known, me, role, reader.now, stands_in_for=who(absent))


def answer(tx: Transaction, path: str, name: str, *, number: int, said: str) -> Approval:
    """Say how obligation *number* of a conditional approval was met; whoever gave it decides by approving anew."""
    version = registered.numbered(tx, ModelVersion, path, for_update=True)
    tx.require(Action.VERSION_PROMOTE, version.resource)
    row = next((one for one in queries.approvals_of(tx, version.ref) if str(one.id) == name), None)
    if row is None or number > len(row.obligations):
        raise NotFound(f"there is no obligation {number} of an approval {name[:80]} of {path}")
    if row.state != "active":
        raise Conflict(f"the approval is {row.state}")
    row.answers = [*row.answers, {"number": number, "by": tx.actor.ref, "at": moment(tx.now), "said": said}]
    tx.record(
        ObligationAnswered(
            about=version.ref, namespace=version.namespace, zone=version.zone, approval=str(row.id), number=number,
            said=said,
        )
    )  # fmt: skip
    return row


def suspend_all(tx: Transaction, version: ModelVersion, *, finding: str, rule: str, because: str) -> list[Approval]:
    """Suspend every active approval of a version; the calling verb asked the permission."""
    active = [row for row in queries.given_to(tx, version.ref) if row.state == "active"]
    for row in active:
        row.state, row.state_because = "suspended", because
    if active:
        _say(tx, version, active, finding=finding, rule=rule)
    return active


def expire(tx: Transaction, version: ModelVersion, rows: list[Approval]) -> list[Approval]:
    """End approvals whose time is over; the calling verb asked the permission."""
    for row in rows:
        row.state, row.state_because = "expired", f"it ran until {moment(row.expires_at)}"
    _say(tx, version, rows, finding="", rule="approval/expired")
    return rows


def restore(tx: Transaction, version: ModelVersion, *, finding: str) -> list[Approval]:
    """Let suspended approvals count again when the last finding that asked for it is resolved."""
    suspended = [row for row in queries.given_to(tx, version.ref) if row.state == "suspended"]
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
