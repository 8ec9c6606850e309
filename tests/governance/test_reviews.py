# SPDX-License-Identifier: Apache-2.0
"""Access reviews: every role on record is answered for by somebody independent, or taken back when it is due."""

from __future__ import annotations

from typing import Any

import pytest

from tests.governance.test_assignments import HIND, ROLES, given, later
from tests.support.http import good, problem
from tests.support.people import ADEL, NOUR, OMAR, SAMI, Person, person
from tests.support.world import VERSION, World

REVIEWS = "/v1/access/reviews"
BECAUSE = {"because": "every quarter"}
KHALID = person("Khalid")


def opened(world: World, **scope: Any) -> Any:
    return good(world.as_(NOUR).post(REVIEWS, {**BECAUSE, **scope}))


def decide(world: World, who: Person, review: Any, assignment: str, decision: str) -> Any:
    body = {"assignment": assignment, "decision": decision, "because": "asked the head of the department"}
    return world.as_(who).post(f"{REVIEWS}/{review['id']}/decisions", body)


def test_what_is_answered_for_is_kept_and_the_rest_is_taken_back_when_it_is_due(approved: World) -> None:
    kept, lost = given(approved), given(approved, subject=f"person:{KHALID.ref}")
    review = opened(approved, days=7)
    assert {one["assignment"]["id"] for one in review["items"]} == {kept, lost}
    good(decide(approved, NOUR, review, kept, "keep"))
    approved.clock.forward(days=7, seconds=1)
    approved.told()
    assert approved.sweep() == 1

    good(approved.as_(HIND).get(VERSION))
    problem(approved.as_(KHALID).get(VERSION), 404, "not-found")
    shown = good(approved.as_(ADEL).get(f"{REVIEWS}/{review['id']}"))
    answers = {one["assignment"]["id"]: (one["decision"], one["assignment"]["state"]) for one in shown["items"]}
    assert shown["state"] == "closed"
    assert answers == {kept: ("keep", "approved"), lost: ("lapsed", "revoked")}
    events = [one for one in approved.told() if one["kind"] in ("review.decided", "role.ended", "review.closed")]
    assert [one["kind"] for one in events] == ["review.decided", "role.ended", "review.closed"]
    assert (events[2]["payload"]["kept"], events[2]["payload"]["lapsed"]) == (1, 1)


def test_what_a_reviewer_takes_back_is_gone_and_the_last_answer_closes_the_review(approved: World) -> None:
    name = given(approved)
    review = opened(approved)
    told = good(decide(approved, OMAR, review, name, "revoke"))
    later(approved)

    assert (told["state"], told["items"][0]["assignment"]["state"]) == ("closed", "revoked")
    problem(approved.as_(HIND).get(VERSION), 404, "not-found")
    problem(decide(approved, OMAR, review, name, "keep"), 409, "conflict")


def test_what_ended_by_itself_keeps_no_review_open(approved: World) -> None:
    kept, gone = given(approved), given(approved, subject=f"person:{KHALID.ref}")
    review = opened(approved)
    good(approved.as_(NOUR).post(f"{ROLES}/{gone}/revocation", BECAUSE))
    problem(decide(approved, OMAR, review, gone, "revoke"), 409, "conflict")
    told = good(decide(approved, NOUR, review, kept, "keep"))

    assert told["state"] == "closed"
    assert {one["decision"] for one in told["items"]} == {"keep", "ended"}


def test_nobody_answers_for_their_own_role_or_keeps_what_they_gave(approved: World) -> None:
    own = given(approved, subject=f"person:{SAMI.ref}", role="access-administrator")
    review = opened(approved)
    mine = problem(decide(approved, SAMI, review, own, "keep"), 403, "separation-of-duties")
    gave = problem(decide(approved, OMAR, review, own, "keep"), 403, "separation-of-duties")

    assert (mine["rule"], gave["rule"]) == ("reviews/beneficiary", "reviews/approver")
    good(decide(approved, NOUR, review, own, "keep"))


def test_a_review_is_of_a_role_or_namespace_where_it_says_so(approved: World) -> None:
    here = given(approved, namespace="oncology")
    given(approved, namespace="cardiology", subject=f"person:{KHALID.ref}")
    review = opened(approved, role="validator", namespace="oncology")

    assert [one["assignment"]["id"] for one in review["items"]] == [here]
    problem(approved.as_(NOUR).post(REVIEWS, {**BECAUSE, "role": "auditor"}), 404, "not-found")


def test_only_access_administrators_review_and_not_for_ever(approved: World) -> None:
    name = given(approved)
    review = opened(approved)
    for who in (SAMI, ADEL):
        problem(approved.as_(who).post(REVIEWS, BECAUSE), 403, "forbidden")
        problem(decide(approved, who, review, name, "revoke"), 403, "forbidden")
    body = problem(approved.as_(NOUR).post(REVIEWS, {**BECAUSE, "days": 31}), 403, "assignment-refused")
    assert body["rule"] == "reviews/term"


@pytest.mark.parametrize("change", [{"decision": "perhaps"}, {"assignment": "x"}, {"because": ""}], ids=str)
def test_an_answer_that_cannot_be_read_is_refused(approved: World, change: dict[str, str]) -> None:
    name = given(approved)
    review = opened(approved)
    body = {"assignment": name, "decision": "keep", "because": "needed", **change}

    problem(approved.as_(NOUR).post(f"{REVIEWS}/{review['id']}/decisions", body), 422, "malformed")


def test_an_assignment_that_the_review_does_not_ask_about_is_not_found(approved: World) -> None:
    given(approved)
    review = opened(approved)
    other = given(approved, subject=f"person:{KHALID.ref}")

    problem(decide(approved, NOUR, review, other, "keep"), 404, "not-found")
    assert good(approved.as_(ADEL).get(REVIEWS))["items"][0]["id"] == review["id"]
