# SPDX-License-Identifier: Apache-2.0
"""Standing training authorisations: inside, outside, and why."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khatim.vocabulary import Digest
from policies.training import Budget, TrainingAuthorisation, TrainingRun, inside
from tests.policies.examples import NOW, PURPOSE

CODE = Digest.of(b"train.py")
STANDING = TrainingAuthorisation(
    ref="authorisation:1",
    datasets=frozenset({"oncology/wdbc@1", "oncology/wdbc@2"}),
    purpose=PURPOSE,
    code=CODE,
    zone="ae-health",
    budget=Budget(runs=3, cpu_seconds=600),
    starts=NOW - timedelta(days=1),
    ends=NOW + timedelta(days=1),
    requester="layla",
    approver="noura",
)
RUN = TrainingRun(datasets=frozenset({"oncology/wdbc@1"}), purpose=PURPOSE, code=CODE, zone="ae-health", cpu_seconds=60)


def test_a_run_inside_needs_no_further_approval() -> None:
    decision = inside(STANDING, RUN, NOW, policy="sha256:1")

    assert decision
    assert decision.rule == "training/inside"
    assert decision.policy == "sha256:1"


@pytest.mark.parametrize(
    ("standing", "run", "rule"),
    [
        ({"approver": ""}, {}, "training/not-approved"),
        ({"approver": "layla"}, {}, "training/self-approved"),
        ({"revoked_at": NOW}, {}, "training/revoked"),
        ({"starts": NOW + timedelta(seconds=1)}, {}, "training/not-begun"),
        ({"ends": NOW}, {}, "training/ended"),
        ({}, {"datasets": frozenset()}, "training/no-dataset"),
        ({}, {"datasets": frozenset({"oncology/wdbc@1", "oncology/wdbc@3"})}, "training/dataset"),
        ({}, {"purpose": "marketing"}, "training/purpose"),
        ({}, {"code": Digest.of(b"other.py")}, "training/code"),
        ({}, {"zone": "ae-onshore"}, "training/zone"),
        ({"used_runs": 3}, {}, "training/budget-runs"),
        ({"used_cpu_seconds": 550.0}, {}, "training/budget-cpu"),
        ({}, {"cpu_seconds": float("nan")}, "training/budget-cpu"),
        ({"used_cpu_seconds": 600.0}, {"cpu_seconds": -60.0}, "training/budget-cpu"),
    ],
)
def test_a_run_outside_is_refused_by_name(standing: dict[str, Any], run: dict[str, Any], rule: str) -> None:
    decision = inside(replace(STANDING, **standing), replace(RUN, **run), NOW)

    assert not decision
    assert decision.rule == rule
    assert decision.advice


def test_everything_that_is_outside_is_told_at_once() -> None:
    decision = inside(STANDING, replace(RUN, purpose="marketing", zone="ext-de"), NOW)

    assert "marketing" in decision.reason
    assert "ext-de" in decision.reason


def test_a_budget_has_a_limit() -> None:
    assert inside(replace(STANDING, budget=Budget(runs=1)), replace(RUN, cpu_seconds=1e9), NOW)
    for wrong in ({}, {"runs": -1}, {"cpu_seconds": float("nan")}, {"cpu_seconds": -1.0}):
        with pytest.raises(ValueError, match="budget"):
            Budget(**wrong)


@given(st.integers(0, 6), st.integers(0, 6))
def test_exactly_as_many_runs_start_as_the_budget_allows(runs: int, tried: int) -> None:
    standing = replace(STANDING, budget=Budget(runs=runs))
    started = 0
    for _ in range(tried):
        started += bool(inside(replace(standing, used_runs=started), RUN, NOW))

    assert started == min(runs, tried)
