# SPDX-License-Identifier: Apache-2.0
"""The MMD: equal to its definition, calibrated when nothing has changed, and with power when something has."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from runners.zone.drift import mmd
from runners.zone.drift.mmd import permutation_test


def test_the_statistic_is_that_of_the_definition() -> None:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(40, 3)), random.normal(0.5, 1, size=(30, 3))
    found = permutation_test(x, y, permutations=99, seed=0)
    pooled = np.concatenate([x, y])
    pooled = (pooled - pooled.mean(axis=0)) / pooled.std(axis=0)

    def mean_kernel(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
        squares = ((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=2)
        return float(np.exp(-squares / found.bandwidth**2).mean())

    x, y = pooled[:40], pooled[40:]
    expected = mean_kernel(x, x) + mean_kernel(y, y) - 2 * mean_kernel(x, y)
    assert found.statistic == pytest.approx(expected, rel=1e-3)


def test_it_keeps_its_level_when_nothing_has_changed() -> None:
    """1000 tests at 5 %: 50 are expected, and 29 to 73 are within 99.9 percent of chance.  Sides of unequal size."""
    random = np.random.default_rng(7)
    p_values = []
    for i in range(1000):
        rows = random.standard_t(3, size=(70, 4)) * np.array([1, 10, 0.1, 1000])
        p_values.append(permutation_test(rows[:45], rows[45:], permutations=99, seed=i).p_value)
    assert 29 <= sum(p <= 0.05 for p in p_values) <= 73
    assert 0.46 < float(np.mean(p_values)) < 0.55  # as uniform numbers on 0.01, 0.02 ... 1 have


def test_it_sees_a_small_shift_of_every_feature() -> None:
    random = np.random.default_rng(3)
    x, y = random.normal(size=(1500, 20)), random.normal(0.1, 1, size=(1500, 20))
    assert permutation_test(x, y, permutations=200, seed=0).p_value == pytest.approx(1 / 201)


def test_the_same_seed_gives_the_same_result() -> None:
    random = np.random.default_rng(3)
    x, y = random.normal(size=(50, 2)), random.normal(size=(50, 2))
    one, again = (permutation_test(x, y, permutations=99, seed=5) for _ in range(2))
    assert one == again


def test_more_rows_than_the_bound_are_thinned() -> None:
    random = np.random.default_rng(4)
    x, y = random.normal(size=(mmd.MOST_ROWS + 500, 2)), random.normal(1, 1, size=(100, 2))
    assert permutation_test(x, y, permutations=99, seed=5).p_value == pytest.approx(0.01)


def test_equal_rows_are_no_drift() -> None:
    assert permutation_test(np.ones((30, 2)), np.ones((40, 2)), permutations=99, seed=0).p_value == 1.0
