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

from khatim.vocabulary import VersionStatus
from policies import voices, waivers
from policies.bindings import binding_of as binding_of  # noqa: PLC0414 - words of this module, too
from policies.bindings import gate_of as gate_of  # noqa: PLC0414
from policies.bindings import newest_evidence as newest_evidence  # noqa: PLC0414
from policies.facts import Approval, Attestation, Evidence, Facts, Transition, Verdict
from policies.outcomes import GateDecision, Outcome
from policies.requirements import (
    TIERS,
    Gates,
    Kind,
    Requirement,
)

_GIVEN = (Kind.APPROVALS, Kind.SELF_ATTESTED)


def evaluate(gates: Gates, transition: Transition, facts: Facts, at: datetime) -> GateDecision:
    """Check every requirement of the gate at *at*; never raises for facts."""
    gate = gate_of(gates, transition, facts)
    if not gate:
        reason = f"no requirement is written for {transition.value} at tier {facts.tier}"
        title = "Only what is written can be met"
        advice = f"Assess the version's risk tier ({', '.join(map(str, sorted(TIERS)))})."
        closed = Outcome(rule="gates/unwritten", title=title, reason=reason, advice=advice)
        return GateDecision(transition=transition, met=(), unmet=(closed,), policy=gates.policy)
    lacking = voices.lacking(gates, transition, facts, at)
    met: list[Outcome] = []
    unmet: list[Outcome] = []
    excepted: list[Outcome] = []
    binding = binding_of(gates, transition, facts)
    for rule, one in gate.items():
        found = lacking.get(rule) if one.kind in _GIVEN else _shortfall(gates, one, facts, at)
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
            lacking = voices.lacking(gates, Transition.PRODUCTION, facts, at)
            if lacking:
                return f"no longer approved for production: {', '.join(lacking.values())}"
            return _lapsed(gates, facts, at)
        case Kind.APPROVALS | Kind.SELF_ATTESTED:
            raise AssertionError("what people gave is counted together")
        case _:
            assert_never(one.kind)


def approved_until(gates: Gates, facts: Facts) -> datetime | None:
    """Return when the approvals for production, and the waivers beside them, stop standing by time alone.

    None when they do not stand at all: another version of rules, evidence or bytes than was approved.
    """

    def stands(at: datetime) -> bool:
        lacking = voices.lacking(gates, Transition.PRODUCTION, facts, at)
        return not lacking and _lapsed(gates, facts, at) is None

    slots = gate_of(gates, Transition.PRODUCTION, facts).values()
    fresh = {one.max_validity_days for one in slots if one.kind in _GIVEN and one.max_validity_days is not None}
    ends = {one.expires for one in facts.approvals} | {one.expires for one in facts.waivers}
    ends |= {one.expires for one in facts.attestations}
    given: tuple[Approval | Attestation, ...] = (*facts.approvals, *facts.attestations)
    ends |= {one.at + timedelta(days=days) for one in given for days in fresh}
    moment = timedelta(microseconds=1)
    return next((end for end in sorted(ends, reverse=True) if stands(end - moment) and not stands(end)), None)


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
