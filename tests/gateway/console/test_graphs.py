# SPDX-License-Identifier: Apache-2.0
"""The layered layout, for every graph that Hypothesis finds, and the SVG that comes of it."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.console import graphs
from gateway.console.graphs import HEIGHT, WIDTH, Edge, Node
from gateway.console.layering import GAP_X

SVG = "{http://www.w3.org/2000/svg}"


@st.composite
def any_graph(draw: st.DrawFn) -> tuple[list[Node], list[Edge]]:
    """Return up to twelve nodes with edges between any of them: circles, loops, doubles and strangers included."""
    count = draw(st.integers(0, 12))
    names = [f"n{place}" for place in range(count)]
    ends = st.sampled_from([*names, "stranger"])
    edges = draw(st.lists(st.builds(Edge, ends, ends, st.text(max_size=4)), max_size=24))
    return [Node(name, "kind", name) for name in names], edges


@given(any_graph())
@settings(deadline=None)
def test_no_two_boxes_overlap_and_all_stand_inside(graph: tuple[list[Node], list[Edge]]) -> None:
    plan = graphs.layout(*graph)
    boxes = list(plan.places.values())

    assert len(boxes) == len(graph[0])
    for place, (x, y) in enumerate(boxes):
        assert -0.01 <= x <= plan.width - WIDTH + 0.01
        assert -0.01 <= y <= plan.height - HEIGHT + 0.01
        for x2, y2 in boxes[place + 1 :]:
            assert abs(x - x2) >= WIDTH or abs(y - y2) >= HEIGHT


@given(any_graph())
@settings(deadline=None)
def test_every_arrow_points_onward(graph: tuple[list[Node], list[Edge]]) -> None:
    plan = graphs.layout(*graph)

    for edge, points in plan.lines:
        assert plan.places[edge.target][0] - plan.places[edge.source][0] >= WIDTH + GAP_X - 0.01
        assert [x for x, _ in points] == sorted(x for x, _ in points)


@given(any_graph())
@settings(deadline=None)
def test_a_line_between_distant_layers_passes_no_box(graph: tuple[list[Node], list[Edge]]) -> None:
    plan = graphs.layout(*graph)

    for edge, points in plan.lines:
        for x, y in points[1:-1]:
            for name, (left, top) in plan.places.items():
                inside = left < x < left + WIDTH and top + 1 < y < top + HEIGHT - 1
                assert not inside, f"{edge} runs through {name}"


@given(any_graph(), st.sampled_from(["ltr", "rtl"]), st.text(max_size=20))
@settings(deadline=None, max_examples=50)
def test_the_picture_is_well_formed_whatever_the_names(
    graph: tuple[list[Node], list[Edge]], way: str, text: str
) -> None:
    nodes = [Node(node.id, text, text, text, href="/console") for node in graph[0]]
    drawn = ET.fromstring(graphs.svg(nodes, graph[1], title=text, description="d", rtl=way == "rtl"))  # noqa: S314 - our own picture

    assert len(drawn.findall(f"{SVG}a")) == len(nodes)


def test_a_chain_is_drawn_in_one_row() -> None:
    nodes = [Node(name, "", name) for name in "abcd"]
    plan = graphs.layout(nodes, [Edge("a", "b"), Edge("b", "c"), Edge("c", "d")])

    assert len({y for _, y in plan.places.values()}) == 1


def test_crossings_that_need_not_be_are_not_drawn() -> None:
    nodes = [Node(name, "", name) for name in ("a", "b", "x", "y")]
    plan = graphs.layout(nodes, [Edge("a", "y"), Edge("b", "x")])
    order = [plan.places[name][1] for name in "abxy"]

    assert (order[0] < order[1]) == (order[3] < order[2])


def test_a_late_input_stands_beside_what_it_enters() -> None:
    nodes = [Node(name, "", name) for name in ("raw", "data", "model", "code")]
    plan = graphs.layout(nodes, [Edge("raw", "data"), Edge("data", "model"), Edge("code", "model")])

    assert plan.places["code"][0] == plan.places["data"][0]


def test_right_to_left_is_the_mirror_image() -> None:
    nodes, edges = [Node("a", "A", "a"), Node("b", "B", "b")], [Edge("a", "b")]
    places = {}
    for rtl in (False, True):
        drawn = graphs.svg(nodes, edges, title="t", description="d", rtl=rtl)
        places[rtl] = [float(x) for x in re.findall(r'<rect x="([\d.]+)"', drawn)]

    assert places[False] == places[True][::-1]
    assert places[False][0] < places[False][1]


def test_a_circle_is_drawn_without_its_last_edge() -> None:
    nodes = [Node(name, "", name) for name in "ab"]

    assert len(graphs.layout(nodes, [Edge("a", "b"), Edge("b", "a"), Edge("a", "a")]).lines) == 1


def test_long_names_are_shortened_in_the_middle_and_whole_in_the_title() -> None:
    name = "oncology/a-very-long-model-name@12"
    drawn = graphs.svg([Node("a", "Model", name)], [], title="t", description="d")

    assert f"<title>Model · {name}</title>" in drawn
    assert "oncology/a-…" in drawn
    assert "@12</text>" in drawn


def test_two_hundred_nodes_are_laid_out_quickly() -> None:
    nodes = [Node(f"n{n}", "", f"n{n}") for n in range(200)]
    edges = [Edge(f"n{n}", f"n{n * 3 % 180 + 20}") for n in range(200)]

    assert len(graphs.layout(nodes, edges).places) == 200
