# SPDX-License-Identifier: Apache-2.0
"""Gates: the issue's production gate for a health model of tier 2, binding of approvals, and monotonicity."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import product
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khatim.errors import Misconfigured
from khatim.vocabulary import Decision, Digest, Role, Stage
from policies.facts import Approval, Binding, Evidence, Facts, Transition
from policies.gates import approved_until, binding_of, evaluate, gate_of
from policies.loading import PolicyBundle
from policies.requirements import Gates, Kind
from policies.voices import may_approve
from tests.policies.examples import APPROVERS, NOW, approval, bare, evaluation, ready

PRODUCTION = Transition.PRODUCTION
ASKED = ("production/validator", "production/privacy-officer", "production/model-risk")


def approved(gates: Gates, facts: Facts, *given_by: tuple[str, Role], **changes: Any) -> Facts:
    return replace(facts, approvals=tuple(approval(gates, facts, who, role, **changes) for who, role in given_by))


def test_a_health_model_of_tier_two_needs_three_people(bundle: PolicyBundle) -> None:
    facts = bare(bundle.gates)

    decision = evaluate(bundle.gates, PRODUCTION, facts, NOW)

    assert not decision
    assert decision.rules == ASKED
    assert "0 of 1 live approvals by validator" in decision.reason
    assert len(decision.advice) == 3
    assert evaluate(bundle.gates, PRODUCTION, approved(bundle.gates, facts, *APPROVERS[:3]), NOW)


def test_the_members_tell_what_is_missing(bundle: PolicyBundle) -> None:
    members = evaluate(bundle.gates, PRODUCTION, bare(bundle.gates), NOW).as_members()

    assert members["transition"] == "production"
    assert members["policy"] == str(bundle.digest)
    assert [one["rule"] for one in members["unmet"]] == list(ASKED)
    assert members["unmet"][0]["certainty"] == "V"


@pytest.mark.parametrize("missing", range(3))
def test_two_of_three_are_not_enough(bundle: PolicyBundle, missing: int) -> None:
    three = list(APPROVERS[:3])
    del three[missing]

    assert not evaluate(bundle.gates, PRODUCTION, approved(bundle.gates, bare(bundle.gates), *three), NOW)


def test_one_person_with_two_roles_has_one_voice(bundle: PolicyBundle) -> None:
    given_by = [("noura", Role.VALIDATOR), ("noura", Role.PRIVACY_OFFICER), ("omar", Role.MODEL_RISK_APPROVER)]

    decision = evaluate(bundle.gates, PRODUCTION, approved(bundle.gates, bare(bundle.gates), *given_by), NOW)

    assert not decision
    assert len(decision.unmet) == 1


@pytest.mark.parametrize("who", ["layla", "hamad"])
@pytest.mark.parametrize("place", range(3))
def test_requester_and_authors_do_not_count(bundle: PolicyBundle, who: str, place: int) -> None:
    given_by = [(who if number == place else name, role) for number, (name, role) in enumerate(APPROVERS[:3])]

    decision = evaluate(bundle.gates, PRODUCTION, approved(bundle.gates, bare(bundle.gates), *given_by), NOW)

    assert decision.rules == (ASKED[place],)


def other(text: str) -> Digest:
    return Digest.of(text.encode())


@pytest.mark.parametrize(
    "change",
    [
        {"digest": other("another model")},
        {"datasets": frozenset({other("another dataset")})},
        {"datasets": frozenset()},
        {"policy": other("another policy")},
        {"zone": "ae-onshore"},
        {"tier": 1},
    ],
    ids=str,
)
def test_an_approval_of_something_else_does_not_count(bundle: PolicyBundle, change: dict[str, Any]) -> None:
    facts = ready(bundle.gates)
    assert evaluate(bundle.gates, PRODUCTION, facts, NOW)
    moved = replace(facts, **change)
    if "digest" in change:
        moved = replace(moved, evidence=(evaluation(moved.digest),))

    assert set(ASKED) <= set(evaluate(bundle.gates, PRODUCTION, moved, NOW).rules)


def test_new_evidence_of_a_kind_that_was_approved_voids_the_approvals(bundle: PolicyBundle) -> None:
    facts = ready(bundle.gates)
    newer = evaluation(facts.digest, age_days=0.5, lower=0.98)

    decision = evaluate(bundle.gates, PRODUCTION, replace(facts, evidence=(*facts.evidence, newer)), NOW)

    assert decision.rules == ASKED


def test_evidence_that_no_gate_asks_for_voids_nothing(bundle: PolicyBundle) -> None:
    facts = ready(bundle.gates)
    monitor = replace(evaluation(facts.digest, age_days=0), kind="drift", digest=other("drift"))

    assert evaluate(bundle.gates, PRODUCTION, replace(facts, evidence=(*facts.evidence, monitor)), NOW)


@pytest.mark.parametrize(
    "change",
    [
        {"expires": NOW},
        {"revoked_at": NOW},
        {"at": NOW + timedelta(seconds=1)},
        {"is_signed": False},
        {"at": NOW - timedelta(days=366), "expires": NOW + timedelta(days=1)},
    ],
    ids=str,
)
def test_an_approval_that_does_not_stand_does_not_count(bundle: PolicyBundle, change: dict[str, Any]) -> None:
    facts = approved(bundle.gates, bare(bundle.gates), *APPROVERS[:3], **change)

    assert evaluate(bundle.gates, PRODUCTION, facts, NOW).rules == ASKED


def test_an_approval_for_staging_is_none_for_production(bundle: PolicyBundle) -> None:
    facts = bare(bundle.gates)
    staged = replace(binding_of(bundle.gates, PRODUCTION, facts), transition=Transition.STAGING)

    facts = approved(bundle.gates, facts, *APPROVERS[:3], binding=staged)

    assert evaluate(bundle.gates, PRODUCTION, facts, NOW).rules == ASKED


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"subject": other("another model")}, "no signed evaluation"),
        ({"is_signed": False}, "no signed evaluation"),
        ({"metrics": {}}, "was not measured"),
    ],
)
def test_evidence_must_be_signed_and_about_these_bytes(
    bundle: PolicyBundle, changes: dict[str, Any], words: str
) -> None:
    facts = bare(bundle.gates)
    evidence = replace(facts.evidence[0], **changes)

    decision = evaluate(bundle.gates, PRODUCTION, replace(facts, evidence=(evidence,)), NOW)

    assert words in decision.reason


@pytest.mark.parametrize("lower", [float("nan"), 0.9499, -1.0])
def test_a_threshold_is_not_passed_by_what_is_no_number(bundle: PolicyBundle, lower: float) -> None:
    facts = bare(bundle.gates)
    facts = replace(facts, evidence=(evaluation(facts.digest, lower=lower),))

    assert "production/health-discrimination" in evaluate(bundle.gates, PRODUCTION, facts, NOW).rules


def test_a_later_failure_outweighs_an_earlier_pass(bundle: PolicyBundle) -> None:
    facts = bare(bundle.gates)
    both: tuple[Evidence, ...] = (
        evaluation(facts.digest, age_days=2),
        evaluation(facts.digest, age_days=1, passed=False),
    )
    for order in (both, both[::-1]):
        decision = evaluate(bundle.gates, PRODUCTION, replace(facts, evidence=order), NOW)
        assert "production/evaluated" in decision.rules


@pytest.mark.parametrize("tier", [None, 0, 4, -1])
@pytest.mark.parametrize("transition", Transition)
def test_without_an_assessed_tier_nothing_opens(bundle: PolicyBundle, tier: int | None, transition: Transition) -> None:
    decision = evaluate(bundle.gates, transition, bare(bundle.gates, tier=tier), NOW)

    assert not decision
    assert decision.rules == ("gates/unwritten",)


def test_a_transition_that_nobody_wrote_about_stays_closed(bundle: PolicyBundle) -> None:
    kept = {rule: one for rule, one in bundle.gates.requirements.items() if Transition.ARCHIVED not in one.transitions}

    assert not evaluate(replace(bundle.gates, requirements=kept), Transition.ARCHIVED, ready(bundle.gates), NOW)


def test_what_is_not_known_about_a_version_counts_against_it(bundle: PolicyBundle) -> None:
    full = bare(bundle.gates)
    facts = Facts(
        version=full.version,
        digest=full.digest,
        stage=full.stage,
        status=full.status,
        tier=2,
        zone="ae-health",
        policy=full.policy,
        requester="layla",
        authors=frozenset(),
    )

    rules = set(evaluate(bundle.gates, PRODUCTION, facts, NOW).rules)

    assert {
        "version/formats",
        "version/signed",
        "version/lineage",
        "version/residency",
        "production/evaluated",
    } <= rules
    assert {"production/validator", "production/privacy-officer", "production/model-risk"} <= rules


def test_a_residency_refusal_is_told_in_its_own_words(bundle: PolicyBundle) -> None:
    refusal = Decision(allowed=False, rule="x", reason="Health data stays.", advice="Stay.")

    decision = evaluate(bundle.gates, PRODUCTION, ready(bundle.gates, residency=refusal), NOW)

    assert decision.rules == ("version/residency",)
    assert "Health data stays" in decision.reason
    assert decision.advice == ("Stay.",)


def test_deployment_stands_on_the_approvals_for_production_in_that_zone(bundle: PolicyBundle) -> None:
    facts = ready(bundle.gates, stage=Stage.PRODUCTION)

    assert evaluate(bundle.gates, Transition.DEPLOY, facts, NOW)
    assert evaluate(bundle.gates, Transition.DEPLOY, replace(facts, zone="ae-onshore"), NOW).rules == (
        "deploy/still-approved",
    )
    assert not evaluate(bundle.gates, Transition.DEPLOY, facts, NOW + timedelta(days=30))


def test_a_binding_survives_json(bundle: PolicyBundle) -> None:
    binding = binding_of(bundle.gates, PRODUCTION, bare(bundle.gates))

    assert Binding.parse(binding.as_members()) == binding


def test_the_approver_learns_why_not(bundle: PolicyBundle) -> None:
    facts = ready(bundle.gates)

    for who, rule in (("layla", "separation/requester"), ("hamad", "separation/author")):
        decision = may_approve(bundle.gates, facts, who, Role.VALIDATOR, NOW)
        assert not decision
        assert decision.rule == rule
        assert decision.legal_basis
        assert decision.policy == str(bundle.digest)
    again = may_approve(bundle.gates, facts, "noura", Role.VALIDATOR, NOW)
    assert (again.allowed, again.rule) == (False, "separation/two-roles")
    # Who asked a moment before their other approval was given, and had to wait for their turn, has spoken all the same.
    waited = may_approve(bundle.gates, facts, "noura", Role.VALIDATOR, NOW - timedelta(days=10))
    assert (waited.allowed, waited.rule) == (False, "separation/two-roles")
    assert may_approve(bundle.gates, facts, "noura", Role.PRIVACY_OFFICER, NOW)
    assert may_approve(bundle.gates, facts, "aisha", Role.VALIDATOR, NOW)


def test_a_role_given_up_makes_room_for_another(bundle: PolicyBundle) -> None:
    facts = bare(bundle.gates)
    withdrawn = approval(bundle.gates, facts, "noura", Role.PRIVACY_OFFICER, revoked_at=NOW)

    assert may_approve(bundle.gates, replace(facts, approvals=(withdrawn,)), "noura", Role.VALIDATOR, NOW)


people = st.sampled_from(["layla", "hamad", "yousef", "noura", "omar", "salma"])
roles = st.sampled_from([Role.VALIDATOR, Role.PRIVACY_OFFICER, Role.MODEL_RISK_APPROVER, Role.AUDITOR])


@dataclass(frozen=True)
class Voice:
    """An approval to be, good or bad in one of the ways that approvals are; `kept`: also in the lesser set."""

    approver: str
    role: Role
    kept: bool
    zone: str
    begins: int
    ends: int
    is_revoked: bool

    def of(self, gates: Gates, facts: Facts) -> Approval:
        return approval(
            gates,
            facts,
            self.approver,
            self.role,
            binding=replace(binding_of(gates, PRODUCTION, facts), zone=self.zone),
            at=NOW + timedelta(hours=self.begins),
            expires=NOW + timedelta(hours=self.ends),
            revoked_at=NOW if self.is_revoked else None,
        )


voices = st.builds(
    Voice,
    people,
    roles,
    st.booleans(),
    st.sampled_from(["ae-health", "ae-health", "ae-health", "ae-onshore"]),
    st.sampled_from([-2, -1, 0, 1]),
    st.sampled_from([0, 1, 2]),
    st.sampled_from([False, False, False, True]),
)
tiers = st.sampled_from([1, 2, 3])
tag_sets = st.sampled_from([("health.ae",), ("public",), (), ("personal", "children")])


@given(tiers, tag_sets, st.lists(voices, max_size=8))
def test_one_more_approval_never_closes_a_gate_and_one_less_never_opens_it(
    bundle: PolicyBundle, tier: int, tags: tuple[str, ...], found: list[Voice]
) -> None:
    facts = bare(bundle.gates, tier=tier, tags=tags)
    few = tuple(one.of(bundle.gates, facts) for one in found if one.kept)
    many = tuple(one.of(bundle.gates, facts) for one in found)

    fewer = evaluate(bundle.gates, PRODUCTION, replace(facts, approvals=few), NOW)
    more = evaluate(bundle.gates, PRODUCTION, replace(facts, approvals=many), NOW)

    assert bool(more) >= bool(fewer)
    # Which of two roles one person's voice fills may change, how many places are empty may only fall.
    assert len(more.unmet) <= len(fewer.unmet)


@given(tiers, tag_sets, st.lists(voices, min_size=3, max_size=8))
def test_an_open_gate_has_a_different_independent_person_in_every_place(
    bundle: PolicyBundle, tier: int, tags: tuple[str, ...], found: list[Voice]
) -> None:
    facts = bare(bundle.gates, tier=tier, tags=tags)
    given_by = tuple(one.of(bundle.gates, facts) for one in found)
    facts = replace(facts, approvals=given_by)

    if evaluate(bundle.gates, PRODUCTION, facts, NOW):
        bound = binding_of(bundle.gates, PRODUCTION, facts)
        independent = {one.approver for one in given_by if one.binding == bound and one.is_live(NOW)} - facts.authors
        asked = [one for one in gate_of(bundle.gates, PRODUCTION, facts).values() if one.kind is Kind.APPROVALS]
        assert len(independent) >= sum(one.count for one in asked)
        assert any(one.role is Role.VALIDATOR and one.approver in independent for one in given_by)


@given(tiers, tag_sets, st.lists(voices, max_size=8), st.randoms())
def test_the_order_of_approvals_means_nothing(
    bundle: PolicyBundle, tier: int, tags: tuple[str, ...], found: list[Voice], random: Random
) -> None:
    facts = bare(bundle.gates, tier=tier, tags=tags)
    given_by = [one.of(bundle.gates, facts) for one in found]
    shuffled = random.sample(given_by, len(given_by))

    one = evaluate(bundle.gates, PRODUCTION, replace(facts, approvals=tuple(given_by)), NOW)
    two = evaluate(bundle.gates, PRODUCTION, replace(facts, approvals=tuple(shuffled)), NOW)

    assert one == two


@given(
    ends=st.lists(st.integers(min_value=-5, max_value=400), min_size=3, max_size=6),
    ages=st.lists(st.integers(min_value=0, max_value=400), min_size=6, max_size=6),
    who=st.lists(st.sampled_from(APPROVERS), min_size=3, max_size=6),
)
def test_approvals_stand_until_the_moment_that_is_told_and_not_longer(
    bundle: PolicyBundle, ends: list[int], ages: list[int], who: list[tuple[str, Role]]
) -> None:
    facts = bare(bundle.gates, stage=Stage.PRODUCTION)
    given_by = tuple(
        approval(
            bundle.gates, facts, name, role, at=NOW - timedelta(days=age), expires=NOW + timedelta(days=end)
        )
        for (name, role), age, end in zip(who, ages, ends, strict=False)
    )  # fmt: skip
    facts = replace(facts, approvals=given_by)
    until = approved_until(bundle.gates, facts)

    def stands(days: float) -> bool:
        decision = evaluate(bundle.gates, Transition.DEPLOY, facts, NOW + timedelta(days=days))
        return "deploy/still-approved" not in decision.rules

    last = max((day for day in range(-5, 401) if stands(day)), default=None)
    if last is None:
        assert until is None or until <= NOW - timedelta(days=4)
    else:
        assert until is not None
        assert NOW + timedelta(days=last) < until <= NOW + timedelta(days=last + 1)


PEOPLE = ("yousef", "noura", "omar", "salma", "layla")  # layla asked for it
ROLES = (Role.VALIDATOR, Role.PRIVACY_OFFICER, Role.MODEL_RISK_APPROVER)
GIVEN = st.tuples(st.sampled_from(PEOPLE), st.sampled_from(ROLES), st.sampled_from(("", "", *PEOPLE)))


@given(st.lists(GIVEN, min_size=3, max_size=6))
def test_whoever_acts_for_whom_three_seats_are_three_independent_voices(
    bundle: PolicyBundle, said: list[tuple[str, Role, str]]
) -> None:
    facts = bare(bundle.gates)
    approvals = tuple(
        approval(
            bundle.gates, facts, who, role, ref=f"approval:{number}", stands_in_for=absent if absent != who else ""
        )
        for number, (who, role, absent) in enumerate(said)
    )
    if evaluate(bundle.gates, PRODUCTION, replace(facts, approvals=approvals), NOW):
        seats = [[one.voices for one in approvals if one.role is role and "layla" not in one.voices] for role in ROLES]
        assert any(a.isdisjoint(b) and a.isdisjoint(c) and b.isdisjoint(c) for a, b, c in product(*seats))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"after": ["production/nothing"]}, "no other rule of kind approvals"),
        ({"after": ["version/scanned"]}, "no other rule of kind approvals"),
        ({"after": ["production/validator"]}, "no other rule of kind approvals"),
        ({"ticket": "("}, "not a regular expression"),
        ({"escalate_to": []}, "both or neither"),
    ],
)
def test_an_order_that_cannot_be_kept_is_refused(change: dict[str, Any], said: str) -> None:
    text = json.dumps({"requirements": {"production/validator": change}})

    with pytest.raises(Misconfigured, match=said):
        PolicyBundle.of_files({"gates.yaml": text})
