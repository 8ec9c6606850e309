# SPDX-License-Identifier: Apache-2.0
"""Whose word counts: independent people, each with one voice, in the order that was asked; or one alone, where it may.

Approvals count when they are signed, live, bound to exactly these facts, and given by somebody who is neither requester
nor author anywhere in the lineage; a person counts once, whatever roles they hold and whoever acts for them.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from khatim.vocabulary import Decision, Role
from policies.bindings import binding_of, gate_of
from policies.facts import Approval, Binding, Facts, Transition
from policies.quorum import saturated
from policies.requirements import NEVER_ALONE, NEVER_ALONE_TIER, YEAR_DAYS, Gates, Kind, Requirement, Separation


def may_approve(  # noqa: PLR0913 - who, for whom, as what, and when
    gates: Gates, facts: Facts, approver: str, role: Role, at: datetime, *, stands_in_for: str = ""
) -> Decision:
    """Decide whether *approver* may approve in *role*: separation of duties over the whole lineage, and the order.

    Who acts for an absent person has that person's voice beside their own: neither may have had a hand in it, and
    neither may have spoken.  Whether they hold the role at all is access control's question, and asked before.
    """
    for who in filter(None, (approver, stands_in_for)):
        name = "You" if who == approver else "The person for whom you act"
        if who == facts.requester:
            reason = f"{name} asked for this, so you may not approve {facts.version}."
            return _separated(gates, Separation.REQUESTER, reason)
        if who in facts.authors:
            reason = (
                f"{name} had a hand in {facts.version} or in something it was made from, so you may not approve it."
            )
            return _separated(gates, Separation.AUTHOR, reason)
        other = next((one for one in facts.approvals if _is_other_voice(one, facts, who, role, at)), None)
        if other is not None:
            reason = f"{name} already approved {facts.version} as {other.role.value}; one person has one voice."
            return _separated(gates, Separation.TWO_ROLES, reason)
    if words := _too_early(gates, facts, role, at):
        return Decision(
            allowed=False, rule="approvals/order", reason=words, advice="Wait for theirs.", policy=gates.policy
        )
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
    return approver in one.voices and one.role is not role and is_same_version and one.is_voice(at)


def lacking(gates: Gates, transition: Transition, facts: Facts, at: datetime) -> dict[str, str]:
    """Return which requirements of *transition* that people must meet are unmet, in words."""
    asked = gate_of(gates, transition, facts)
    slots = {rule: one for rule, one in asked.items() if one.kind is Kind.APPROVALS}
    binding = binding_of(gates, transition, facts)
    alone = {rule: one for rule, one in asked.items() if one.kind is Kind.SELF_ATTESTED}
    counting = _counting(facts, binding, at)
    voices = {
        (rule, number): {
            one.voice for one in counting
            if _fills(one, slot, at) and not _before(slots, slot, facts, binding, one.at)
        }
        for rule, slot in slots.items()
        for number in range(slot.count)
    }  # fmt: skip
    filled = saturated(voices)
    found = {rule: words for rule, one in alone.items() if (words := _unattested(one, facts, binding, at))}
    for rule, slot in slots.items():
        have = sum((rule, number) in filled for number in range(slot.count))
        if have < slot.count:
            who = " or ".join(sorted(role.value for role in slot.roles))
            found[rule] = f"{have} of {slot.count} live approvals by {who}"
    return found


def never_alone(facts: Facts) -> str:
    """Return in words why a self-attestation opens nothing for such a version; empty when it may."""
    tags = sorted((facts.tags | facts.inherited_tags) & NEVER_ALONE)
    if facts.tier == NEVER_ALONE_TIER:
        return "at the highest tier other people approve, nobody alone"
    return f"for data with the tags {', '.join(tags)} other people approve, nobody alone" if tags else ""


def _unattested(one: Requirement, facts: Facts, binding: Binding, at: datetime) -> str:
    if words := never_alone(facts):
        return words
    fresh = timedelta(days=one.max_validity_days or YEAR_DAYS)
    attested = (
        said.binding == binding and said.is_live(at) and one.checklist.keys() <= said.checklist and at < said.at + fresh
        for said in facts.attestations
    )
    return "" if any(attested) else "it is not attested, with every item of the checklist"


def _counting(facts: Facts, binding: Binding, at: datetime) -> list[Approval]:
    """Return the approvals that count at *at*: independent, live, about exactly this, and no voice twice by proxy."""
    barred = {facts.requester, *facts.authors}
    live = [one for one in facts.approvals if one.binding == binding and one.is_live(at) and not one.voices & barred]
    return [
        one for one in live
        if not one.stands_in_for
        or not any(other.voices & one.voices and other.role is not one.role for other in live if other is not one)
    ]  # fmt: skip


def _before(
    slots: dict[str, Requirement], slot: Requirement, facts: Facts, binding: Binding, moment: datetime
) -> list[str]:
    """Return the rules that *slot* comes after and that were not met before *moment*.  A rule not asked is none."""
    earlier = [one for one in _counting(facts, binding, moment) if one.at < moment]
    return [
        rule for rule in sorted(slot.after & slots.keys())
        if len({one.voice for one in earlier if _fills(one, slots[rule], moment)}) < slots[rule].count
        or _before(slots, slots[rule], facts, binding, moment)
    ]  # fmt: skip


def _too_early(gates: Gates, facts: Facts, role: Role, at: datetime) -> str:
    """Return in words whose approvals come before every one that *role* could give; empty when none does."""
    asked = gate_of(gates, Transition.PRODUCTION, facts)
    slots = {rule: one for rule, one in asked.items() if one.kind is Kind.APPROVALS}
    binding = binding_of(gates, Transition.PRODUCTION, facts)
    waiting = [_before(slots, one, facts, binding, at) for one in slots.values() if role in one.roles]
    if not waiting or not all(waiting):
        return ""
    first = sorted({one.value for rules in waiting for rule in rules for one in slots[rule].roles})
    return f"The approval by {' and '.join(first)} comes before that by {role.value}."


def _fills(one: Approval, slot: Requirement, at: datetime) -> bool:
    is_fresh = slot.max_validity_days is None or at < one.at + timedelta(days=slot.max_validity_days)
    is_ticketed = not slot.ticket or re.fullmatch(slot.ticket, one.ticket) is not None
    return one.role in slot.roles and is_fresh and is_ticketed
