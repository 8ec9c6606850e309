# SPDX-License-Identifier: Apache-2.0
"""Waivers: one requirement excused until a day, by two people, listed as excepted, and asked for again afterwards."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from khatim.vocabulary import Role
from registry.signing import statements
from tests.support.http import good, problem
from tests.support.people import ADEL, DANA, MONA, PAVEL, PETRA, SAMI, VERA, Person
from tests.support.world import VERSION, ZONE, World

WAIVERS = f"{VERSION}/waivers"
PROMOTE = {"to": "production", "because": "all approvals are in"}
BECAUSE = {"because": "the doctors read every answer"}
RULE = "production/evaluated"


def terms(**changes: Any) -> dict[str, Any]:
    """Return a request that a tier 2 version may make."""
    return {"rule": RULE, "days": 30, "because": "no held-out data yet", "control": "four-eye reading", **changes}


def asked(world: World, **changes: Any) -> str:
    return str(good(world.as_(SAMI).post(WAIVERS, terms(**changes)))["id"])


def waived(world: World, **changes: Any) -> str:
    name = asked(world, **changes)
    good(world.as_(MONA).post(f"/v1/waivers/{name}/approval", BECAUSE))
    return name


def gate(world: World, transition: str = "production") -> Any:
    return good(world.as_(SAMI).get(f"{VERSION}/gates/{transition}"))


def stale(world: World) -> None:
    """Let every evaluation be too old for the gate, and have the version approved after that."""
    world.clock.forward(days=91)


def rules(report: Any, key: str) -> set[str]:
    return {one["rule"] for one in report[key]}


def test_a_waiver_opens_the_gate_and_is_listed_as_excepted_and_never_as_met(approved: World) -> None:
    stale(approved)
    assert rules(gate(approved), "unmet") == {RULE}
    name = waived(approved)
    report = gate(approved)

    assert report["is_open"]
    assert RULE not in rules(report, "met")
    [one] = report["excepted"]
    assert (one["rule"], one["waiver"]) == (RULE, f"waiver:oncology/{name}")
    assert one["expires"].startswith(f"{approved.clock() + timedelta(days=30):%Y-%m-%d}")


def test_what_was_promoted_on_a_waiver_says_so_in_the_ledger(approved: World) -> None:
    stale(approved)
    name = waived(approved)
    good(approved.as_(SAMI).post(f"{VERSION}/promotions", PROMOTE))
    event = approved.told()[-1]

    assert event["kind"] == "version.promoted"
    assert [one["waiver"] for one in event["payload"]["excepted"]] == [f"waiver:oncology/{name}"]


def test_a_waiver_is_asked_for_approved_and_recorded_with_its_control(approved: World) -> None:
    approved.told()
    waived(approved)
    events = [one for one in approved.told() if one["kind"].startswith("waiver.")]

    assert [one["kind"] for one in events] == ["waiver.requested", "waiver.approved"]
    assert [one["actor"] for one in events] == [SAMI.ref, MONA.ref]
    assert events[0]["payload"]["control"] == "four-eye reading"
    assert events[1]["payload"]["binding"]["zone"] == ZONE
    assert events[1]["resource"] == "version:oncology/malignancy@1"


def test_its_approver_signs_what_is_excused(approved: World) -> None:
    waived(approved)
    node = good(approved.as_(ADEL).get(f"{VERSION}/lineage"))["items"][0]
    [one] = [one for one in node["statements"] if one["predicate_type"] == statements.WAIVER]
    verified = approved.parts.notary.check(one["bundle"], statements.WAIVER, [])

    assert verified.identity.endswith(f"/person/{MONA.ref}")
    assert (verified.predicate["rule"], verified.predicate["requester"]) == (RULE, SAMI.ref)


def test_a_waiver_past_its_date_does_not_open_the_gate(approved: World) -> None:
    stale(approved)
    waived(approved)
    assert gate(approved)["is_open"]
    approved.clock.forward(days=31)

    assert RULE in rules(gate(approved), "unmet")


def test_a_version_that_came_in_on_a_waiver_is_not_deployed_after_its_end(approved: World) -> None:
    stale(approved)
    waived(approved)
    good(approved.as_(SAMI).post(f"{VERSION}/promotions", PROMOTE))
    assert gate(approved, "deploy")["is_open"]
    approved.clock.forward(days=31)
    [unmet] = gate(approved, "deploy")["unmet"]

    assert unmet["rule"] == "deploy/still-approved"
    assert f"the waiver of {RULE} has ended" in unmet["reason"]


def test_a_waiver_that_was_taken_back_excuses_nothing(approved: World) -> None:
    stale(approved)
    name = waived(approved)
    good(approved.as_(PETRA).post(f"/v1/waivers/{name}/revocation", {"because": "the control failed"}))

    assert RULE in rules(gate(approved), "unmet")
    assert approved.told()[-1]["payload"]["state"] == "revoked"
    problem(approved.as_(PETRA).post(f"/v1/waivers/{name}/revocation", BECAUSE), 409, "conflict")
    problem(approved.as_(MONA).post(f"/v1/waivers/{name}/approval", BECAUSE), 409, "conflict")


@pytest.mark.parametrize(
    "rule",
    ["version/scanned", "version/residency", "version/signed", "version/lineage", "version/not-revoked",
     "version/formats", "production/validator", "production/model-risk", "production/stage"],
)  # fmt: skip
def test_what_holds_always_is_not_waived_and_the_attempt_is_recorded(approved: World, rule: str) -> None:
    approved.told()
    body = problem(approved.as_(SAMI).post(WAIVERS, terms(rule=rule)), 403, "waiver-refused")

    assert body["rule"] == "waivers/unwaivable"
    assert approved.refusals()[-1]["payload"]["error"] == "waiver-refused"


def test_a_requirement_that_there_is_not_is_not_waived(approved: World) -> None:
    body = problem(approved.as_(SAMI).post(WAIVERS, terms(rule="production/nonsense")), 403, "waiver-refused")

    assert body["rule"] == "waivers/unknown"


def test_a_waiver_lasts_no_longer_than_its_tier_allows(approved: World) -> None:
    body = problem(approved.as_(SAMI).post(WAIVERS, terms(days=91)), 403, "waiver-refused")

    assert body["rule"] == "waivers/term"
    assert "at most 90 days" in body["detail"]


@pytest.mark.parametrize("who", [SAMI, DANA], ids=lambda one: one.name)
def test_nobody_excuses_what_they_asked_for_or_had_a_hand_in(approved: World, who: Person) -> None:
    name = asked(approved)
    both = who.also(Role.MODEL_RISK_APPROVER)
    body = problem(approved.as_(both).post(f"/v1/waivers/{name}/approval", BECAUSE), 403, "separation-of-duties")

    assert body["rule"].startswith("separation/")
    assert approved.refusals()[-1]["payload"]["error"] == "separation-of-duties"


@pytest.mark.parametrize("who", [VERA, PETRA, PAVEL, ADEL], ids=lambda one: one.name)
def test_only_a_model_risk_approver_approves(approved: World, who: Person) -> None:
    problem(approved.as_(who).post(f"/v1/waivers/{asked(approved)}/approval", BECAUSE), 403, "forbidden")


def test_new_evidence_voids_a_waiver_that_did_not_see_it(approved: World) -> None:
    stale(approved)
    waived(approved)
    assert gate(approved)["excepted"]
    approved.evaluate()

    assert gate(approved)["excepted"] == []


def test_a_waiver_that_was_written_into_the_database_excuses_nothing(approved: World) -> None:
    stale(approved)
    name = waived(approved)
    approved.clock.forward(days=31)
    approved.sql("UPDATE waivers SET expires_at = expires_at + interval '1 year' WHERE id = %s", name)

    assert RULE in rules(gate(approved), "unmet")


def test_the_same_waiver_is_not_asked_for_twice(approved: World) -> None:
    asked(approved)

    problem(approved.as_(SAMI).post(WAIVERS, terms()), 409, "conflict")


@pytest.mark.parametrize(
    "change", [{"days": 0}, {"days": 367}, {"control": " "}, {"because": ""}, {"rule": "x"}, {"transition": "archived"}]
)
def test_a_waiver_that_cannot_be_read_is_refused(approved: World, change: dict[str, Any]) -> None:
    problem(approved.as_(SAMI).post(WAIVERS, terms(**change)), 422, "malformed")


def test_waivers_are_listed_whatever_their_state(approved: World) -> None:
    waived(approved)
    asked(approved, rule="production/no-findings")

    assert [one["state"] for one in good(approved.as_(ADEL).get(WAIVERS))["items"]] == ["approved", "requested"]
