# SPDX-License-Identifier: Apache-2.0
"""Canonical JSON: RFC 8785's own examples, and what has no canonical form."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.canonical import canonical
from khatim.errors import Malformed

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
JSON = st.recursive(_SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


def test_the_example_of_the_specification_is_met() -> None:
    """RFC 8785 3.2.2 and 3.2.4."""
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": '\u20ac$\x0f\nA\'B"\\\\"/',
        "literals": [None, True, False],
    }
    expected = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert canonical(value) == expected.encode()


def test_keys_are_sorted_by_utf_16() -> None:
    """RFC 8785 3.2.3: U+1F600 sorts before U+FB33, because its first surrogate does."""
    assert canonical({"\ufb33": 1, "\U0001f600": 2, "1": 3}) == '{"1":3,"\U0001f600":2,"\ufb33":1}'.encode()


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), 2**53, -(2**53), {1: "one"}, {"b": b""}, "\ud800", {"\ud800": 1}, {1, 2}, object()],
    ids=["nan", "inf", "above", "below", "key", "bytes", "surrogate", "surrogate-key", "set", "object"],
)
def test_what_json_cannot_say_is_malformed(value: Any) -> None:
    with pytest.raises(Malformed):
        canonical(value)


def test_a_cycle_is_malformed() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(Malformed):
        canonical(cycle)


@given(JSON)
def test_reading_back_and_writing_again_changes_nothing(value: Any) -> None:
    once = canonical(value)
    assert canonical(json.loads(once, parse_int=float)) == once  # a JSON number is a double (RFC 8785 3.2.2.3)
