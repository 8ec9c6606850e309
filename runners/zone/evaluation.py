# SPDX-License-Identifier: Apache-2.0
"""Evaluate a model on held-out rows: metrics with 95 % intervals, subgroups and gaps, and the in-toto test result.

The result is shaped after the in-toto predicate ``https://in-toto.io/attestation/test-result/v0.1``: ``result``
(PASSED, WARNED, FAILED), ``configuration`` (resource descriptors), ``passedTests``, ``warnedTests``, ``failedTests``.
Members the predicate does not know carry the numbers; its readers ignore what they do not know.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from khatim.errors import Malformed
from khatim.vocabulary import Digest
from runners.zone import onnx_runtime
from runners.zone.metrics import METRICS, Metric, Scored, measure

PREDICATE_TYPE = "https://in-toto.io/attestation/test-result/v0.1"
GAP = "gap"


@dataclass(frozen=True, slots=True)
class Subgroup:
    """The rows of one subgroup: those whose *column* equals a value, or lies in [low, high) of values or quantiles."""

    column: str
    low: float = -math.inf
    high: float = math.inf
    quantiles: tuple[float, float] | None = None
    equals: str | float | None = None

    @classmethod
    def parse(cls, name: str, spec: Mapping[str, Any]) -> Subgroup:
        """Read ``{"column": c, "quantile": [a, b] | "min": x, "max": y | "equals": v}``; raises `Malformed`."""
        unknown = sorted(set(spec) - {"column", "quantile", "min", "max", "equals"})
        if unknown or "column" not in spec or len(spec) < 2:  # noqa: PLR2004 - the column and a condition
            raise Malformed(
                f"The subgroup {name!r} is not understood.",
                advice="Give a column, and quantile: [from, to], or min and/or max, or equals.",
            )
        quantiles = None
        if "quantile" in spec:
            low, high = (float(q) for q in spec["quantile"])
            if not 0.0 <= low < high <= 1.0:
                raise Malformed(f"The quantiles of the subgroup {name!r} must rise within 0 and 1.")
            quantiles = (low, high)
        return cls(
            column=str(spec["column"]),
            low=float(spec.get("min", -math.inf)),
            high=float(spec.get("max", math.inf)),
            quantiles=quantiles,
            equals=spec.get("equals"),
        )

    def rows_of(self, table: pa.Table) -> NDArray[np.bool_]:
        """Return which rows of *table* belong; an empty value belongs to no subgroup."""
        if self.column not in table.column_names:
            raise Malformed(f"The held-out rows lack the subgroup column {self.column}.")
        if self.equals is not None:
            return np.array([value == self.equals for value in table.column(self.column).to_pylist()], dtype=bool)
        values = table.column(self.column).cast(pa.float64()).to_numpy(zero_copy_only=False)
        low, high = self.low, self.high
        if self.quantiles is not None:
            low, high = (float(q) for q in np.nanquantile(values, self.quantiles))
            if self.quantiles[1] == 1.0:
                high = math.inf
        chosen: NDArray[np.bool_] = (values >= low) & (values < high)
        return chosen


@dataclass(frozen=True, slots=True)
class Threshold:
    """A bound on a metric, ``minimum`` or ``maximum``; *warn* is a stricter bound that only warns.

    *by_interval*: the far end of the 95 % interval must keep the bound too, or the test warns.
    """

    metric: str
    minimum: float | None = None
    maximum: float | None = None
    warn: float | None = None
    by_interval: bool = False

    @classmethod
    def parse(cls, name: str, spec: Mapping[str, Any]) -> Threshold:
        """Read ``{"min": x} | {"max": x}``, optionally ``"warn": y`` and ``"interval": true``; raises `Malformed`."""
        if name.removeprefix(f"{GAP}.") not in METRICS:
            raise Malformed(
                f"There is no metric {name!r}.", advice=f"Known: {', '.join(METRICS)}, each also as {GAP}.<metric>."
            )
        if ("min" in spec) == ("max" in spec) or set(spec) - {"min", "max", "warn", "interval"}:
            raise Malformed(f"The threshold of {name} needs either min or max, and may have warn and interval.")
        bounds = {key: None if spec.get(key) is None else float(spec[key]) for key in ("min", "max", "warn")}
        return cls(name, bounds["min"], bounds["max"], bounds["warn"], bool(spec.get("interval", False)))

    def __str__(self) -> str:
        """Return the name of the test, ``accuracy >= 0.9``."""
        sign, bound = (">=", self.minimum) if self.minimum is not None else ("<=", self.maximum)
        return f"{self.metric} {sign} {bound:g}"

    def judge(self, metric: Metric) -> str:
        """Return PASSED, WARNED or FAILED; a metric that cannot be computed has failed (fail closed)."""
        if metric.value is None:
            return "FAILED"
        sign = 1.0 if self.minimum is not None else -1.0
        bound = self.minimum if self.minimum is not None else self.maximum
        far = metric.low if self.minimum is not None else metric.high
        if bound is None or sign * (metric.value - bound) < 0:
            return "FAILED"
        if self.warn is not None and sign * (metric.value - self.warn) < 0:
            return "WARNED"
        if self.by_interval and (far is None or sign * (far - bound) < 0):
            return "WARNED"
        return "PASSED"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What an evaluation found.  *gaps* is the largest difference of a metric between subgroups."""

    result: str
    rows: int
    metrics: Mapping[str, Metric]
    subgroups: Mapping[str, Mapping[str, Metric]]
    subgroup_rows: Mapping[str, int]
    gaps: Mapping[str, Metric]
    passed: tuple[str, ...]
    warned: tuple[str, ...]
    failed: tuple[str, ...]
    model: Digest
    configuration: Mapping[str, Any] = field(default_factory=dict)

    def as_predicate(self) -> dict[str, Any]:
        """Return the in-toto test-result predicate; JSON values only, so that it can be made canonical (RFC 8785)."""
        configuration = json.dumps(self.configuration, sort_keys=True, separators=(",", ":")).encode()
        return {
            "result": self.result,
            "configuration": [
                {
                    "name": "evaluation.json",
                    "digest": {"sha256": Digest.of(configuration).hex},
                    "mediaType": "application/json",
                    "content": base64.b64encode(configuration).decode(),
                }
            ],
            "passedTests": list(self.passed),
            "warnedTests": list(self.warned),
            "failedTests": list(self.failed),
            "rows": self.rows,
            "metrics": {name: asdict(metric) for name, metric in self.metrics.items()},
            "subgroups": {
                name: {"rows": self.subgroup_rows[name], "metrics": {m: asdict(v) for m, v in found.items()}}
                for name, found in self.subgroups.items()
            },
            "gaps": {name: asdict(metric) for name, metric in self.gaps.items()},
        }


