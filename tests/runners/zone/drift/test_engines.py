# SPDX-License-Identifier: Apache-2.0
"""One contract for all drift engines: flag a shifted sample, leave an unshifted one alone, say who you are."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from khatim.errors import Malformed
from runners.zone.drift.alibi_adapter import AlibiEngine
from runners.zone.drift.schema import Columns, DriftPlan, DriftReport, Engine
from runners.zone.drift.scipy_engine import ScipyEngine
from tests.runners.zone import breast_cancer
from tests.runners.zone.breast_cancer import KEY, LABEL

ROOM = Path(__file__).resolve().parents[4] / ".venv-alibi" / "bin" / "python"
PLAN = DriftPlan(reference_digest=f"sha256:{'a' * 64}", alpha=0.01, categorical=frozenset({"ward"}), permutations=500)


@pytest.fixture(params=["scipy", "alibi-detect"])
def engine(request: pytest.FixtureRequest) -> Engine:
    return ScipyEngine() if request.param == "scipy" else AlibiEngine(ROOM)


@functools.cache
def _halves() -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """Return the real rows in two halves drawn by chance, each with a category besides its thirty numbers."""
    table = breast_cancer.table()
    random = np.random.default_rng(12)
    order = random.permutation(table.num_rows)
    wards = np.array(["north", "south", "east"])[random.integers(0, 3, table.num_rows)]
    halves = []
    for rows in (order[:300], order[300:]):
        half = {name: table.column(name).to_numpy()[rows].astype(np.float32) for name in table.column_names[1:-1]}
        halves.append({**half, "ward": wards[rows]})
    assert KEY not in halves[0]
    assert LABEL not in halves[0]
    return halves[0], halves[1]


def _check(report: DriftReport, reference: Columns) -> None:
    assert DriftReport.from_json(report.to_json()) == report
    assert [f.feature for f in report.features] == list(reference)
    assert report.reference_digest == PLAN.reference_digest
    assert report.correction == "benjamini-hochberg"
    assert (report.reference_rows, report.sample_rows) == (300, 269)
    assert report.engine_version
    for f in report.features:
        assert f.test == ("chi2" if f.feature == "ward" else "ks")
        assert 0.0 <= f.p_value <= 1.0
        assert f.is_drift is (f.p_value <= f.threshold)
    any_drift = any(f.is_drift for f in report.features) or bool(report.multivariate and report.multivariate.is_drift)
    assert report.is_drift is any_drift


def test_an_unshifted_sample_is_left_alone(engine: Engine) -> None:
    reference, sample = _halves()
    report = engine.detect(reference, sample, PLAN)
    _check(report, reference)
    assert not report.is_drift
    assert report.drifted == ()


def test_a_shifted_sample_is_flagged_and_the_shifted_features_are_named(engine: Engine) -> None:
    reference, sample = _halves()
    shifted = {**sample, "worst_area": sample["worst_area"] * 1.5, "mean_texture": sample["mean_texture"] + 4}
    report = engine.detect(reference, shifted, PLAN)
    _check(report, reference)
    assert report.is_drift
    assert {"worst_area", "mean_texture"} <= set(report.drifted)
    assert len(report.drifted) < 6


def test_another_mix_of_categories_is_flagged_new_ones_too(engine: Engine) -> None:
    reference, sample = _halves()
    report = engine.detect(reference, {**sample, "ward": np.full(269, "roof")}, PLAN)
    _check(report, reference)
    assert report.drifted == ("ward",)


def test_the_engines_agree_on_statistics(request: pytest.FixtureRequest) -> None:
    reference, sample = _halves()
    shifted = {**sample, "worst_area": sample["worst_area"] * 1.2}
    ours = ScipyEngine().detect(reference, shifted, PLAN)
    theirs = AlibiEngine(ROOM).detect(reference, shifted, PLAN)
    for a, b in zip(ours.features, theirs.features, strict=True):
        if a.test == "ks":
            assert a.statistic == pytest.approx(b.statistic, abs=1e-5), a.feature
            assert a.p_value == pytest.approx(b.p_value, abs=0.02), a.feature
    assert set(ours.drifted) == set(theirs.drifted)
    assert (ours.licence, theirs.licence) == ("BSD-3-Clause", "Apache-2.0")
    assert theirs.engine_version == "0.11.4"


def test_what_cannot_be_compared_is_refused(engine: Engine) -> None:
    reference, sample = _halves()
    few = {name: values[:5] for name, values in sample.items()}
    other = {name: values for name, values in sample.items() if name != "worst_area"}
    empty = {**sample, "worst_area": np.full(269, np.nan)}
    uneven = {**sample, "worst_area": sample["worst_area"][:100]}
    words = {**sample, "worst_area": np.full(269, "wide")}
    for rows, why in (
        (few, "5 rows"),
        (other, "worst_area"),
        (empty, "finite"),
        (uneven, "100 rows"),
        (words, "finite"),
    ):
        with pytest.raises(Malformed, match=why):
            engine.detect(reference, rows, PLAN)
    with pytest.raises(Malformed, match="not there: mood"):
        engine.detect(reference, sample, DriftPlan("d", categorical=frozenset({"mood"})))
