# SPDX-License-Identifier: Apache-2.0
"""One person, one voice: the matching of people to places."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from policies.quorum import saturated

people = st.sampled_from(["a", "b", "c", "d"])
quorums = st.dictionaries(st.integers(0, 3), st.frozensets(people), max_size=4)


def largest_by_force(candidates: dict[int, frozenset[str]]) -> int:
    seats = list(candidates)
    everyone = [*{one for who in candidates.values() for one in who}, *([None] * len(seats))]
    return max(
        sum(person in candidates[seat] for seat, person in zip(seats, order, strict=False))
        for order in permutations(everyone, len(seats))
    )


def test_who_could_fill_two_places_fills_one() -> None:
    assert len(saturated({"validator": {"noura"}, "privacy": {"noura"}})) == 1


def test_an_assignment_that_fits_is_found_although_the_first_try_does_not() -> None:
    assert saturated({"validator": {"noura", "yousef"}, "privacy": {"noura"}}) == {"validator", "privacy"}


@given(quorums)
def test_as_many_places_are_filled_as_force_finds(candidates: dict[int, frozenset[str]]) -> None:
    assert len(saturated(candidates)) == largest_by_force(candidates)


@given(quorums, st.frozensets(st.integers(0, 4)))
def test_somebody_who_joins_empties_no_place(candidates: dict[int, frozenset[str]], able: frozenset[int]) -> None:
    before = saturated(candidates)
    joined = {place: who | {"newcomer"} if place in able else who for place, who in candidates.items()}

    assert before <= saturated(joined)
