# SPDX-License-Identifier: Apache-2.0
"""The maximum mean discrepancy with all permutations as one matrix product (Gretton et al., JMLR 13, 2012).

With weights u = 1/n on reference rows and -1/m on sample rows, the statistic is u'Ku.  Every permutation is another
column of weights, so all of them are one product with the kernel matrix.  The p-value counts the statistic itself as
one permutation, so the test keeps its level exactly (Phipson and Smyth, 2010).  Scale and bandwidth come from the
pooled rows without regard to which side they are on, which keeps the rows exchangeable under the hypothesis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_ROWS = 2500  # of each side; more are thinned by the seed: the kernel matrix is (2 * 2500)^2 * 4 bytes = 100 MB
_MEDIAN_ROWS = 1000
_BLOCK = 128
_ROUNDING = 1e-7  # of 32-bit sums; the statistic itself is about 1/n


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """The squared discrepancy and the share of permutations that reach it."""

    statistic: float
    p_value: float
    bandwidth: float


def permutation_test(
    reference: NDArray[np.floating], sample: NDArray[np.floating], *, permutations: int, seed: int
) -> Discrepancy:
    """Test whether the rows of both [rows, features] come from one distribution; the least p is 1/(permutations+1)."""
    random = np.random.default_rng(seed)
    x, y = (_thinned(np.asarray(side, dtype=np.float64), random) for side in (reference, sample))
    n, m = len(x), len(y)
    pooled = np.concatenate([x, y])
    spread = pooled.std(axis=0)
    pooled = ((pooled - pooled.mean(axis=0)) / np.where(spread > 0, spread, 1.0)).astype(np.float32)
    distances = _squared_distances(pooled)
    few = random.choice(n + m, size=min(n + m, _MEDIAN_ROWS), replace=False)
    among = distances[np.ix_(few, few)][np.triu_indices(len(few), k=1)]
    median = float(np.median(among)) if len(among) else 0.0
    bandwidth = median if median > 0 else 1.0
    np.exp(np.multiply(distances, np.float32(-1.0 / bandwidth), out=distances), out=distances)
    weights = np.full(n + m, -1.0 / m, dtype=np.float32)
    weights[:n] = 1.0 / n
    observed = float(_quadratic(distances, weights[:, None])[0])
    reached = 0
    for start in range(0, permutations, _BLOCK):
        count = min(_BLOCK, permutations - start)
        drawn = random.permuted(np.tile(weights, (count, 1)), axis=1).T
        reached += int(np.count_nonzero(_quadratic(distances, drawn) >= observed - _ROUNDING))
    return Discrepancy(observed, (1 + reached) / (1 + permutations), float(np.sqrt(bandwidth)))


def _thinned(rows: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    if len(rows) <= MOST_ROWS:
        return rows
    return rows[random.choice(len(rows), size=MOST_ROWS, replace=False)]


def _squared_distances(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    squares = np.einsum("ij,ij->i", rows, rows)
    distances: NDArray[np.float32] = squares[:, None] + squares[None, :] - 2.0 * (rows @ rows.T)
    np.maximum(distances, 0.0, out=distances)
    np.fill_diagonal(distances, 0.0)
    return distances


def _quadratic(kernel: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.einsum("ij,ij->j", weights, kernel @ weights, dtype=np.float64)
    return found
