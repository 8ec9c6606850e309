# SPDX-License-Identifier: Apache-2.0
"""Waivers as values: what they excuse, what they never excuse, and that their end closes the gate."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khatim.vocabulary import Certainty, Role, Stage
from policies.facts import Facts, Transition, Waiver
from policies.gates import binding_of, evaluate
from policies.loading import PolicyBundle
from policies.requirements import EXCUSABLE, Gates, Kind, Requirement, WaiverRule
from policies.waivers import may_ask, may_give
from tests.policies.examples import NOW, ready

PRODUCTION = Transition.PRODUCTION
RULE = "production/evaluated"


def waiver(gates: Gates, facts: Facts, **changes: Any) -> Waiver:
    """Return a live waiver of the evaluation of exactly *facts*."""
    filled: dict[str, Any] = {
        "ref": "waiver:1",
        "rule": RULE,
        "binding": binding_of(gates, PRODUCTION, facts),
        "excuses": frozenset(),
        "requester": "layla",
        "approver": "omar",
        "at": NOW - timedelta(days=1),
        "expires": NOW + timedelta(days=1),
        "is_signed": True,
    }
    return Waiver(**{**filled, **changes})


def unevaluated(gates: Gates, **changes: Any) -> Facts:
    """Return a version whose approvals are in and whose evaluation is missing."""
    return ready(gates, evidence=(), tags=("public",), tier=3, **changes)


def test_what_is_excused_is_excepted_and_not_met(bundle: PolicyBundle) -> None:
    facts = unevaluated(bundle.gates)
    assert evaluate(bundle.gates, PRODUCTION, facts, NOW).rules == (RULE,)
    decision = evaluate(bundle.gates, PRODUCTION, replace(facts, waivers=(waiver(bundle.gates, facts),)), NOW)

    assert decision
    assert RULE not in {one.rule for one in decision.met}
    [one] = decision.excepted
    assert (one.waiver, one.expires) == ("waiver:1", NOW + timedelta(days=1))
    assert "excused by waiver" in decision.reason
    assert decision.as_members()["excepted"][0]["waiver"] == "waiver:1"


@given(st.integers(-400, 400), st.integers(-400, 400), st.integers(-400, 400))
def test_a_waiver_past_its_date_does_not_open_the_gate(
    bundle: PolicyBundle, begins: int, ends: int, asked: int
) -> None:
    facts = unevaluated(bundle.gates)
    one = waiver(bundle.gates, facts, at=NOW + timedelta(hours=begins), expires=NOW + timedelta(hours=ends))
    at = NOW + timedelta(hours=asked)

    # The approvals of the example stand from an hour before until thirty days after.
    is_approved = -1 <= asked < 30 * 24
    is_open = bool(evaluate(bundle.gates, PRODUCTION, replace(facts, waivers=(one,)), at))
    assert is_open == (is_approved and begins <= asked < ends)


WITHOUT_EFFECT: dict[str, dict[str, Any]] = {
    "of another requirement": {"rule": "production/no-findings"},
    "not signed": {"is_signed": False},
    "taken back": {"revoked_at": NOW},
    "asked and given by one": {"requester": "omar"},
    "given by nobody": {"approver": ""},
    "given by who asked for the version": {"approver": "layla", "requester": "x"},
    "given by an author": {"approver": "hamad"},
}


@pytest.mark.parametrize("change", WITHOUT_EFFECT.values(), ids=list(WITHOUT_EFFECT))
def test_a_waiver_that_is_not_right_excuses_nothing(bundle: PolicyBundle, change: dict[str, Any]) -> None:
    facts = unevaluated(bundle.gates)
    given_now = replace(facts, waivers=(waiver(bundle.gates, facts, **change),))

    assert not evaluate(bundle.gates, PRODUCTION, given_now, NOW)


@pytest.mark.parametrize("change", [{"zone": "ae-onshore"}, {"tier": 2}, {"transition": Transition.STAGING}])
def test_a_waiver_is_bound_as_an_approval_is(bundle: PolicyBundle, change: dict[str, Any]) -> None:
    facts = unevaluated(bundle.gates)
    other = replace(binding_of(bundle.gates, PRODUCTION, facts), **change)

    assert not evaluate(
        bundle.gates, PRODUCTION, replace(facts, waivers=(waiver(bundle.gates, facts, binding=other),)), NOW
    )


def test_a_finding_that_came_later_is_not_excused(bundle: PolicyBundle) -> None:
    facts = ready(bundle.gates, open_findings=("finding:1",))
    one = waiver(bundle.gates, facts, rule="production/no-findings", excuses=frozenset({"finding:1"}))

    assert evaluate(bundle.gates, PRODUCTION, replace(facts, waivers=(one,)), NOW)
    more = replace(facts, waivers=(one,), open_findings=("finding:1", "finding:2"))
    assert evaluate(bundle.gates, PRODUCTION, more, NOW).rules == ("production/no-findings",)


@given(st.sampled_from(sorted(set(Kind) - EXCUSABLE)))
def test_no_file_can_make_waivable_what_holds_always(kind: Kind) -> None:
    with pytest.raises(ValueError, match="never waived"):
        Requirement(
            kind=kind, transitions=frozenset({PRODUCTION}), title="t", basis="b", certainty=Certainty.INFERRED,
            stages=frozenset({Stage.NONE}), roles=frozenset({Role.VALIDATOR}), checklist={"looked": "I looked"},
            waivable=True,
        )  # fmt: skip


@given(st.sampled_from([1, 2, 3]), st.floats(0.1, 400), st.booleans())
def test_every_requirement_that_may_be_excused_says_so_and_for_no_longer_than_its_tier(
    bundle: PolicyBundle, tier: int, days: float, is_known: bool
) -> None:
    gates = bundle.gates
    facts = ready(gates, tier=tier) if is_known else ready(gates, tier=None)
    for rule, one in gates.requirements.items():
        allowed = bool(may_ask(gates, rule, PRODUCTION, facts, days))
        is_asked = one.waivable and PRODUCTION in one.transitions
        assert allowed == (is_asked and is_known and days <= gates.waivers.max_days[tier])


@pytest.mark.parametrize("days", [{4: 10}, {1: 0}, {1: 367}])
def test_a_term_without_bounds_is_refused(days: dict[int, float]) -> None:
    with pytest.raises(ValueError, match="max_days"):
        WaiverRule(title="t", basis="b", certainty=Certainty.INFERRED, max_days=days)


def test_the_approver_of_a_waiver_is_independent(bundle: PolicyBundle) -> None:
    facts = unevaluated(bundle.gates)

    for who, rule in (("yousef", "separation/requester"), ("layla", "separation/requester"),
                      ("hamad", "separation/author")):  # fmt: skip
        decision = may_give(bundle.gates, facts, asked_by="yousef", approver=who)
        assert (decision.allowed, decision.rule) == (False, rule)
        assert decision.legal_basis
    assert may_give(bundle.gates, facts, asked_by="yousef", approver="omar")
