# SPDX-License-Identifier: Apache-2.0
"""Which waiver excuses which requirement, and who may give one.  Facts in, answer out.

A waiver excuses what fell short when it was given, never what falls short later: it is bound to the version, its
newest evidence, policy, zone and tier as an approval is, and names the findings that it excuses.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from khatim.vocabulary import Decision
from policies.facts import Binding, Facts, Transition, Waiver
from policies.requirements import Gates, Kind, Requirement, Separation


def excusing(rule: str, one: Requirement, binding: Binding, facts: Facts, at: datetime) -> Waiver | None:
    """Return the waiver that excuses requirement *one* at *at*, the one that ends last; None for none."""
    if not one.waivable:
        return None
    found = [
        waiver
        for waiver in facts.waivers
        if waiver.rule == rule
        and waiver.binding == binding
        and counts(waiver, facts, at)
        and _reaches(waiver, one, facts)
    ]
    return max(found, key=lambda waiver: (waiver.expires, waiver.ref), default=None)


def counts(waiver: Waiver, facts: Facts, at: datetime) -> bool:
    """Whether *waiver* is live, and given by somebody who neither asked for the version nor had a hand in it."""
    is_independent = waiver.approver != facts.requester and waiver.approver not in facts.authors
    return is_independent and waiver.is_live(at)


def _reaches(waiver: Waiver, one: Requirement, facts: Facts) -> bool:
    # A finding that was opened after the waiver was given is not excused by it.
    return one.kind is not Kind.NO_FINDINGS or waiver.excuses.issuperset(facts.open_findings)


def past(facts: Facts, at: datetime) -> Iterator[Waiver]:
    """Yield the waivers that let this version into production in this zone and have ended since."""
    for one in facts.waivers:
        is_of_this = one.binding.transition is Transition.PRODUCTION and one.binding.version == facts.digest
        if is_of_this and one.binding.zone == facts.zone and one.is_signed and not one.is_live(at):
            yield one


def may_ask(gates: Gates, rule: str, transition: Transition, facts: Facts, days: float) -> Decision:
    """Decide whether *rule* may be excused for *days* for this version."""
    one = gates.requirements.get(rule)
    tier = facts.tier
    if one is None or transition not in one.transitions:
        return _no(gates, "waivers/unknown", f"the gate to {transition.value} has no requirement {rule}")
    if not one.waivable:
        return _no(gates, "waivers/unwaivable", f"{rule} holds always; no waiver excuses it", "Meet the requirement.")
    limit = None if tier is None else gates.waivers.max_days.get(tier)
    if limit is None:
        return _no(gates, "waivers/tier", f"at tier {tier} nothing is waived", gates.waivers.advice)
    if days > limit:
        reason = f"at tier {tier} a waiver lasts at most {limit:g} days, not {days:g}"
        return _no(gates, "waivers/term", reason, gates.waivers.advice)
    return _yes(gates, f"{rule} may be excused for {days:g} days at tier {tier}.")


def may_give(gates: Gates, facts: Facts, *, asked_by: str, approver: str) -> Decision:
    """Decide whether *approver* may approve a waiver that *asked_by* asked for: separation over the whole lineage."""
    if approver == asked_by:
        return _separated(gates, Separation.REQUESTER, "You asked for this waiver, so you may not approve it.")
    if approver == facts.requester:
        reason = f"You asked for {facts.version}, so you may not excuse it from a requirement."
        return _separated(gates, Separation.REQUESTER, reason)
    if approver in facts.authors:
        reason = f"You had a hand in {facts.version} or its lineage, so you may not excuse it from a requirement."
        return _separated(gates, Separation.AUTHOR, reason)
    return _yes(gates, f"Neither requester nor author of {facts.version} or its lineage.")


def end_of(gates: Gates, facts: Facts, days: float, at: datetime) -> datetime:
    """Return when a waiver of *days* that is given at *at* ends, never later than the tier allows now."""
    limit = gates.waivers.max_days.get(facts.tier or 0, 0)
    return at + timedelta(days=min(days, limit))


def _yes(gates: Gates, reason: str) -> Decision:
    return Decision(allowed=True, rule="waivers/allowed", reason=reason, policy=gates.policy)


def _no(gates: Gates, rule: str, reason: str, advice: str = "") -> Decision:
    known = gates.waivers
    return Decision(
        allowed=False, rule=rule, reason=reason, legal_basis=known.basis, certainty=known.certainty, advice=advice,
        policy=gates.policy,
    )  # fmt: skip


def _separated(gates: Gates, which: Separation, reason: str) -> Decision:
    source = gates.separation[which]
    return Decision(
        allowed=False, rule=which.value, reason=reason, legal_basis=source.basis, certainty=source.certainty,
        advice=source.advice, policy=gates.policy,
    )  # fmt: skip
