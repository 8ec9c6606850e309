# SPDX-License-Identifier: Apache-2.0
"""Paths: what is read is written the same, and what is none is refused with the expected form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khatim.errors import Malformed
from registry.naming import Path, checked
from tests.strategies import HOSTILE, names


@given(names, names, st.none() | st.integers(1, 10**9))
def test_a_path_is_written_as_it_was_read(namespace: str, name: str, number: int | None) -> None:
    path = Path(namespace, name, number)

    assert Path.parse(str(path)) == path


@pytest.mark.parametrize(
    "text",
    ["", "a", "a/", "/b", "a/b@", "a/b@0", "a/b@01", "a/b@-1", "a/b@1@2", "a/b@x", "a/b@٣", "a/b/c", "a/b@1 ", "A/b"],
)
def test_what_is_no_path_is_refused_with_the_expected_form(text: str) -> None:
    with pytest.raises(Malformed, match="namespace/name@number"):
        Path.parse(text)


@given(st.text())
def test_any_text_is_a_path_or_refused(text: str) -> None:
    try:
        assert str(Path.parse(text)) == text
    except Malformed:
        return


def test_a_number_that_is_missing_is_asked_for_with_an_example() -> None:
    with pytest.raises(Malformed, match="number is missing") as raised:
        Path.numbered("oncology/malignancy")

    assert raised.value.advice == "Write oncology/malignancy@1, for example."


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_name_names_nothing(text: str) -> None:
    with pytest.raises(Malformed, match="cannot name a dataset"):
        checked(text, "dataset")
