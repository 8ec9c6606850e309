# SPDX-License-Identifier: Apache-2.0
"""Gates as data: what must hold before a version moves on.  ``gates.yaml`` says what, this module checks it.

A gate is the set of requirements that match transition, tier and tags; all must be met, and a transition that none
speaks about stays closed.  Approvals count when they are signed, live, bound to exactly these facts, and given by
somebody who is neither requester nor author anywhere in the lineage; a person counts once, whatever roles they hold.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from khatim.vocabulary import Decision, Role, VersionStatus
from policies import waivers
from policies.facts import Approval, Binding, Evidence, Facts, Transition, Verdict
from policies.outcomes import GateDecision, Outcome
from policies.quorum import saturated
from policies.requirements import TIERS, UNDECLARED, Gates, Kind, Requirement, Separation


def binding_of(gates: Gates, transition: Transition, facts: Facts) -> Binding:
    """Return what an approval of *facts* for *transition* is about; the approving verb signs exactly this."""
    kinds = {one.evidence for one in gate_of(gates, transition, facts).values() if one.kind is Kind.EVIDENCE}
    newest = (newest_evidence(facts, kind) for kind in kinds)
    return Binding(
        transition=transition,
        version=facts.digest,
        datasets=facts.datasets,
        evidence=frozenset(one.digest for one in newest if one is not None),
        policy=facts.policy,
        zone=facts.zone,
        tier=facts.tier,
    )


def newest_evidence(facts: Facts, kind: str) -> Evidence | None:
    """Return the newest signed evidence of *kind* about exactly this version: a later failure outweighs a pass."""
    found = [one for one in facts.evidence if one.kind == kind and one.subject == facts.digest and one.is_signed]
    return max(found, key=lambda one: (one.at, one.digest), default=None)


def evaluate(gates: Gates, transition: Transition, facts: Facts, at: datetime) -> GateDecision:
    """Check every requirement of the gate at *at*; never raises for facts."""
    gate = gate_of(gates, transition, facts)
    if not gate:
        reason = f"no requirement is written for {transition.value} at tier {facts.tier}"
        title = "Only what is written can be met"
        advice = f"Assess the version's risk tier ({', '.join(map(str, sorted(TIERS)))})."
        closed = Outcome(rule="gates/unwritten", title=title, reason=reason, advice=advice)
        return GateDecision(transition=transition, met=(), unmet=(closed,), policy=gates.policy)
    lacking = _lacking_approvals(gates, transition, facts, at)
    met: list[Outcome] = []
    unmet: list[Outcome] = []
    excepted: list[Outcome] = []
    binding = binding_of(gates, transition, facts)
    for rule, one in gate.items():
        found = lacking.get(rule) if one.kind is Kind.APPROVALS else _shortfall(gates, one, facts, at)
        outcome = Outcome(
            rule=rule,
            title=one.title,
            reason=found or "",
            legal_basis=one.basis,
            certainty=one.certainty,
            advice=_advice(one, facts) if found else "",
        )
        waiver = waivers.excusing(rule, one, binding, facts, at) if found else None
        if waiver is not None:
            excepted.append(replace(outcome, waiver=waiver.ref, expires=waiver.expires))
        else:
            (unmet if found else met).append(outcome)
    return GateDecision(
        transition=transition, met=tuple(met), unmet=tuple(unmet), excepted=tuple(excepted), policy=gates.policy
    )


def may_approve(gates: Gates, facts: Facts, approver: str, role: Role, at: datetime) -> Decision:
    """Decide whether *approver* may approve in *role*: separation of duties over the whole lineage.

    Whether they hold the role at all is access control's question, and asked before.
    """
    if approver == facts.requester:
        return _separated(gates, Separation.REQUESTER, f"You asked for this, so you may not approve {facts.version}.")
    if approver in facts.authors:
        reason = f"You had a hand in {facts.version} or in something it was made from, so you may not approve it."
        return _separated(gates, Separation.AUTHOR, reason)
    other = next((one for one in facts.approvals if _is_other_voice(one, facts, approver, role, at)), None)
    if other is not None:
        reason = f"You already approved {facts.version} as {other.role.value}; one person has one voice."
        return _separated(gates, Separation.TWO_ROLES, reason)
    reason = f"Neither requester nor author of {facts.version} or its lineage."
    return Decision(allowed=True, rule="separation/independent", reason=reason, policy=gates.policy)


def _separated(gates: Gates, which: Separation, reason: str) -> Decision:
    source = gates.separation[which]
    return Decision(
        allowed=False,
        rule=which.value,
        reason=reason,
        legal_basis=source.basis,
        certainty=source.certainty,
        advice=source.advice,
        policy=gates.policy,
    )


def _is_other_voice(one: Approval, facts: Facts, approver: str, role: Role, at: datetime) -> bool:
    is_same_version = one.binding.version == facts.digest and one.binding.zone == facts.zone
    return one.approver == approver and one.role is not role and is_same_version and one.is_voice(at)


def gate_of(gates: Gates, transition: Transition, facts: Facts) -> dict[str, Requirement]:
    """Return the requirements asked of *facts* for *transition* by rule id; none without an assessed tier."""
    if facts.tier is None or facts.tier not in TIERS:
        return {}
    return gates.between(transition, facts.tier, facts.tags | facts.inherited_tags or UNDECLARED)


def _lacking_approvals(gates: Gates, transition: Transition, facts: Facts, at: datetime) -> dict[str, str]:
    """Return which approval requirements of *transition* are unmet, in words."""
    slots = {rule: one for rule, one in gate_of(gates, transition, facts).items() if one.kind is Kind.APPROVALS}
    if not slots:
        return {}
    binding = binding_of(gates, transition, facts)
    counting = [one for one in facts.approvals if _counts(one, facts, binding, at)]
    voices = {
        (rule, number): {one.approver for one in counting if _fills(one, slot, at)}
        for rule, slot in slots.items()
        for number in range(slot.count)
    }
    filled = saturated(voices)
    lacking: dict[str, str] = {}
    for rule, slot in slots.items():
        have = sum((rule, number) in filled for number in range(slot.count))
        if have < slot.count:
            who = " or ".join(sorted(role.value for role in slot.roles))
            lacking[rule] = f"{have} of {slot.count} live approvals by {who}"
    return lacking


def _counts(one: Approval, facts: Facts, binding: Binding, at: datetime) -> bool:
    is_independent = one.approver != facts.requester and one.approver not in facts.authors
    return is_independent and one.binding == binding and one.is_live(at)


def _fills(one: Approval, slot: Requirement, at: datetime) -> bool:
    is_fresh = slot.max_validity_days is None or at < one.at + timedelta(days=slot.max_validity_days)
    return one.role in slot.roles and is_fresh


def _shortfall(gates: Gates, one: Requirement, facts: Facts, at: datetime) -> str | None:  # noqa: C901, PLR0911, PLR0912
    """Return in words why *one* is not met, None when it is.  One line a kind, so that a reader sees them all."""
    match one.kind:
        case Kind.STAGE:
            return None if facts.stage in one.stages else f"the version stands in stage {facts.stage.value}"
        case Kind.STATUS:
            is_ready = facts.status is VersionStatus.READY
            return None if is_ready else f"the files are not scanned yet ({facts.status.value})"
        case Kind.FORMATS:
            return _unservable(facts)
        case Kind.SIGNATURE:
            return None if facts.is_signature_verified else "the signature over the files is not verified"
        case Kind.LINEAGE:
            return None if facts.is_lineage_verified else "the lineage is not verified down to the raw data"
        case Kind.TAGS:
            lost = sorted(facts.inherited_tags - facts.tags)
            return f"tags of what it was made from are missing: {', '.join(lost)}" if lost else None
        case Kind.RESIDENCY:
            if facts.residency is None:
                return "residency was not decided"
            return None if facts.residency else facts.residency.reason.rstrip(".")
        case Kind.NOT_REVOKED:
            return "the version is revoked" if facts.is_revoked else None
        case Kind.NOT_SUSPENDED:
            return "the approval is suspended" if facts.is_suspended else None
        case Kind.NO_FINDINGS:
            return f"open findings: {', '.join(facts.open_findings)}" if facts.open_findings else None
        case Kind.EVIDENCE:
            return _unproven(one, newest_evidence(facts, one.evidence), at)
        case Kind.STILL_APPROVED:
            lacking = _lacking_approvals(gates, Transition.PRODUCTION, facts, at)
            if lacking:
                return f"no longer approved for production: {', '.join(lacking.values())}"
            return _lapsed(gates, facts, at)
        case Kind.APPROVALS:
            raise AssertionError("approvals are counted together")
        case _:
            assert_never(one.kind)


def _lapsed(gates: Gates, facts: Facts, at: datetime) -> str | None:
    """Return in words what a waiver excused for production and excuses no more, None when nothing."""
    asked = gate_of(gates, Transition.PRODUCTION, facts)
    binding = binding_of(gates, Transition.PRODUCTION, facts)
    for past in waivers.past(facts, at):
        one = asked.get(past.rule)
        if one is None or waivers.excusing(past.rule, one, binding, facts, at) is not None:
            continue
        if found := _shortfall(gates, one, facts, at):
            return f"the waiver of {past.rule} has ended: {found}"
    return None


def _unservable(facts: Facts) -> str | None:
    barred = [f"{file.path} is {file.verdict.value}" for file in facts.files if file.verdict is not Verdict.SERVABLE]
    if barred:
        return ", ".join(barred)
    return None if any(file.runner for file in facts.files) else "no file of the version can be served by a runner"


def _unproven(one: Requirement, found: Evidence | None, at: datetime) -> str | None:
    if found is None:
        return f"no signed {one.evidence} of this version"
    if not found.passed:
        return f"the newest {one.evidence} did not pass"
    if found.at > at or (one.max_age_days is not None and at - found.at > timedelta(days=one.max_age_days)):
        return f"the {one.evidence} of {found.at:%Y-%m-%d} is not of the last {one.max_age_days or 0:g} days"
    failures = (limit.shortfall(name, found.metrics.get(name)) for name, limit in sorted(one.thresholds.items()))
    return "; ".join(words for words in failures if words) or None


def _advice(one: Requirement, facts: Facts) -> str:
    if one.kind is Kind.FORMATS:
        return " ".join(dict.fromkeys(file.advice for file in facts.files if file.advice)) or one.advice
    if one.kind is Kind.RESIDENCY and facts.residency is not None:
        return facts.residency.advice or one.advice
    return one.advice
