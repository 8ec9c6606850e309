# SPDX-License-Identifier: Apache-2.0
"""The default drift engine: SciPy's two-sample tests per feature, corrected together, and our own MMD over all numbers.

Half of alpha goes to the features (Benjamini-Hochberg: when nothing has changed, the chance that any is named is at
most that half) and half to the multivariate test, so that the alarm as a whole keeps alpha.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy import stats

from runners.zone.drift import mmd
from runners.zone.drift.schema import (
    BENJAMINI_HOCHBERG,
    Columns,
    DriftPlan,
    DriftReport,
    FeatureDrift,
    MultivariateDrift,
    comparable,
)

ENGINE = "scipy"
LICENCE = "BSD-3-Clause"
_BINS = 10
_FLOOR = 1e-4  # of a bin's share, so that an empty bin does not make the index infinite


class ScipyEngine:
    """Kolmogorov-Smirnov for numbers, chi-squared for categories, PSI as the size of the effect, and MMD."""

    def detect(self, reference: Columns, sample: Columns, plan: DriftPlan) -> DriftReport:
        """Return what differs; raises `khatim.errors.Malformed` when the two cannot be compared."""
        names = comparable(reference, sample, plan)
        share = plan.alpha / 2 if plan.multivariate else plan.alpha
        found = []
        for name in names:
            x, y = np.asarray(reference[name]), np.asarray(sample[name])
            if name in plan.categorical:
                found.append((name, "chi2", *_chi_squared(x, y), _psi_of_counts(*_counts(x, y))))
            else:
                x, y = x.astype(np.float64), y.astype(np.float64)
                test = stats.ks_2samp(x, y)
                found.append((name, "ks", float(test.statistic), float(test.pvalue), psi(x, y)))
        threshold = benjamini_hochberg([row[3] for row in found], share)
        features = tuple(
            FeatureDrift(name, test, statistic, p_value, threshold, p_value <= threshold, index)
            for name, test, statistic, p_value, index in found
        )
        multivariate = None
        numbers = [name for name in names if name not in plan.categorical]
        if plan.multivariate and numbers:
            x, y = (
                np.column_stack([np.asarray(rows[name], dtype=np.float64) for name in numbers])
                for rows in (reference, sample)
            )
            seen = mmd.permutation_test(x, y, permutations=plan.permutations, seed=plan.seed)
            multivariate = MultivariateDrift("mmd", seen.statistic, seen.p_value, share, seen.p_value <= share)
        return DriftReport(
            engine=ENGINE,
            engine_version=scipy.__version__,
            licence=LICENCE,
            is_drift=any(f.is_drift for f in features) or (multivariate is not None and multivariate.is_drift),
            alpha=plan.alpha,
            correction=BENJAMINI_HOCHBERG,
            reference_rows=len(reference[names[0]]),
            sample_rows=len(sample[names[0]]),
            reference_digest=plan.reference_digest,
            features=features,
            multivariate=multivariate,
        )


def benjamini_hochberg(p_values: list[float], q: float) -> float:
    """Return the greatest p-value threshold that keeps the false discovery rate at *q* (Benjamini, Hochberg 1995).

    It is ``q k / n`` for the greatest k whose k-th smallest p-value lies at or below it; ``q / n`` when there is none.

    >>> benjamini_hochberg([0.001, 0.02, 0.5, 0.9], 0.05)
    0.025
    """
    n = len(p_values)
    reached = [k for k, p in enumerate(sorted(p_values), start=1) if p <= q * k / n]
    return q * (reached[-1] if reached else 1) / n


def psi(reference: NDArray[np.float64], sample: NDArray[np.float64], bins: int = _BINS) -> float:
    """Return the population stability index over bins of equal reference share; above 0.25 is usually called large."""
    inner = np.unique(np.quantile(reference, np.linspace(0, 1, bins + 1)[1:-1]))
    counts = [
        np.bincount(np.searchsorted(inner, side, side="left"), minlength=len(inner) + 1) for side in (reference, sample)
    ]
    return _psi_of_counts(counts[0], counts[1])


def _psi_of_counts(reference: NDArray[Any], sample: NDArray[Any]) -> float:
    expected, actual = (np.maximum(side / side.sum(), _FLOOR) for side in (reference, sample))
    return float(np.sum((actual - expected) * np.log(actual / expected)))


def _counts(reference: NDArray[Any], sample: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Count each category that either side holds, a category of the sample alone too: that one is drift itself."""
    texts = [np.asarray(side).astype(str) for side in (reference, sample)]
    every, where = np.unique(np.concatenate(texts), return_inverse=True)
    split = len(texts[0])
    return (
        np.bincount(where[:split], minlength=len(every)),
        np.bincount(where[split:], minlength=len(every)),
    )


def _chi_squared(reference: NDArray[Any], sample: NDArray[Any]) -> tuple[float, float]:
    table = np.stack(_counts(reference, sample))
    if table.shape[1] < 2:  # noqa: PLR2004 - one category on both sides cannot differ
        return 0.0, 1.0
    test = stats.chi2_contingency(table, correction=False)
    return float(test.statistic), float(test.pvalue)
