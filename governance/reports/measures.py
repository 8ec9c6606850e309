# SPDX-License-Identifier: Apache-2.0
"""Measured numbers of an evaluation, with their intervals, as table rows and as a small picture beside each."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from governance.tables import Evidence

_WIDTH, _HEIGHT, _MARGIN = 180, 18, 5
_MOST = 1e300  # JSON knows larger integers than floats can hold


@dataclass(frozen=True, slots=True)
class Measured:
    """A number with its interval and the limit that was asked for; *passed* is None where none was."""

    name: str
    value: float
    low: float | None
    high: float | None
    limit: float | None = None
    passed: bool | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """An evaluation: *rows* of held-out data, metrics over all of them and over subgroups (name, rows, metrics)."""

    result: str
    at: datetime
    index: int
    file: str
    rows: int
    confidence: float
    metrics: tuple[Measured, ...]
    subgroups: tuple[tuple[str, int, tuple[Measured, ...]], ...]


def evaluation(row: Evidence, index: int, file: str) -> Evaluation:
    """Read an in-toto test result as the zone's agent wrote it; what has another form than expected is left out."""
    found = row.details
    settings = _configuration(found)
    limits = _object(settings.get("thresholds"))
    passed, failed = (
        {str(one).split(" ")[0] for one in _list(found.get(key))} for key in ("passedTests", "failedTests")
    )
    metrics = tuple(
        replace(one, limit=_limit(limits.get(one.name)), passed=_judged(one.name, passed, failed))
        for one in _measured(found.get("metrics"))
    )
    subgroups = tuple(
        (name, int(_number(_object(group).get("rows")) or 0), _measured(_object(group).get("metrics")))
        for name, group in _object(found.get("subgroups")).items()
    )
    return Evaluation(
        result=row.result,
        at=row.at,
        index=index,
        file=file,
        rows=int(_number(found.get("rows")) or 0),
        confidence=_number(settings.get("confidence")) or 0.95,
        metrics=metrics,
        subgroups=subgroups,
    )


def _measured(metrics: object) -> tuple[Measured, ...]:
    found = []
    for name, one in _object(metrics).items():
        value = _number(_object(one).get("value"))
        if value is not None:
            found.append(Measured(name, value, _number(_object(one).get("low")), _number(_object(one).get("high"))))
    return tuple(found)


def _limit(asked: object) -> float | None:
    limits = _object(asked)
    return _number(limits.get("min", limits.get("max")))


def _judged(name: str, passed: set[str], failed: set[str]) -> bool | None:
    return name not in failed if name in passed | failed else None


def _configuration(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the limits and the confidence that the evaluation was asked for."""
    for item in _list(found.get("configuration")):
        if _object(item).get("name") == "evaluation.json":
            try:
                return _object(json.loads(base64.b64decode(str(_object(item).get("content", "")))))
            except (ValueError, RecursionError):
                return {}
    return {}


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if -_MOST < value < _MOST else None  # NaN is not between


def interval(one: Measured) -> str:
    """Draw a number in its interval on the axis from 0 to 1 as SVG; empty where it does not lie there."""
    low = one.value if one.low is None else one.low
    high = one.value if one.high is None else one.high
    if not all(0 <= number <= 1 for number in (low, one.value, high)):
        return ""
    middle = _HEIGHT / 2
    tick = "" if one.limit is None else f'<path class="limit" d="M{_place(one.limit)} 2V{_HEIGHT - 2}"/>'
    return (
        f'<svg class="interval" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" '
        f'aria-hidden="true"><path class="axis" d="M{_MARGIN} {middle}H{_WIDTH - _MARGIN}"/>'
        f'<path class="range" d="M{_place(low)} {middle}H{_place(high)}"/>{tick}'
        f'<circle cx="{_place(one.value)}" cy="{middle}" r="3.5"/></svg>'
    )


def _place(number: float) -> str:
    return f"{_MARGIN + min(1.0, max(0.0, number)) * (_WIDTH - 2 * _MARGIN):.1f}"
