# SPDX-License-Identifier: Apache-2.0
"""Two accounts of one natural person are one person wherever duties are separated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from khatim.vocabulary import Role
from registry.accounts import grouped
from tests.support.http import good, problem
from tests.support.people import ADEL, APPROVERS, MONA, NOUR, OMAR, PAVEL, PETRA, SAMI, VERA, Person, person
from tests.support.world import VERSION, World

LINKS = "/v1/access/links"
BECAUSE = {"because": "the same passport"}
OTHER = person("Sami-2", *(role for role in Role if role not in {Role.AGENT, Role.AUDITOR}))
YES = {"role": "validator", "meaning": "I reviewed the evidence"}


def linked(world: World, one: Person = SAMI, other: Person = OTHER) -> str:
    """Link two accounts, by two people."""
    name = str(good(world.as_(NOUR).post(LINKS, {"account": one.ref, "person": other.ref, **BECAUSE}))["id"])
    good(world.as_(OMAR).post(f"{LINKS}/{name}/approval", BECAUSE))
    return name


def test_whoever_made_it_does_not_approve_it_under_another_account(evaluated: World) -> None:
    linked(evaluated)

    problem(evaluated.as_(OTHER).post(f"{VERSION}/approvals", YES), 403, "separation-of-duties")


def test_one_person_fills_one_seat_under_two_accounts(evaluated: World) -> None:
    twin = person("Vera-2", Role.PRIVACY_OFFICER)
    linked(evaluated, VERA, twin)
    good(evaluated.as_(VERA).post(f"{VERSION}/approvals", YES))

    body = {**YES, "role": "privacy-officer"}
    problem(evaluated.as_(twin).post(f"{VERSION}/approvals", body), 403, "separation-of-duties")


def test_what_was_approved_before_counts_once_from_then_on(approved: World) -> None:
    def unmet() -> list[str]:
        return [one["rule"] for one in good(approved.as_(SAMI).get(f"{VERSION}/gates/production"))["unmet"]]

    assert unmet() == []
    name = linked(approved, VERA, PETRA)
    assert len(unmet()) == 1
    good(approved.as_(NOUR).post(f"{LINKS}/{name}/release", BECAUSE))
    assert len(unmet()) == 1
    good(approved.as_(OMAR).post(f"{LINKS}/{name}/release", BECAUSE))
    assert unmet() == []


def a_waiver(world: World) -> Callable[[], httpx.Response]:
    body = {"rule": "production/evaluated", "days": 3, "because": "no data yet", "control": "four-eye reading"}
    name = good(world.as_(SAMI).post(f"{VERSION}/waivers", body))["id"]
    return lambda: world.as_(OTHER).post(f"/v1/waivers/{name}/approval", BECAUSE)


def an_authorisation(world: World) -> Callable[[], httpx.Response]:
    name = good(world.as_(SAMI).post("/v1/authorisations", world.terms()))["id"]
    return lambda: world.as_(OTHER).post(f"/v1/authorisations/{name}/approval", BECAUSE)


def a_role(world: World) -> Callable[[], httpx.Response]:
    body = {"subject": "person:p-new", "role": "validator", "days": 3, **BECAUSE}
    name = good(world.as_(SAMI).post("/v1/access/roles", body))["id"]
    return lambda: world.as_(OTHER).post(f"/v1/access/roles/{name}/approval", BECAUSE)


def a_role_of_their_own(world: World) -> Callable[[], httpx.Response]:
    body = {"subject": f"person:{SAMI.ref}", "role": "validator", "days": 3, **BECAUSE}
    name = good(world.as_(NOUR).post("/v1/access/roles", body))["id"]
    return lambda: world.as_(OTHER).post(f"/v1/access/roles/{name}/approval", BECAUSE)


def a_change_of_rules(world: World) -> Callable[[], httpx.Response]:
    files = {"roles.csv": "p, auditor, *, lab, version.approve, deny\n"}
    sami = SAMI.also(Role.PLATFORM_ENGINEER)
    name = good(world.as_(sami).post("/v1/policy/changes", {"files": files, **BECAUSE}))["id"]
    return lambda: world.as_(OTHER).post(f"/v1/policy/changes/{name}/approval", BECAUSE)


def an_emergency(world: World) -> Callable[[], httpx.Response]:
    body = {"role": "validator", "hours": 1, **BECAUSE}
    name = good(world.as_(SAMI).post("/v1/access/emergencies", body))["id"]
    return lambda: world.as_(OTHER).post(f"/v1/access/emergencies/{name}/confirmation", BECAUSE)


def a_hold(world: World) -> Callable[[], httpx.Response]:
    sami = SAMI.also(Role.PRIVACY_OFFICER)
    body = {"namespace": "lab", "legal_basis": "case 7", "review_due": "2099-01-01T00:00:00Z", **BECAUSE}
    name = good(world.as_(sami).post("/v1/holds", body))["id"]
    good(world.as_(sami).post(f"/v1/holds/{name}/release", BECAUSE))
    return lambda: world.as_(OTHER).post(f"/v1/holds/{name}/release", BECAUSE)


def an_erasure(world: World) -> Callable[[], httpx.Response]:
    sami = SAMI.also(Role.PRIVACY_OFFICER)
    ref = good(world.as_(person("Faris", Role.VALIDATOR)).get("/v1/whoami"))["ref"]
    body = {"legal_basis": "PDPL Art 15", "because": "they asked"}
    name = good(world.as_(sami).post(f"/v1/people/{ref}/erasure", body))["id"]
    return lambda: world.as_(OTHER).post(f"/v1/erasures/{name}/approval")


def a_revocation(world: World) -> Callable[[], httpx.Response]:
    sami = SAMI.also(Role.PRIVACY_OFFICER)
    body = {"kind": "artifact", "target": "sha256:" + "7" * 64, **BECAUSE}
    name = good(world.as_(sami).post("/v1/revocations", body))["id"]
    return lambda: world.as_(OTHER).post(f"/v1/revocations/{name}/lifting", BECAUSE)


def a_suspension(world: World) -> Callable[[], httpx.Response]:
    sami = SAMI.also(Role.ACCESS_ADMINISTRATOR)
    good(world.as_(sami).post("/v1/people/p-leaver/suspension", BECAUSE))
    return lambda: world.as_(OTHER).post("/v1/people/p-leaver/restoration", BECAUSE)


@pytest.mark.parametrize(
    "asked",
    [
        a_waiver, an_authorisation, a_role, a_role_of_their_own, a_change_of_rules, an_emergency, a_hold, an_erasure,
        a_revocation, a_suspension,
    ],
)  # fmt: skip
def test_no_four_eyes_are_two_of_one_person(
    evaluated: World, asked: Callable[[World], Callable[[], httpx.Response]]
) -> None:
    linked(evaluated)
    answer = asked(evaluated)

    problem(answer(), 403, "separation-of-duties")


def test_a_link_is_made_and_ended_by_two_people_who_are_neither(evaluated: World) -> None:
    nour_too = person("Nour-2", Role.ACCESS_ADMINISTRATOR)
    linked(evaluated, NOUR, nour_too)
    name = good(evaluated.as_(NOUR).post(LINKS, {"account": "p-a", "person": "p-b", **BECAUSE}))["id"]
    for who in (NOUR, nour_too):
        problem(evaluated.as_(who).post(f"{LINKS}/{name}/approval", BECAUSE), 403, "separation-of-duties")
    own = good(evaluated.as_(NOUR).post(LINKS, {"account": "p-c", "person": OMAR.ref, **BECAUSE}))["id"]
    problem(evaluated.as_(OMAR).post(f"{LINKS}/{own}/approval", BECAUSE), 403, "separation-of-duties")
    problem(evaluated.as_(PAVEL).post(LINKS, {"account": "p-a", "person": "p-d", **BECAUSE}), 403, "forbidden")


def test_it_is_told_and_listed(evaluated: World) -> None:
    evaluated.told()
    name = linked(evaluated)
    problem(evaluated.as_(NOUR).post(LINKS, {"account": OTHER.ref, "person": SAMI.ref, **BECAUSE}), 409)
    problem(evaluated.as_(NOUR).post(LINKS, {"account": SAMI.ref, "person": SAMI.ref, **BECAUSE}), 422)
    problem(evaluated.as_(OMAR).post(f"{LINKS}/{name}/approval", BECAUSE), 409)
    told = [one["kind"] for one in evaluated.told() if one["kind"].startswith("account.")]

    assert told == ["account.link_requested", "account.linked"]
    [row] = good(evaluated.as_(ADEL).get(LINKS))["items"]
    assert (row["state"], row["account"], row["person"]) == ("linked", SAMI.ref, OTHER.ref)


def test_a_request_is_turned_down_by_one(evaluated: World) -> None:
    name = good(evaluated.as_(NOUR).post(LINKS, {"account": SAMI.ref, "person": OTHER.ref, **BECAUSE}))["id"]
    row: Any = good(evaluated.as_(NOUR).post(f"{LINKS}/{name}/release", BECAUSE))

    assert row["state"] == "released"
    good(evaluated.as_(OTHER).post(f"{VERSION}/approvals", YES))
    problem(evaluated.as_(NOUR).post(f"{LINKS}/{name}/release", BECAUSE), 409)


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("abcdefgh")), max_size=8))
def test_links_make_groups(pairs: list[tuple[str, str]]) -> None:
    who = grouped(pairs)
    reached = {ref: {ref} for ref in "abcdefgh"}  # by walking, over and over
    for _ in range(8):
        for one, other in pairs:
            both = reached[one] | reached[other]
            for ref in both:
                reached[ref] = reached[ref] | both

    assert {ref: who(ref) for ref in reached} == {ref: min(group) for ref, group in reached.items()}


def test_everybody_of_the_story_is_themselves(approved: World) -> None:
    assert {who.ref for who, _ in APPROVERS} == {VERA.ref, PETRA.ref, MONA.ref}
    assert good(approved.as_(ADEL).get(LINKS))["items"] == []
