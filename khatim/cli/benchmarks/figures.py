# SPDX-License-Identifier: Apache-2.0
"""What a measurement says: how many a second, and how long one takes for most callers and for the unlucky ones."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of a table.  Times are seconds; *rate* is in *unit* a second; None where nothing was measured."""

    what: str
    rate: float | None = None
    p50: float | None = None
    p99: float | None = None
    unit: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Ratio:
    """*claim* is a sentence; *value* how many times as much or as long as the anchor."""

    claim: str
    value: float


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the page: what was measured and how, the rows, the anchors (marked in *what*), the ratios."""

    title: str
    how: str
    figures: tuple[Figure, ...]
    ratios: tuple[Ratio, ...] = ()
    remarks: tuple[str, ...] = ()


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that *share* (0 to 1) of *values* do not exceed (nearest rank); NaN of nothing."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def timed(what: str, step: Callable[[int], object], times: int, *, warm_up: int = 5, note: str = "") -> Figure:
    """Run *step* *times* times, one after the other, and return how long one takes; *step* gets its number."""
    for number in range(warm_up):
        step(number)
    taken = []
    for number in range(warm_up, warm_up + times):
        began = time.perf_counter()
        step(number)
        taken.append(time.perf_counter() - began)
    return Figure(what, len(taken) / sum(taken), percentile(taken, 0.5), percentile(taken, 0.99), note=note)


def moved(what: str, step: Callable[[], object], size: int, *, times: int = 3, note: str = "") -> Figure:
    """Return how many megabytes (10**6 bytes) a second *step* moves, by the fastest of *times* runs."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        step()
        taken.append(time.perf_counter() - began)
    return Figure(what, size / MILLION / min(taken), unit="MB/s", note=note)


def faster(claim: str, one: Figure, other: Figure) -> Ratio:
    """Return how many times the rate of *other* the rate of *one* is."""
    return Ratio(claim, (one.rate or math.nan) / (other.rate or math.nan))


def longer(claim: str, one: Figure, other: Figure) -> Ratio:
    """Return how many times the median of *other* the median of *one* is."""
    return Ratio(claim, (one.p50 or math.nan) / (other.p50 or math.nan))
