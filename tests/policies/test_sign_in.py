# SPDX-License-Identifier: Apache-2.0
"""What tokens of an identity provider make of somebody: never more than the file says, whatever they hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khatim.errors import Misconfigured
from khatim.vocabulary import Role
from policies.loading import PolicyBundle
from policies.sign_in import GROUPS_MOST, SignInRules

RULES = SignInRules(
    groups=("realm", "groups"), roles={Role.VALIDATOR: frozenset({"mv"}), Role.AUDITOR: frozenset({"ia", "ea"})}
)
SHIPPED = PolicyBundle.load().sign_in
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda one: st.lists(one) | st.dictionaries(st.text(), one)
)


def test_groups_are_found_where_the_file_says() -> None:
    claims = {"realm": {"groups": ["mv", "x", 7, ""]}, "groups": ["ia"]}

    assert RULES.groups_of(claims) == {"mv", "x"}
    assert RULES.brought_by(RULES.groups_of(claims)) == {Role.VALIDATOR}


@pytest.mark.parametrize("groups", [None, "mv", {"mv": True}, 3, ["x"] * GROUPS_MOST + ["mv"]])
def test_what_is_no_list_of_names_names_no_group(groups: Any) -> None:
    assert RULES.groups_of({"realm": {"groups": groups}}) == frozenset()
    assert RULES.groups_of({"realm": groups}) == frozenset()


@given(st.dictionaries(st.sampled_from(["realm", "groups", "amr", "acr"]), JSON))
def test_no_token_breaks_it_or_brings_a_role_by_another_name(claims: dict[str, Any]) -> None:
    groups = RULES.groups_of(claims)

    assert all(isinstance(one, str) for one in groups)
    assert RULES.brought_by(groups) <= RULES.roles.keys()
    assert SHIPPED.strength_of(claims) in {None, 1, 2, 3}


@pytest.mark.parametrize(
    ("claims", "strength"),
    [
        ({}, None),
        ({"amr": ["pwd"]}, 1),
        ({"amr": ["pwd", "mfa"]}, 2),
        ({"amr": ["pwd", "hwk"]}, 3),
        ({"amr": ["what"], "acr": "unknown"}, None),
        ({"amr": "hwk"}, None),
        ({"acr": "phrh"}, 3),
        ({"acr": ["phrh"]}, None),
    ],
)
def test_the_strongest_that_is_said_counts(claims: dict[str, Any], strength: int | None) -> None:
    assert SHIPPED.strength_of(claims) == strength


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("roles: {agent: [x]}", "enrolled"),
        ("strength: {amr: {pwd: 4}}", "1, 2 or 3"),
        ("groups: []", "name the members"),
        ("roles: {wizard: [x]}", "sign_in.yaml:1"),
        ("secret: x", "sign_in.yaml:1"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(text: str, words: str) -> None:
    with pytest.raises(Misconfigured, match=words):
        PolicyBundle.of_files({"sign_in.yaml": text + "\n"})


def test_no_group_brings_a_role_until_somebody_says_so() -> None:
    assert SHIPPED.roles == {}
