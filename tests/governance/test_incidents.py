# SPDX-License-Identifier: Apache-2.0
"""Incidents: the duties of the zone's law, counted from awareness, told when late, closed by somebody else."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from audit.events import moment
from khatim.errors import Misconfigured
from policies.loading import PolicyBundle
from tests.support.http import good, problem
from tests.support.people import ADEL, MONA, PAVEL, PETRA, SAMI, VERA, Person
from tests.support.world import VERSION, World

INCIDENTS = "/v1/incidents"
ABOUT = "version:oncology/malignancy@1"
BECAUSE = {"because": "everything was done"}


def opened(world: World, by: Person = PAVEL, **changes: Any) -> dict[str, Any]:
    body = {"about": ABOUT, "kind": "personal-data-breach", "summary": "a disk was lost", **changes}
    found: dict[str, Any] = good(world.as_(by).post(INCIDENTS, body))
    return found


def done(world: World, name: str, duty: str, by: Person = PETRA, **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = good(
        world.as_(by).post(f"{INCIDENTS}/{name}/duties", {"duty": duty, "said": "letter 7", **changes})
    )
    return found


def late(world: World) -> list[tuple[str, bool]]:
    """Return what the ledger was told of lateness since the last time."""
    world.sweep()
    told = [one["payload"] for one in world.told() if one["kind"] == "incident.duty_late"]
    return [(one["duty"], one["is_overdue"]) for one in told]


def test_its_duties_are_those_of_the_zone_s_law_from_awareness_on(serving: World) -> None:
    aware = serving.clock() - timedelta(hours=3)
    found = opened(serving, aware_at=moment(aware))
    duties = {one["id"]: one for one in found["duties"]}

    assert list(duties) == ["data-office", "people", "investigation"]  # neither ADGM's nor DIFC's Commissioner
    assert (duties["data-office"]["dueAt"], duties["data-office"]["certainty"]) == ("", "S")
    assert duties["data-office"]["warnAt"] == moment(aware + timedelta(hours=24))
    assert duties["investigation"]["dueAt"] == moment(aware + timedelta(hours=720))
    assert (found["owner"], found["state"], found["severity"]) == (PAVEL.ref, "open", "critical")
    [told] = [one for one in serving.told() if one["kind"] == "incident.opened"]
    assert (told["resource"], told["payload"]["subject"]) == (f"incident:{found['id']}", ABOUT)
    assert "disk" not in str(told["payload"])  # a text of people stays out of what can never be erased


def test_what_is_late_is_told_once_for_the_warning_and_once_for_the_limit(serving: World) -> None:
    name = opened(serving)["id"]
    assert late(serving) == []
    serving.clock.forward(hours=25)
    assert late(serving) == [("data-office", False)]
    assert late(serving) == []
    done(serving, name, "data-office")
    serving.clock.forward(hours=800)
    assert late(serving) == [("people", False), ("investigation", False), ("investigation", True)]
    assert late(serving) == []


def test_a_duty_is_done_once_at_a_time_that_can_be(serving: World) -> None:
    found = opened(serving, aware_at=moment(serving.clock() - timedelta(hours=5)))
    path = f"{INCIDENTS}/{found['id']}/duties"
    for when in (-6, 1):
        body = {"duty": "people", "said": "done", "done_at": moment(serving.clock() + timedelta(hours=when))}
        problem(serving.as_(PETRA).post(path, body), 422)
    serving.told()
    at = moment(serving.clock() - timedelta(hours=2))
    answered = done(serving, found["id"], "people", done_at=at)

    [duty] = [one for one in answered["duties"] if one["id"] == "people"]
    assert (duty["doneBy"], duty["doneAt"], duty["said"]) == (PETRA.ref, at, "letter 7")
    [told] = [one["payload"] for one in serving.told() if one["kind"] == "incident.duty_done"]
    assert (told["hours"], told["is_late"]) == (3.0, False)
    problem(serving.as_(PETRA).post(path, {"duty": "people", "said": "again"}), 409)
    problem(serving.as_(PETRA).post(path, {"duty": "nothing", "said": "what"}), 404)
    problem(serving.as_(PAVEL).post(path, {"duty": "investigation", "said": "mine"}), 403, "forbidden")


def test_it_is_closed_when_all_is_done_by_another_than_who_opened_it(serving: World) -> None:
    found = opened(serving, by=PETRA)
    close = f"{INCIDENTS}/{found['id']}/closing"
    problem(serving.as_(MONA).post(close, BECAUSE), 409)
    for duty in found["duties"]:
        done(serving, found["id"], duty["id"])
    problem(serving.as_(PETRA).post(close, BECAUSE), 403, "separation-of-duties")
    closed = good(serving.as_(MONA).post(close, BECAUSE))

    assert (closed["state"], closed["closed_by"]) == ("closed", MONA.ref)
    problem(serving.as_(MONA).post(close, BECAUSE), 409)
    assert late(serving) == []


def test_it_takes_the_approvals_out_where_it_says_so(serving: World) -> None:
    found = opened(serving, by=VERA, kind="model-malfunction", suspend=True)
    states = {one["state"] for one in good(serving.as_(ADEL).get(f"{VERSION}/approvals"))["items"]}
    finding = good(serving.as_(MONA).get(f"/v1/findings/{found['finding_id']}"))

    assert states == {"suspended"}
    assert (finding["severity"], finding["consequence"]) == ("critical", "suspend")


def test_an_incident_about_an_endpoint_is_of_its_zone(serving: World) -> None:
    found = opened(serving, about=f"deployment:{serving.memory.deployment}", kind="security")

    assert found["about"] == f"deployment:oncology/{serving.memory.deployment}"
    assert good(serving.as_(ADEL).get(f"{INCIDENTS}/{found['id']}"))["zone"] == found["zone"] == "ae-health"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"kind": "no-such"}, 422),
        ({"about": "version:oncology/none@1"}, 404),
        ({"about": "person:p-1"}, 422),
        ({"aware_at": "2999-01-01T00:00:00Z"}, 422),
    ],
)
def test_what_cannot_be_meant_is_refused(serving: World, change: dict[str, Any], status: int) -> None:
    body = {"about": ABOUT, "kind": "security", "summary": "a disk was lost", **change}

    problem(serving.as_(PAVEL).post(INCIDENTS, body), status)


def test_who_makes_models_tells_somebody_who_may_open_it(serving: World) -> None:
    body = {"about": ABOUT, "kind": "security", "summary": "a disk was lost"}
    problem(serving.as_(SAMI).post(INCIDENTS, body), 403, "forbidden")


def test_it_waits_for_its_owner(serving: World) -> None:
    opened(serving, by=PAVEL, owner=PETRA.ref)
    waits = good(serving.as_(PETRA).get("/v1/waiting"))["items"]
    found = [(one["title"], bool(one["due"])) for one in waits if one["kind"] == "incident"]

    assert ("Tell the data office", True) in found
    assert len(found) == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [("hours: 12", "the warning before the limit"), ("warn_hours: 0", "the warning before the limit")],
)
def test_a_warning_after_the_limit_is_no_rule(change: str, said: str) -> None:
    text = f"kinds: {{security: {{duties: {{lessons: {{{change}}}}}}}}}"

    with pytest.raises(Misconfigured, match=said):
        PolicyBundle.of_files({"incidents.yaml": text})


def test_the_moment_of_a_resolution_is_kept(serving: World) -> None:
    body = {"about": ABOUT, "severity": "low", "summary": "a typo in its card"}
    name = good(serving.as_(VERA).post("/v1/findings", body))["id"]
    assert good(serving.as_(MONA).get(f"/v1/findings/{name}"))["resolved_at"] is None
    good(serving.as_(MONA).post(f"/v1/findings/{name}/resolution", BECAUSE))
    resolved = datetime.fromisoformat(good(serving.as_(MONA).get(f"/v1/findings/{name}"))["resolved_at"])

    assert abs(resolved - serving.clock()) < timedelta(minutes=1)
