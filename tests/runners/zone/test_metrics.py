# SPDX-License-Identifier: Apache-2.0
"""The metrics are those of scikit-learn and statsmodels' textbook; the intervals hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as theirs

from khatim.errors import Malformed
from runners.zone.metrics import METRICS, Scored, measure, wilson


def _rows(seed: int, n: int = 200, shift: float = 1.0) -> Scored:
    random = np.random.default_rng(seed)
    truth = random.random(n) < 0.4
    truth[:2] = [True, False]
    score = 1 / (1 + np.exp(-(random.normal(size=n) + shift * (truth - 0.5) * 2)))
    return Scored(truth, np.round(score, 2))


@given(st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_each_metric_is_the_one_scikit_learn_computes(seed: int) -> None:
    rows = _rows(seed, n=60)
    found = measure(rows, seed=0, resamples=20)
    said = rows.score >= rows.threshold
    expected = {
        "accuracy": theirs.accuracy_score(rows.truth, said),
        "roc_auc": theirs.roc_auc_score(rows.truth, rows.score),
        "sensitivity": theirs.recall_score(rows.truth, said),
        "specificity": theirs.recall_score(~rows.truth, ~said),
        "brier": theirs.brier_score_loss(rows.truth, rows.score),
    }
    assert tuple(found) == METRICS
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value, abs=1e-6), name
        low, high = found[name].low, found[name].high
        assert low is not None
        assert high is not None
        assert low <= high


@given(st.integers(0, 500), st.integers(0, 500))
def test_wilsons_interval_holds_the_share(hits: int, misses: int) -> None:
    low, high = wilson(hits, hits + misses)
    assert 0.0 <= low <= high <= 1.0
    if hits + misses:
        assert low - 1e-12 <= hits / (hits + misses) <= high + 1e-12


def test_wilsons_interval_is_the_published_one() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I: 81/263 and 0/20.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)


def test_the_same_seed_gives_the_same_interval_and_another_one_another() -> None:
    rows = _rows(3)
    assert measure(rows, seed=5) == measure(rows, seed=5)
    assert measure(rows, seed=5)["roc_auc"].low != measure(rows, seed=6)["roc_auc"].low


def test_the_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    """True AUC of two unit normals two apart is Phi(2/sqrt 2) = 0.9214."""
    covered = 0
    for seed in range(60):
        found = measure(_rows(seed, n=150), seed=seed, resamples=100)["roc_auc"]
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.9214 <= found.high
    assert 0.85 <= covered / 60 <= 1.0


def test_what_the_rows_cannot_tell_is_not_invented() -> None:
    one_class = measure(Scored(np.array([True] * 5), np.full(5, 0.9)), seed=0)
    assert one_class["roc_auc"].value is None
    assert one_class["specificity"].note == "no negative rows"
    assert one_class["sensitivity"].value == 1.0
    assert measure(Scored(np.array([], dtype=bool), np.array([])), seed=0)["accuracy"].note == "no rows"
    apart = measure(Scored(np.array([True, False] * 20), np.array([0.9, 0.1] * 20)), seed=0)
    assert apart["roc_auc"].note.startswith("degenerate")


@pytest.mark.parametrize("score", [[0.2, np.nan], [0.2, 1.5], [0.2, -0.1], [0.2]])
def test_scores_that_are_no_probabilities_are_refused(score: list[float]) -> None:
    with pytest.raises(Malformed):
        Scored(np.array([True, False]), np.array(score))
