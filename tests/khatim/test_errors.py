# SPDX-License-Identifier: Apache-2.0
"""Errors: raised in the server, told as problem+json, raised again in the SDK as the same; the docstring has all."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khatim import errors
from khatim.errors import PROBLEM_BASE, KhatimError, Refused, from_problem

# Drawn in the docstring: depth, name, status where it differs from the parent's.
TREE = re.compile(r"^    (?P<bars>(?:│   |    )*)(?:[├└]── )?(?P<name>[A-Z]\w+) +(?P<status>\d{3})?", re.MULTILINE)
words = st.text(min_size=1, max_size=40)
values = st.recursive(st.none() | st.booleans() | st.integers() | words, lambda one: st.lists(one, max_size=3))
members = st.dictionaries(st.from_regex(r"[a-z]{1,9}", fullmatch=True), values, max_size=3)


def tree(root: type[KhatimError] = KhatimError) -> Iterator[type[KhatimError]]:
    """Yield *root* and everything under it that stands in the module."""
    yield root
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from tree(child)


EVERY = list(tree())


def drawn() -> dict[str, tuple[str, int]]:
    """Return name -> (parent's name, status) as the docstring draws it."""
    found: dict[str, tuple[str, int]] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        if (match := TREE.match(line)) is None:
            continue
        depth = match.start("name")
        above = [one for one in above if one[0] < depth]
        parent = above[-1][1] if above else ""
        status = int(match["status"] or found[parent][1])
        found[match["name"]] = (parent, status)
        above.append((depth, match["name"]))
    return found


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    assert drawn() == {
        one.__name__: (one.__base__.__name__ if one is not KhatimError and one.__base__ else "", one.status)
        for one in EVERY
    }


def test_every_error_of_the_module_is_in_the_tree() -> None:
    there = {one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, Exception)}

    assert there == set(EVERY)


def test_no_two_errors_have_one_type_or_one_title() -> None:
    assert len({one.slug() for one in EVERY}) == len(EVERY)
    assert len({one.title() for one in EVERY}) == len(EVERY)


@pytest.mark.parametrize("kind", EVERY, ids=lambda one: one.__name__)
def test_an_error_is_a_sentence_a_status_and_a_type(kind: type[KhatimError]) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.slug())
    assert re.fullmatch(r"[A-Z].+[^.]", kind.title())
    assert 400 <= kind.status < 600
    assert kind().detail == kind.title() == str(kind())


@pytest.mark.parametrize("kind", EVERY, ids=lambda one: one.__name__)
@given(detail=words, advice=words, more=members)
def test_an_error_comes_back_from_its_problem_as_the_same(
    kind: type[KhatimError], detail: str, advice: str, more: dict[str, Any]
) -> None:
    more = {name: value for name, value in more.items() if name not in {"type", "title", "status", "detail", "advice"}}
    raised = kind(detail, advice=advice, **more)
    body = json.loads(json.dumps(raised.as_problem()))
    again = from_problem(body, raised.status)

    assert type(again) is kind
    assert (again.detail, again.advice, dict(again.members)) == (detail, advice, more)
    assert again.as_problem() == body


@pytest.mark.parametrize("kind", EVERY, ids=lambda one: one.__name__)
def test_an_error_without_words_comes_back_as_well(kind: type[KhatimError]) -> None:
    body = kind().as_problem()
    again = from_problem(body, kind.status)

    assert (type(again), again.as_problem()) == (kind, body)
    assert body["type"] == PROBLEM_BASE + kind.slug()


def test_a_member_never_replaces_what_every_problem_says() -> None:
    body = Refused("no", rule="r", status=200, title="fine", type="about:blank").as_problem()

    assert (body["status"], body["title"], body["rule"]) == (403, "A rule said no", "r")
    assert body["type"].endswith("/refused")


@pytest.mark.parametrize(
    "body", [{}, {"type": "about:blank"}, {"type": PROBLEM_BASE + "from-the-future"}, {"type": None}, {"type": 7}]
)
def test_a_problem_of_an_unknown_type_is_a_plain_error_that_keeps_its_status(body: dict[str, Any]) -> None:
    again = from_problem({**body, "detail": "what happened", "rule": "x"}, 418)

    assert type(again) is KhatimError
    assert (again.detail, again.members["status"], again.members["rule"]) == ("what happened", 418, "x")


@given(st.dictionaries(st.text(max_size=9), values, max_size=5), st.integers(100, 599))
def test_whatever_a_stranger_answers_becomes_an_error(body: dict[str, Any], status: int) -> None:
    assert isinstance(from_problem(body, status), KhatimError)