def evaluate(  # noqa: PLR0913 - an evaluation is exactly these
    model_path: Path,
    holdout: pa.Table,
    label: str,
    *,
    subgroups: Mapping[str, Mapping[str, Any]],
    thresholds: Mapping[str, Mapping[str, Any]],
    seed: int,
    feature_order: Sequence[str] = (),
    decision_threshold: float = 0.5,
    resamples: int = 1000,
) -> Evaluation:
    """Evaluate the ONNX classifier at *model_path* on *holdout*; class 1 of *label* is the positive one.

    Intervals are Wilson's for proportions (accuracy, sensitivity, specificity) and a stratified bootstrap of
    *resamples* drawn from *seed* for the rest.  The input columns are *feature_order*, or those the model names.
    Raises `khatim.errors.Malformed` when model, rows, subgroups or thresholds do not fit together.
    """
    data = model_path.read_bytes()
    session = onnx_runtime.load(data, providers=(onnx_runtime.CPU,))
    order = tuple(feature_order) or session.feature_order()
    lacking = [name for name in (label, *order) if name not in holdout.column_names]
    if lacking or not order:
        missing = ", ".join(lacking) or "the feature order"
        raise Malformed(f"The held-out rows do not fit the model; missing: {missing}.")
    groups = {name: Subgroup.parse(name, spec) for name, spec in subgroups.items()}
    tests = [Threshold.parse(name, spec) for name, spec in thresholds.items()]
    features = np.column_stack([holdout.column(name).to_numpy().astype(np.float32) for name in order])
    scored = Scored(
        truth=holdout.column(label).to_numpy(zero_copy_only=False).astype(bool),
        score=_positive(session.predict({session.inputs[0].name: features})),
        threshold=decision_threshold,
    )
    metrics = measure(scored, seed=seed, resamples=resamples)
    members = {name: group.rows_of(holdout) for name, group in groups.items()}
    found = {
        name: measure(scored.only(rows), seed=seed + 1 + i, resamples=resamples)
        for i, (name, rows) in enumerate(sorted(members.items()))
    }
    gaps = _gaps(found)
    judged: dict[str, list[str]] = {"PASSED": [], "WARNED": [], "FAILED": []}
    for test in tests:
        name = test.metric.removeprefix(f"{GAP}.")
        metric = metrics[name] if test.metric == name else gaps.get(name, Metric(None, note="fewer than two subgroups"))
        judged[test.judge(metric)].append(str(test))
    result = "FAILED" if judged["FAILED"] or not tests else "WARNED" if judged["WARNED"] else "PASSED"
    return Evaluation(
        result=result,
        rows=len(scored.truth),
        metrics=metrics,
        subgroups=found,
        subgroup_rows={name: int(rows.sum()) for name, rows in members.items()},
        gaps=gaps,
        passed=tuple(judged["PASSED"]),
        warned=tuple(judged["WARNED"]),
        failed=tuple(judged["FAILED"]),
        model=Digest.of(data),
        configuration={
            "label": label,
            "decision_threshold": decision_threshold,
            "feature_order": list(order),
            "subgroups": {name: dict(spec) for name, spec in subgroups.items()},
            "thresholds": {name: dict(spec) for name, spec in thresholds.items()},
            "confidence": 0.95,
            "intervals": {"proportions": "wilson", "others": "stratified-bootstrap"},
            "resamples": resamples,
            "seed": seed,
            "runtime": f"onnxruntime {onnx_runtime.VERSION}",
        },
    )


def _positive(outputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    for values in outputs.values():
        if values.ndim == 2 and values.shape[1] == 2:  # noqa: PLR2004 - rows by two classes
            return values[:, 1].astype(np.float64)
    raise Malformed("The model gives no probabilities of two classes.")


def _gaps(found: Mapping[str, Mapping[str, Metric]]) -> dict[str, Metric]:
    gaps: dict[str, Metric] = {}
    for name in METRICS:
        values = {group: metric[name].value for group, metric in found.items()}
        known = [value for value in values.values() if value is not None]
        absent = sorted(group for group, value in values.items() if value is None)
        if absent:
            # A gap that leaves a subgroup out would hide the one that matters.
            gaps[name] = Metric(None, note=f"not known in: {', '.join(absent)}")
        elif len(known) > 1:
            gaps[name] = Metric(round(max(known) - min(known), 6))
    return gaps
