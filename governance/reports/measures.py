# SPDX-License-Identifier: Apache-2.0
"""Measured numbers of an evaluation, with their intervals, as table rows and as a small picture beside each."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import Any

from governance.tables import Evidence

_WIDTH, _HEIGHT, _MARGIN = 180, 18, 5


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
    """Read an in-toto test result as the zone's agent wrote it; its configuration holds limits and confidence."""
    found = row.details
    settings = _configuration(found)
    passed, failed = ({str(one).split(" ")[0] for one in found.get(key, ())} for key in ("passedTests", "failedTests"))
    limits = settings.get("thresholds", {})
    metrics = tuple(
        Measured(
            one.name, one.value, one.low, one.high, _limit(limits.get(one.name)), _judged(one.name, passed, failed)
        )
        for one in _measured(found.get("metrics", {}))
    )
    subgroups = tuple(
        (str(name), int(group.get("rows", 0)), _measured(group.get("metrics", {})))
        for name, group in found.get("subgroups", {}).items()
    )
    confidence = float(settings.get("confidence", 0.95))
    return Evaluation(row.result, row.at, index, file, int(found.get("rows", 0)), confidence, metrics, subgroups)


def _measured(metrics: Mapping[str, Mapping[str, Any]]) -> tuple[Measured, ...]:
    return tuple(
        Measured(str(name), float(one["value"]), one.get("low"), one.get("high"))
        for name, one in metrics.items()
        if isinstance(one.get("value"), int | float)
    )


def _limit(asked: Mapping[str, Any] | None) -> float | None:
    return (asked.get("min", asked.get("max"))) if asked else None


def _judged(name: str, passed: set[str], failed: set[str]) -> bool | None:
    return name not in failed if name in passed | failed else None


def _configuration(found: Mapping[str, Any]) -> Mapping[str, Any]:
    for item in found.get("configuration", ()):
        if item.get("name") == "evaluation.json":
            read: Mapping[str, Any] = json.loads(base64.b64decode(item["content"]))
            return read
    return {}


def interval(one: Measured) -> str:
    """Draw a number in its interval on the axis from 0 to 1 as SVG; empty where it does not lie there."""
    low = one.value if one.low is None else one.low
    high = one.value if one.high is None else one.high
    if not all(isfinite(number) and 0 <= number <= 1 for number in (low, one.value, high)):
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
