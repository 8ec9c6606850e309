# SPDX-License-Identifier: Apache-2.0
"""The profile of a small team: one approver is enough, and that one had no hand in it; the rest holds as ever."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from khatim.vocabulary import JobKind, Role
from policies.facts import Transition
from policies.gates import evaluate
from policies.loading import PolicyBundle
from policies.overlaid import SHIPPED, shipped
from tests.policies.examples import NOW, approval, bare
from tests.support.http import good, problem
from tests.support.people import PAVEL, SAMI, VERA
from tests.support.world import MODEL, VERSION, ZONE, Step, World, Worlds

SMALL = SHIPPED / "small"
BODY = {"role": "validator", "meaning": "I looked at everything"}
PROMOTE = {"to": "production", "because": "it is approved"}


@pytest.fixture
def small(worlds: Worlds) -> Iterator[World]:
    with worlds.at(Step.EVALUATED, SMALL) as opened:
        yield opened


def test_one_person_who_had_no_hand_in_it_is_enough(small: World) -> None:
    problem(small.as_(SAMI).post(f"{VERSION}/promotions", PROMOTE), 403, "gate-not-satisfied")
    good(small.as_(VERA).post(f"{VERSION}/approvals", BODY))
    good(small.as_(SAMI).post(f"{VERSION}/promotions", PROMOTE))
    good(small.as_(PAVEL).post("/v1/deployments", {"version": f"{MODEL}@1", "zone": ZONE}))

    seats = small.agent.claim_a(JobKind.DEPLOY)["spec"]["seats"]  # the runner counts the same
    assert seats == [["model-risk-approver", "privacy-officer", "validator"]]


def test_whoever_made_it_is_still_not_that_person(small: World) -> None:
    everything = SAMI.also(Role.VALIDATOR, Role.PRIVACY_OFFICER, Role.MODEL_RISK_APPROVER)

    problem(small.as_(everything).post(f"{VERSION}/approvals", BODY), 403, "separation-of-duties")


def test_at_the_highest_tier_two_people_agree() -> None:
    gates = PolicyBundle.load(overlay=SMALL).gates
    facts = bare(gates, tier=1)
    one = approval(gates, facts, "noura", Role.VALIDATOR)
    two = approval(gates, facts, "omar", Role.MODEL_RISK_APPROVER)

    def unmet(*given: object) -> tuple[str, ...]:
        return evaluate(gates, Transition.PRODUCTION, bare(gates, tier=1, approvals=given), NOW).rules

    assert len(unmet(one)) == 1
    assert unmet(one, two) == ()


def test_approvals_of_one_profile_do_not_count_in_another() -> None:
    here, there = PolicyBundle.load().gates, PolicyBundle.load(overlay=SMALL).gates

    assert (here.profile, there.profile) == ("enterprise", "small")
    assert here.policy != there.policy
    assert shipped("small") == SMALL
    assert shipped("../small") is None
