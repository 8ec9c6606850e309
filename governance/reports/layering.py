# SPDX-License-Identifier: Apache-2.0
"""Where the boxes and lines of a graph go: a layered layout.  Pure; standard library only.

It follows Sugiyama, Tagawa and Toda (1981): layers by longest path, bends where an edge passes a layer, fewest
crossings by barycentres, and then positions by least squares under a minimum distance (pool adjacent violators).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

WIDTH, HEIGHT = 184, 70  # of a node, in user units
GAP_X, GAP_Y, BEND_Y = 56, 26, 18  # between layers, between nodes, beside a bend
MARGIN = 6
_SWEEPS = 8


@dataclass(frozen=True, slots=True)
class Node:
    """One box: its id, a small line above (`kind`), its name, a small line below (`note`)."""

    id: str
    kind: str
    name: str
    note: str = ""
    href: str = ""  # the box is a link when set
    mark: str = ""  # short state in the corner: a check mark, an exclamation mark
    style: str = ""  # class suffix: ``subject``, ``good``, ``stop``


@dataclass(frozen=True, slots=True)
class Edge:
    """An arrow from `source` to `target`, with an optional word on it."""

    source: str
    target: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything is: upper left corner of each node, points of each edge, and the size of the whole."""

    places: Mapping[str, tuple[float, float]]
    lines: Sequence[tuple[Edge, Sequence[tuple[float, float]]]]
    width: float
    height: float


@dataclass
class _Net:
    """The graph while it is laid out: layers of ids (bends included), neighbours on either side."""

    layers: list[list[str]] = field(default_factory=list)
    before: dict[str, list[str]] = field(default_factory=dict)
    after: dict[str, list[str]] = field(default_factory=dict)
    bends: set[str] = field(default_factory=set)

    def join(self, source: str, target: str) -> None:
        self.after.setdefault(source, []).append(target)
        self.before.setdefault(target, []).append(source)


def layout(nodes: Sequence[Node], edges: Sequence[Edge]) -> Layout:
    """Place *nodes* in layers from left to right along *edges*.

    Edges to unknown nodes, doubled ones and those that would close a circle are not drawn: lineage has no circles, and
    a wrong row must not keep the page from opening.
    """
    known = {node.id for node in nodes}
    kept = _acyclic([edge for edge in edges if edge.source in known and edge.target in known])
    layer = _layers([node.id for node in nodes], kept)
    net = _Net(layers=[[] for _ in range(max(layer.values(), default=-1) + 1)])
    for node in nodes:
        net.layers[layer[node.id]].append(node.id)
    chains = [(edge, _chain(net, edge, layer)) for edge in kept]
    _order(net)
    rows = _rows(net)
    column = {name: index for index, names in enumerate(net.layers) for name in names}
    top = min(rows.values(), default=0.0)

    def middle(name: str) -> tuple[float, float]:
        return MARGIN + column[name] * (WIDTH + GAP_X) + WIDTH / 2, MARGIN + rows[name] - top + HEIGHT / 2

    places = {node.id: (middle(node.id)[0] - WIDTH / 2, middle(node.id)[1] - HEIGHT / 2) for node in nodes}
    lines = [
        (edge, [point for name in chain for point in _points(*middle(name), straight=name in net.bends)])
        for edge, chain in chains
    ]
    width = 2 * MARGIN + max(1, len(net.layers)) * (WIDTH + GAP_X) - GAP_X
    height = 2 * MARGIN + HEIGHT + max((row - top for row in rows.values()), default=0.0)
    return Layout(places, lines, width, height)


def _points(x: float, y: float, *, straight: bool) -> list[tuple[float, float]]:
    """Return the points of a line at one of its stations: through a bend it runs straight past the boxes beside it."""
    return [(x - WIDTH / 2, y), (x + WIDTH / 2, y)] if straight else [(x, y)]


def _acyclic(edges: Sequence[Edge]) -> list[Edge]:
    """Return the edges, in order, without doubles and without those that would close a circle."""
    after: dict[str, set[str]] = {}
    kept: list[Edge] = []
    for edge in edges:
        reached, waiting = {edge.target}, [edge.target]
        while waiting:
            for name in after.get(waiting.pop(), ()):
                if name not in reached:
                    reached.add(name)
                    waiting.append(name)
        if edge.source not in reached and edge.target not in after.get(edge.source, ()):
            after.setdefault(edge.source, set()).add(edge.target)
            kept.append(edge)
    return kept


