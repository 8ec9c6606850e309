# SPDX-License-Identifier: Apache-2.0
"""Small pictures of measured numbers.  They repeat what the table beside them says."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor

from markupsafe import Markup

from gateway.console.parts import Estimate, Metric

WIDTH, HEIGHT = 180, 22
_STEP = 0.05


def axis_of(metrics: Sequence[Metric]) -> tuple[float, float]:
    """Return the ends of one axis that holds all *metrics*, their intervals and thresholds, in steps of 0.05."""
    shown = [number for metric in metrics for number in _numbers(metric.estimate)]
    shown += [metric.threshold for metric in metrics if metric.threshold is not None]
    if not shown:
        return 0.0, 1.0
    # The small shift keeps 0.9500000001 from opening a further step.
    start = floor((min(shown) - 1e-9) / _STEP) * _STEP
    end = ceil((max(shown) - 1e-9) / _STEP) * _STEP
    return start, max(end, start + _STEP)


def interval(estimate: Estimate, axis: tuple[float, float], threshold: float | None = None) -> Markup:
    """Draw an estimate as a dot in its interval, with a tick at the threshold; numbers grow to the right."""
    start, end = axis

    def place(number: float) -> str:
        share = (number - start) / (end - start)
        return f"{6 + min(1.0, max(0.0, share)) * (WIDTH - 12):.1f}"

    low, value, high = (place(number) for number in (_numbers(estimate)))
    middle = HEIGHT / 2
    drawn = [
        f'<svg class="interval" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" aria-hidden="true">',
        f'<path class="interval-axis" d="M6 {middle}H{WIDTH - 6}" fill="none" stroke="currentColor"/>',
        f'<path class="interval-range" d="M{low} {middle}H{high}" fill="none" stroke="currentColor" stroke-width="5"/>',
    ]
    if threshold is not None:
        tick = place(threshold)
        drawn.append(f'<path class="interval-threshold" d="M{tick} 3V{HEIGHT - 3}" fill="none" stroke="currentColor"/>')
    drawn.append(f'<circle class="interval-value" cx="{value}" cy="{middle}" r="4.5"/></svg>')
    return Markup("".join(drawn))  # noqa: S704 - numbers only


def _numbers(estimate: Estimate) -> tuple[float, float, float]:
    low = estimate.value if estimate.low is None else estimate.low
    high = estimate.value if estimate.high is None else estimate.high
    return low, estimate.value, high
