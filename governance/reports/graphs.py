# SPDX-License-Identifier: Apache-2.0
"""Lineage as a picture: nodes and edges to an accessible SVG.  Pure; standard library only.

The picture needs no style sheet (presentation attributes, ``currentColor``); the console's classes refine it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from itertools import pairwise

from governance.reports.layering import HEIGHT, WIDTH, Edge, Layout, Node, layout

__all__ = ["HEIGHT", "WIDTH", "Edge", "Layout", "Node", "layout", "svg"]

# What XML 1.0 cannot hold, not even as a reference; names may come from data that nobody checked.
_UNWRITABLE = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def svg(  # noqa: PLR0913 - a picture's options, all named
    nodes: Sequence[Node], edges: Sequence[Edge], *, title: str, description: str, rtl: bool = False, prefix: str = "g"
) -> str:
    """Return the graph as an SVG element, flowing right to left when *rtl*.

    *title* and *description* name it for those who do not see it; an equal table belongs beside it.  *prefix* keeps
    its ids apart from those of other graphs on the page.
    """
    plan = layout(nodes, edges)

    def mirrored(x: float) -> float:
        return plan.width - x if rtl else x

    parts = [
        (
            f'<svg class="graph" xmlns="http://www.w3.org/2000/svg" role="group"'
            f' aria-labelledby="{prefix}-t {prefix}-d" viewBox="0 0 {plan.width:.0f} {plan.height:.0f}"'
            f' width="{plan.width:.0f}" height="{plan.height:.0f}" font-size="13">'
        ),
        f'<title id="{prefix}-t">{_text(title)}</title><desc id="{prefix}-d">{_text(description)}</desc>',
        (
            f'<defs><marker id="{prefix}-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            'orient="auto"><path class="graph-head" d="M0 0.8 7 4 0 7.2z" fill="currentColor"/></marker></defs>'
        ),
        '<g aria-hidden="true">',
    ]
    for edge, points in plan.lines:
        parts.append(_line(edge, [(mirrored(x), y) for x, y in points], prefix, rtl=rtl))
    parts.append("</g>")
    for node in nodes:
        x, y = plan.places[node.id]
        parts.append(_box(node, mirrored(x + WIDTH) if rtl else x, y, rtl=rtl))
    parts.append("</svg>")
    return "".join(parts)


def _line(edge: Edge, points: list[tuple[float, float]], prefix: str, *, rtl: bool) -> str:
    ahead = -1 if rtl else 1
    points[0] = (points[0][0] + ahead * WIDTH / 2, points[0][1])
    points[-1] = (points[-1][0] - ahead * (WIDTH / 2 + 1), points[-1][1])
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for (x1, y1), (x2, y2) in pairwise(points):
        middle = (x1 + x2) / 2
        path += f"C{middle:.1f} {y1:.1f} {middle:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"
    return (
        f'<path class="graph-edge" d="{path}" fill="none" stroke="currentColor" stroke-opacity="0.55" '
        f'stroke-width="1.5" marker-end="url(#{prefix}-arrow)"><title>{_text(edge.label)}</title></path>'
    )


def _box(node: Node, x: float, y: float, *, rtl: bool) -> str:
    start, anchor = (x + WIDTH - 12, "end") if rtl else (x + 12, "start")
    corner, corner_anchor = (x + 12, "start") if rtl else (x + WIDTH - 12, "end")
    # The kind is in the reader's language; with direction rtl an SVG text starts at its right end.
    kind_anchor = "start" if rtl else anchor
    way = "rtl" if rtl else "ltr"
    kind_class = f"graph-node graph-{node.style}" if node.style else "graph-node"
    stroke = 2 if node.style == "subject" else 1
    whole = _text(" · ".join(text for text in (node.kind, node.name, node.note) if text))
    box = (
        f'<g class="{kind_class}"><title>{whole}</title>'
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{WIDTH}" height="{HEIGHT}" rx="8" fill="none" stroke="currentColor" '
        f'stroke-width="{stroke}"/>'
        f'<text class="graph-kind" x="{start:.1f}" y="{y + 20:.1f}" font-size="11" direction="{way}" '
        f'text-anchor="{kind_anchor}" fill="currentColor">{_text(node.kind)}</text>'
        f'<text class="graph-mark" x="{corner:.1f}" y="{y + 20:.1f}" font-size="12" direction="ltr" '
        f'text-anchor="{corner_anchor}" fill="currentColor">{_text(node.mark)}</text>'
        f'<text class="graph-name" x="{start:.1f}" y="{y + 40:.1f}" font-weight="600" direction="ltr" '
        f'text-anchor="{anchor}" fill="currentColor">{_text(_short(node.name, 22))}</text>'
        f'<text class="graph-note" x="{start:.1f}" y="{y + 58:.1f}" font-size="11" direction="ltr" '
        f'text-anchor="{anchor}" fill="currentColor">{_text(_short(node.note, 27))}</text></g>'
    )
    return f'<a href="{_text(node.href)}" class="graph-link">{box}</a>' if node.href else box


def _short(text: str, most: int) -> str:
    """Shorten *text* in its middle, where names differ least."""
    if len(text) <= most:
        return text
    tail = (most - 1) // 2
    return f"{text[: most - 1 - tail]}…{text[-tail:]}"


def _text(text: str) -> str:
    return escape(_UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", text))
