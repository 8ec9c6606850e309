# SPDX-License-Identifier: Apache-2.0
"""Metrics of a binary classifier with 95 % intervals.  Pure: arrays and a seed in, numbers out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from khatim.errors import Malformed

METRICS = ("accuracy", "roc_auc", "sensitivity", "specificity", "brier")
_Z = 1.959963984540054  # the 97.5 % quantile of the normal distribution
_PLACES = 6
_ROUNDING = 1e-6  # of a 32-bit probability


@dataclass(frozen=True, slots=True)
class Metric:
    """One number with its interval; None where the rows cannot tell, and *note* says why."""

    value: float | None
    low: float | None = None
    high: float | None = None
    method: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Scored:
    """Rows with their truth, the score of the positive class in [0, 1], and the threshold that decides."""

    truth: NDArray[np.bool_]
    score: NDArray[np.float64]
    threshold: float = 0.5

    def __post_init__(self) -> None:
        """Refuse rows that do not fit together and scores that are no probabilities."""
        if self.truth.shape != self.score.shape or self.truth.ndim != 1:
            raise Malformed("Truth and scores must be two columns of one length.")
        if not bool(np.all(np.abs(self.score - 0.5) <= 0.5 + _ROUNDING)):  # False for NaN, too
            raise Malformed("The model's scores are no probabilities between 0 and 1.")

    def only(self, rows: NDArray[np.bool_]) -> Scored:
        """Return the chosen rows."""
        return Scored(self.truth[rows], self.score[rows], self.threshold)


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """Return Wilson's 95 % score interval of a proportion (1927); 0 to 1 when there are no trials.

    >>> [round(x, 4) for x in wilson(95, 100)]
    [0.8882, 0.9785]
    """
    if trials == 0:
        return 0.0, 1.0
    share, z2 = hits / trials, _Z * _Z
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = _Z / (1 + z2 / trials) * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials * trials))
    return max(0.0, centre - half), min(1.0, centre + half)


def roc_auc(truth: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    """Return the area under the ROC curve: the chance that a positive row scores above a negative one, ties half."""
    positives = int(truth.sum())
    negatives = len(truth) - positives
    above = float(rankdata(score)[truth].sum()) - positives * (positives + 1) / 2
    return above / (positives * negatives)


def brier(truth: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    """Return the mean squared difference between score and truth."""
    return float(np.mean((score - truth) ** 2))


def measure(rows: Scored, *, seed: int, resamples: int = 1000) -> dict[str, Metric]:
    """Return all metrics of *rows*; the order of `METRICS`."""
    said = rows.score >= rows.threshold
    right = said == rows.truth
    return {
        "accuracy": _proportion(int(right.sum()), len(right), "no rows"),
        "roc_auc": _bootstrapped(roc_auc, rows, seed, resamples),
        "sensitivity": _proportion(int(right[rows.truth].sum()), int(rows.truth.sum()), "no positive rows"),
        "specificity": _proportion(int(right[~rows.truth].sum()), int((~rows.truth).sum()), "no negative rows"),
        "brier": _bootstrapped(brier, rows, seed, resamples),
    }


def _proportion(hits: int, trials: int, why_not: str) -> Metric:
    if trials == 0:
        return Metric(None, note=why_not)
    low, high = wilson(hits, trials)
    return Metric(round(hits / trials, _PLACES), round(low, _PLACES), round(high, _PLACES), "wilson")


def _bootstrapped(
    statistic: Callable[[NDArray[np.bool_], NDArray[np.float64]], float], rows: Scored, seed: int, resamples: int
) -> Metric:
    """Resample positives and negatives apart, so that no resample loses a class; percentile interval."""
    classes = [np.flatnonzero(rows.truth), np.flatnonzero(~rows.truth)]
    if not all(len(members) for members in classes):
        return Metric(None, note="one class only")
    random = np.random.default_rng(seed)
    found = np.empty(resamples)
    for i in range(resamples):
        drawn = np.concatenate([members[random.integers(0, len(members), len(members))] for members in classes])
        found[i] = statistic(rows.truth[drawn], rows.score[drawn])
    low, high = np.quantile(found, [0.025, 0.975])
    # Rows that are told apart without a fault give resamples that are, too: the interval has no width, and is no proof.
    note = "degenerate: every resample gave the same" if low == high else ""
    return Metric(
        round(statistic(rows.truth, rows.score), _PLACES),
        round(float(low), _PLACES),
        round(float(high), _PLACES),
        "stratified-bootstrap",
        note,
    )
