# SPDX-License-Identifier: Apache-2.0
"""The default engine: its correction, its index, and that its alarm as a whole keeps alpha."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from khatim.errors import Malformed
from runners.zone.drift.schema import DriftPlan, DriftReport
from runners.zone.drift.scipy_engine import ScipyEngine, benjamini_hochberg, psi

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@given(P_VALUES, st.floats(0.001, 0.3))
def test_the_correction_is_benjamini_hochbergs(p_values: list[float], q: float) -> None:
    threshold = benjamini_hochberg(p_values, q)
    adjusted = stats.false_discovery_control(p_values)
    for p, a in zip(p_values, adjusted, strict=True):
        if abs(a - q) > 1e-9:  # at the very border the two divide in another order
            assert (p <= threshold) == (a <= q)


def test_psi_grows_with_the_shift_and_is_small_without() -> None:
    random = np.random.default_rng(0)
    reference = random.normal(size=5000)
    values = [psi(reference, random.normal(shift, 1, 5000)) for shift in (0.0, 0.5, 1.0, 3.0)]
    assert values[0] < 0.02
    assert values == sorted(values)
    assert values[2] > 0.25
    assert psi(np.ones(50), np.ones(50)) == pytest.approx(0.0)


def test_the_alarm_as_a_whole_keeps_alpha_when_nothing_has_changed() -> None:
    """150 checks at alpha 0.1 of ten features and an MMD: about 15 alarms at most; 28 would be beyond 99.9 percent."""
    random = np.random.default_rng(1)
    plan = DriftPlan("sha256:r", alpha=0.1, permutations=100)
    alarms = 0
    for _ in range(150):
        rows = random.normal(size=(100, 10)) @ (np.eye(10) + 0.3)
        reference = {f"f{i}": rows[:60, i] for i in range(10)}
        sample = {f"f{i}": rows[60:, i] for i in range(10)}
        alarms += ScipyEngine().detect(reference, sample, plan).is_drift
    assert alarms < 28


def test_a_change_of_correlation_alone_is_seen_by_the_multivariate_test_only() -> None:
    random = np.random.default_rng(2)
    x = random.normal(size=(400, 2))
    y = random.normal(size=(400, 2))
    y[:, 1] = 0.95 * y[:, 0] + np.sqrt(1 - 0.95**2) * y[:, 1]
    report = ScipyEngine().detect(
        {"a": x[:, 0], "b": x[:, 1]}, {"a": y[:, 0], "b": y[:, 1]}, DriftPlan("sha256:r", permutations=200)
    )
    assert report.drifted == ()
    assert report.multivariate is not None
    assert report.multivariate.is_drift
    assert report.is_drift
    alone = DriftPlan("sha256:r", multivariate=False)
    report = ScipyEngine().detect({"a": x[:, 0], "b": x[:, 1]}, {"a": y[:, 0], "b": y[:, 1]}, alone)
    assert (report.multivariate, report.is_drift) == (None, False)


@given(st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_the_order_of_rows_changes_no_test_of_a_feature(seed: int) -> None:
    random = np.random.default_rng(seed)
    x, y = random.normal(size=50), random.normal(0.5, 1, size=40)
    plan = DriftPlan("sha256:r", multivariate=False)
    one = ScipyEngine().detect({"a": x}, {"a": y}, plan)
    other = ScipyEngine().detect({"a": random.permutation(x)}, {"a": random.permutation(y)}, plan)
    assert one == other


def test_a_constant_column_is_no_drift() -> None:
    same = {"a": np.ones(50), "c": np.array(["x"] * 50)}
    report = ScipyEngine().detect(same, same, DriftPlan("sha256:r", categorical=frozenset({"c"})))
    assert not report.is_drift
    assert [f.p_value for f in report.features] == [1.0, 1.0]


@pytest.mark.parametrize("changes", [{"alpha": 0.0}, {"alpha": 0.9}, {"alpha": 0.01, "permutations": 50}])
def test_a_plan_that_cannot_be_is_refused(changes: dict[str, float]) -> None:
    with pytest.raises(Malformed):
        DriftPlan("sha256:r", **changes)  # type: ignore[arg-type]


def test_a_report_that_is_none_is_refused() -> None:
    good = json.loads(ScipyEngine().detect({"a": np.arange(30)}, {"a": np.arange(30)}, DriftPlan("d")).to_json())
    for bad in ("{", "[]", "{}", json.dumps({**good, "schema": "khatim.drift/9"}), json.dumps({**good, "mood": 1})):
        with pytest.raises(Malformed):
            DriftReport.from_json(bad)
