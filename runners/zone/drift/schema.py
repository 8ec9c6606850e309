# SPDX-License-Identifier: Apache-2.0
"""What a drift check is asked and what it finds: the same for every engine, frozen, and JSON.

Words: the *reference* are rows the model was trained on, the *sample* are rows it was asked about; a *test* gives a
*statistic* and a *p-value*; below the *threshold* it is drift.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from khatim.errors import Malformed

SCHEMA = "khatim.drift/1"
BENJAMINI_HOCHBERG = "benjamini-hochberg"
LEAST_ROWS = 20  # below this no test has the power to say anything

Columns = Mapping[str, NDArray[Any]]
"""Rows by column: arrays of one length, in the order of the features."""


@dataclass(frozen=True, slots=True)
class DriftPlan:
    """How to look.  *alpha* bounds the chance of an alarm when nothing has changed, over all tests together.

    *categorical* columns are compared by their counts.  *seed* and *permutations* are those of the engines that draw.
    *reference_digest* names the reference in the result.
    """

    reference_digest: str
    alpha: float = 0.05
    categorical: frozenset[str] = frozenset()
    multivariate: bool = True
    permutations: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse an alpha outside (0, 0.5] and too few permutations for it."""
        if not 0.0 < self.alpha <= 0.5:  # noqa: PLR2004
            raise Malformed(f"Alpha must lie above 0 and not above 0.5, not {self.alpha}.")
        if self.multivariate and self.permutations < 2 / self.alpha:
            raise Malformed(f"{self.permutations} permutations cannot reach a p-value of {self.alpha / 2}.")


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """One test of one feature.  *threshold* is the p-value at or below which, after correction, it counts as drift.

    *psi* is the population stability index where the engine computes it: the size of the effect; it decides nothing.
    """

    feature: str
    test: str
    statistic: float
    p_value: float
    threshold: float
    is_drift: bool
    psi: float | None = None


@dataclass(frozen=True, slots=True)
class MultivariateDrift:
    """One test of all features together."""

    test: str
    statistic: float
    p_value: float
    threshold: float
    is_drift: bool


@dataclass(frozen=True, slots=True)
class DriftReport:
    """What an engine found, and which engine: name, version and licence of the library that computed."""

    engine: str
    engine_version: str
    licence: str
    is_drift: bool
    alpha: float
    correction: str
    reference_rows: int
    sample_rows: int
    reference_digest: str
    features: tuple[FeatureDrift, ...]
    multivariate: MultivariateDrift | None = None
    schema: str = field(default=SCHEMA)

    @property
    def drifted(self) -> tuple[str, ...]:
        """Return the features that drifted, the strongest first."""
        found = sorted((f for f in self.features if f.is_drift), key=lambda f: (f.p_value, -f.statistic, f.feature))
        return tuple(f.feature for f in found)

    def to_json(self) -> str:
        """Return the report as JSON with sorted keys."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> DriftReport:
        """Read what `to_json` wrote; raises `khatim.errors.Malformed`."""
        try:
            body = json.loads(text)
            if body.get("schema") != SCHEMA:
                raise Malformed(f"This is no drift report of {SCHEMA}.")
            body["features"] = tuple(FeatureDrift(**row) for row in body["features"])
            if body.get("multivariate") is not None:
                body["multivariate"] = MultivariateDrift(**body["multivariate"])
            return cls(**body)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise Malformed(f"The drift report cannot be read: {error}.") from error


class Engine(Protocol):
    """Compares a sample with a reference.  All engines pass the same contract suite."""

    def detect(self, reference: Columns, sample: Columns, plan: DriftPlan) -> DriftReport:
        """Return what differs; raises `khatim.errors.Malformed` when the two cannot be compared."""
        ...


def comparable(reference: Columns, sample: Columns, plan: DriftPlan) -> tuple[str, ...]:
    """Return the features to compare; raises `khatim.errors.Malformed` when columns differ or rows are too few."""
    names = tuple(reference)
    if set(names) != set(sample) or not names:
        differing = sorted(set(names) ^ set(sample))
        raise Malformed(f"Reference and sample have different columns: {', '.join(differing) or 'none at all'}.")
    unknown = sorted(plan.categorical - set(names))
    if unknown:
        raise Malformed(f"The plan names columns that are not there: {', '.join(unknown)}.")
    for title, rows in (("reference", reference), ("sample", sample)):
        counts = {len(values) for values in rows.values()}
        if len(counts) != 1 or min(counts) < LEAST_ROWS:
            raise Malformed(f"The {title} has {min(counts)} rows; {LEAST_ROWS} are the least.")
        for name in names:
            values = np.asarray(rows[name])
            if name not in plan.categorical and not (
                values.dtype.kind in "iufb" and bool(np.isfinite(values.astype(np.float64)).all())
            ):
                raise Malformed(f"The {title} column {name} holds values that are no finite numbers.")
    return names
