# SPDX-License-Identifier: Apache-2.0
"""Findings of people and of the ledger itself: owned, due, suspending where they say so, never one's own to resolve."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from khatim.vocabulary import Role
from tests.support.agents import digest
from tests.support.http import good, problem
from tests.support.people import ADEL, DANA, MONA, PAVEL, PETRA, SAMI, VERA, Person
from tests.support.world import VERSION, ZONE, World

ABOUT = "version:oncology/malignancy@1"
BECAUSE = {"because": "it was looked into"}


def opened(world: World, by: Person = VERA, **changes: Any) -> dict[str, Any]:
    body = {"about": ABOUT, "severity": "high", "summary": "its subgroup of men is too small", **changes}
    found: dict[str, Any] = good(world.as_(by).post("/v1/findings", body))
    return found


def states(world: World) -> set[str]:
    return {one["state"] for one in good(world.as_(ADEL).get(f"{VERSION}/approvals"))["items"]}


def endpoint(world: World) -> dict[str, Any]:
    found: dict[str, Any] = good(world.as_(ADEL).get(f"/v1/deployments/{world.memory.deployment}"))
    return found


def signals(world: World) -> list[dict[str, Any]]:
    listed = good(world.as_(MONA).get("/v1/findings"))["items"]
    return [one for one in listed if one["kind"].startswith("signal:")]


# -- of people --


def test_a_finding_has_an_owner_and_a_day_from_the_start(serving: World) -> None:
    found = opened(serving)
    [told] = [one for one in serving.told() if one["kind"] == "finding.opened"]

    assert (found["owner"], found["opened_by"], found["kind"]) == (SAMI.ref, VERA.ref, "reported")
    due = datetime.fromisoformat(found["due_at"]) - datetime.fromisoformat(found["opened_at"])
    assert due == timedelta(days=30)
    assert told["payload"]["due_at"] == found["due_at"]
    assert "men" not in str(told["payload"])  # a text of people stays out of what can never be erased
    assert endpoint(serving)["state"] == "serving"


def test_a_finding_that_blocks_stands_in_the_way_of_production(evaluated: World) -> None:
    evaluated.approve()
    name = opened(evaluated)["id"]
    body = {"to": "production", "because": "all approvals are in"}
    refused = problem(evaluated.as_(SAMI).post(f"{VERSION}/promotions", body), 403, "gate-not-satisfied")
    assert [one["rule"] for one in refused["unmet"]] == ["production/no-findings"]
    good(evaluated.as_(MONA).post(f"/v1/findings/{name}/resolution", BECAUSE))

    good(evaluated.as_(SAMI).post(f"{VERSION}/promotions", body))


def test_one_that_suspends_does_to_the_endpoint_what_was_agreed_and_its_end_takes_it_back(serving: World) -> None:
    name = opened(serving, suspend=True)["id"]
    assert states(serving) == {"suspended"}
    assert (endpoint(serving)["state"], endpoint(serving)["finding_id"]) == ("suspended", name)
    good(serving.as_(MONA).post(f"/v1/findings/{name}/resolution", BECAUSE))

    assert (states(serving), endpoint(serving)["state"]) == ({"active"}, "serving")


def test_who_may_open_may_not_always_suspend(serving: World) -> None:
    for who in (SAMI, PAVEL):
        opened(serving, who)
        body = {"about": ABOUT, "severity": "high", "summary": "stop it", "suspend": True}
        problem(serving.as_(who).post("/v1/findings", body), 403, "forbidden")
    for who in (DANA, ADEL):
        body = {"about": ABOUT, "severity": "low", "summary": "a note"}
        problem(serving.as_(who).post("/v1/findings", body), 403, "forbidden")

    assert states(serving) == {"active"}


def test_what_is_about_nothing_or_due_yesterday_is_refused(serving: World) -> None:
    good_body = {"about": ABOUT, "severity": "low", "summary": "a note"}
    yesterday = (serving.clock() - timedelta(days=1)).isoformat()
    problem(serving.as_(VERA).post("/v1/findings", {**good_body, "about": "person:p-sami"}), 422, "malformed")
    problem(serving.as_(VERA).post("/v1/findings", {**good_body, "severity": "grave"}), 422, "malformed")
    problem(serving.as_(VERA).post("/v1/findings", {**good_body, "due_at": yesterday}), 422, "malformed")
    problem(serving.as_(VERA).post("/v1/findings", {**good_body, "about": f"{ABOUT}9"}), 404, "not-found")


def test_a_finding_is_assigned_told_of_when_overdue_once_and_again_after_a_new_day(serving: World) -> None:
    name = opened(serving)["id"]
    due = serving.clock() + timedelta(days=2)
    body = {"owner": PAVEL.ref, "due_at": due.isoformat(), **BECAUSE}
    problem(serving.as_(SAMI).post(f"/v1/findings/{name}/assignment", body), 403, "forbidden")
    good(serving.as_(MONA).post(f"/v1/findings/{name}/assignment", body))
    serving.told()
    serving.clock.forward(days=1)
    serving.sweep()
    assert serving.kinds() == []
    serving.clock.forward(days=2)
    serving.sweep()
    serving.sweep()
    [told] = serving.told()
    assert (told["kind"], told["payload"]["owner"]) == ("finding.overdue", PAVEL.ref)
    assert good(serving.as_(ADEL).get(f"/v1/findings/{name}"))["overdue_at"]
    later = {**body, "due_at": (serving.clock() + timedelta(days=1)).isoformat()}
    good(serving.as_(PETRA).post(f"/v1/findings/{name}/assignment", later))
    serving.clock.forward(days=2)
    serving.sweep()

    assert serving.kinds() == ["finding.assigned", "finding.overdue"]


# -- of the ledger --


def test_who_tries_again_and_again_to_approve_their_own_becomes_a_finding_once(evaluated: World) -> None:
    both = SAMI.also(Role.VALIDATOR, Role.MODEL_RISK_APPROVER)
    body = {"role": "validator", "meaning": "approved for triage"}
    for _ in range(2):
        problem(evaluated.as_(both).post(f"{VERSION}/approvals", body), 403, "separation-of-duties")
    evaluated.sequence()
    evaluated.sweep()
    assert signals(evaluated) == []
    problem(evaluated.as_(both).post(f"{VERSION}/approvals", body), 403, "separation-of-duties")
    evaluated.sequence()
    evaluated.sweep()
    evaluated.sweep()
    [finding] = signals(evaluated)
    assert (finding["kind"], finding["about"]) == ("signal:self-approval", f"person:{SAMI.ref}")
    assert (finding["severity"], finding["details"]["count"]) == ("high", 3)
    name = f"/v1/findings/{finding['id']}/resolution"
    problem(evaluated.as_(both).post(name, BECAUSE), 403, "separation-of-duties")
    good(evaluated.as_(MONA).post(name, BECAUSE))
    evaluated.sequence()
    evaluated.sweep()

    assert [one["state"] for one in signals(evaluated)] == ["resolved"]  # the same entries tell nothing new


def test_people_who_work_as_usual_give_no_signal(serving: World) -> None:
    serving.sequence()
    serving.clock.forward(seconds=1)
    hours = serving.parts.rules.findings.signals["out-of-hours"]
    serving.sweep()

    assert {one["kind"] for one in signals(serving)} <= ({"signal:out-of-hours"} if hours.outside else set())


# -- what nobody has decided --


def unsettled(world: World) -> list[dict[str, Any]]:
    world.sequence()
    world.sweep()
    listed = good(world.as_(MONA).get("/v1/findings"))["items"]
    return [one for one in listed if one["kind"] == "residency-unsettled"]


def test_a_movement_that_nobody_has_decided_is_refused_and_becomes_a_question_once(serving: World) -> None:
    upload = {"zone": ZONE, "digest": digest("new"), "size": 1, "tags": ["moon.dust"]}
    for _ in range(2):
        problem(serving.as_(SAMI).post("/v1/uploads", upload), 403, "residency-refused")
    [found] = unsettled(serving)

    assert found["about"] == "residency:tags-unknown"
    assert "moon.dust" in found["summary"]
    assert (found["details"]["count"], found["details"]["to_zone"]) == (2, ZONE)
    problem(serving.as_(SAMI).post("/v1/uploads", upload), 403)
    assert len(unsettled(serving)) == 1
    good(serving.as_(MONA).post(f"/v1/findings/{found['id']}/resolution", {"because": "it is not ours to hold"}))
    assert len(unsettled(serving)) == 1
    problem(serving.as_(SAMI).post("/v1/uploads", {**upload, "digest": digest("newer")}), 403)
    assert len(unsettled(serving)) == 2


def test_what_the_matrix_refuses_is_an_answer_and_no_question(serving: World) -> None:
    body = {"zone": ZONE, "digest": digest("wdbc.csv"), "to_zone": "ext-de"}
    problem(serving.as_(SAMI).post("/v1/downloads", body), 403, "residency-refused")

    assert unsettled(serving) == []