def _layers(names: Sequence[str], edges: Sequence[Edge]) -> dict[str, int]:
    """Return the layer of each node: one more than its latest source; a source moves next to its first target."""
    layer = dict.fromkeys(names, 0)
    for _ in names:  # longest path needs at most as many rounds as there are nodes
        moved = [edge for edge in edges if layer[edge.target] <= layer[edge.source]]
        for edge in moved:
            layer[edge.target] = max(layer[edge.target], layer[edge.source] + 1)
        if not moved:
            break
    targets = {edge.target for edge in edges}
    for name in names:
        ahead = [layer[edge.target] for edge in edges if edge.source == name]
        if ahead and name not in targets:
            layer[name] = min(ahead) - 1
    return layer


def _chain(net: _Net, edge: Edge, layer: Mapping[str, int]) -> list[str]:
    """Join the edge's ends in *net*, with a bend in each layer between; return the whole chain."""
    chain = [edge.source]
    for index in range(layer[edge.source] + 1, layer[edge.target]):
        bend = f"\0{edge.source}\0{edge.target}\0{index}"  # no id of a node holds NUL
        net.bends.add(bend)
        net.layers[index].append(bend)
        chain.append(bend)
    chain.append(edge.target)
    for source, target in pairwise(chain):
        net.join(source, target)
    return chain


def _order(net: _Net) -> None:
    """Order each layer by the barycentre of its neighbours, to and fro, and keep the order with fewest crossings."""
    best, fewest = [list(names) for names in net.layers], _crossings(net)
    for sweep in range(_SWEEPS):
        forth = sweep % 2 == 0
        neighbours = net.before if forth else net.after
        for index in range(1, len(net.layers)) if forth else range(len(net.layers) - 2, -1, -1):
            beside = {name: place for place, name in enumerate(net.layers[index - 1 if forth else index + 1])}
            own = {name: float(place) for place, name in enumerate(net.layers[index])}
            for name in net.layers[index]:
                seen = [beside[other] for other in neighbours.get(name, ())]
                own[name] = sum(seen) / len(seen) if seen else own[name]
            net.layers[index].sort(key=own.__getitem__)
        if (found := _crossings(net)) < fewest:
            best, fewest = [list(names) for names in net.layers], found
    net.layers = best


def _crossings(net: _Net) -> int:
    """Count the pairs of edges that cross."""
    count = 0
    for index in range(len(net.layers) - 1):
        place = {name: spot for spot, name in enumerate(net.layers[index + 1])}
        after = [sorted(place[target] for target in net.after.get(name, ())) for name in net.layers[index]]
        ends = [end for group in after for end in group]
        count += sum(first > second for spot, first in enumerate(ends) for second in ends[spot + 1 :])
    return count


def _rows(net: _Net) -> dict[str, float]:
    """Return the upper edge of each node and bend: near its neighbours, in order, never overlapping."""
    rows: dict[str, float] = {}
    for names in net.layers:
        rows.update(zip(names, _spread([0.0] * len(names), _distances(net, names)), strict=True))
    for sweep in range(_SWEEPS):
        for names in net.layers if sweep % 2 == 0 else reversed(net.layers):
            wanted = []
            for name in names:
                seen = [rows[other] for other in (*net.before.get(name, ()), *net.after.get(name, ()))]
                wanted.append(sum(seen) / len(seen) if seen else rows[name])
            rows.update(zip(names, _spread(wanted, _distances(net, names)), strict=True))
    return rows


def _distances(net: _Net, names: Sequence[str]) -> list[float]:
    def half(name: str) -> float:
        return BEND_Y / 2 if name in net.bends else (HEIGHT + GAP_Y) / 2

    return [half(first) + half(second) for first, second in pairwise(names)]


def _spread(wanted: Sequence[float], distances: Sequence[float]) -> list[float]:
    """Return positions nearest to *wanted* (least squares) that keep *distances*, by pooling adjacent violators."""
    offsets = [0.0]
    for distance in distances:
        offsets.append(offsets[-1] + distance)
    pools: list[tuple[float, int]] = []
    for want, offset in zip(wanted, offsets, strict=False):
        total, count = want - offset, 1
        while pools and pools[-1][0] / pools[-1][1] >= total / count:
            more, members = pools.pop()
            total, count = total + more, count + members
        pools.append((total, count))
    flat = [total / count for total, count in pools for _ in range(count)]
    return [position + offset for position, offset in zip(flat, offsets, strict=False)]
