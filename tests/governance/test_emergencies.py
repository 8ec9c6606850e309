# SPDX-License-Identifier: Apache-2.0
"""Break-glass: two people, hours, everybody hears of it, and a review that neither of the two may close."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from khatim.vocabulary import Role
from policies.assignments import BreakGlass
from tests.support.http import good, problem
from tests.support.people import ADEL, DANA, MONA, NOUR, PAVEL, PETRA, SAMI
from tests.support.world import VERSION, World

EMERGENCIES = "/v1/access/emergencies"
BECAUSE = {"because": "the endpoint answers nonsense and nobody is on duty"}
STOP = {"because": "it answers nonsense"}


def asked(world: World, **changes: Any) -> str:
    body = {"role": "platform-engineer", "hours": 2, **BECAUSE, **changes}
    return str(good(world.as_(SAMI).post(EMERGENCIES, body))["id"])


def broken(world: World, **changes: Any) -> str:
    name = asked(world, **changes)
    good(world.as_(MONA).post(f"{EMERGENCIES}/{name}/confirmation", BECAUSE))
    world.clock.forward(seconds=3)  # every worker has asked again
    return name


def review(world: World) -> dict[str, Any]:
    [found] = [one for one in good(world.as_(ADEL).get("/v1/findings"))["items"] if one["kind"] == "break-glass"]
    return dict(found)


def test_two_people_open_what_access_closes_for_some_hours(serving: World) -> None:
    stop = f"/v1/deployments/{serving.memory.deployment}/stop"
    problem(serving.as_(SAMI).post(stop, STOP), 403, "forbidden")
    name = asked(serving)
    problem(serving.as_(SAMI).post(stop, STOP), 403, "forbidden")  # one person opens nothing
    good(serving.as_(MONA).post(f"{EMERGENCIES}/{name}/confirmation", BECAUSE))
    serving.clock.forward(seconds=3)
    good(serving.as_(SAMI).post(stop, STOP))
    serving.clock.forward(hours=2)

    problem(serving.as_(SAMI).post(stop, STOP), 403, "forbidden")
    serving.sweep()
    assert good(serving.as_(NOUR).get("/v1/access/roles"))["items"][0]["state"] == "expired"


def test_everybody_hears_of_it_and_a_review_is_due(serving: World) -> None:
    serving.told()
    broken(serving)
    kinds = serving.kinds()

    assert [kind for kind in kinds if kind != "statement.admitted"] == [
        "emergency.requested", "finding.opened", "emergency.confirmed"
    ]  # fmt: skip
    found = review(serving)
    assert (found["severity"], found["owner"]) == ("high", MONA.ref)
    ends = datetime.fromisoformat(found["details"]["runs_until"])
    assert datetime.fromisoformat(found["due_at"]) == ends + timedelta(days=3)


def test_neither_of_the_two_reviews_it_and_nobody_while_it_runs(serving: World) -> None:
    broken(serving)
    path = f"/v1/findings/{review(serving)['id']}/resolution"
    other = PETRA.also(Role.MODEL_RISK_APPROVER)
    problem(serving.as_(other).post(path, BECAUSE), 409, "conflict")
    serving.clock.forward(hours=2)
    problem(serving.as_(MONA).post(path, BECAUSE), 403, "separation-of-duties")
    problem(serving.as_(SAMI.also(Role.MODEL_RISK_APPROVER)).post(path, BECAUSE), 403, "separation-of-duties")

    good(serving.as_(other).post(path, BECAUSE))


def test_a_review_that_nobody_does_is_told_of(serving: World) -> None:
    broken(serving)
    serving.clock.forward(days=4)
    serving.told()
    serving.sweep()

    assert "finding.overdue" in serving.kinds()


def test_who_asked_does_not_confirm_and_who_may_not_confirm_does_not(serving: World) -> None:
    name = asked(serving)
    path = f"{EMERGENCIES}/{name}/confirmation"
    both = SAMI.also(Role.MODEL_RISK_APPROVER)
    problem(serving.as_(both).post(path, BECAUSE), 403, "separation-of-duties")
    for who in (DANA, ADEL):
        problem(serving.as_(who).post(path, BECAUSE), 403, "forbidden")
    # An ordinary approval neither stands in for it, nor it for an ordinary approval.
    problem(serving.as_(NOUR).post(f"/v1/access/roles/{name}/approval", BECAUSE), 409, "conflict")
    good(serving.as_(PAVEL).post(path, BECAUSE))

    problem(serving.as_(MONA).post(path, BECAUSE), 409, "conflict")


@pytest.mark.parametrize(
    ("changes", "status", "slug"),
    [
        ({"role": "access-administrator"}, 403, "assignment-refused"),
        ({"role": "auditor"}, 403, "assignment-refused"),
        ({"hours": 5}, 403, "assignment-refused"),
        ({"hours": 25}, 422, "malformed"),
        ({"hours": 0}, 422, "malformed"),
    ],
)
def test_what_no_glass_guards_is_refused(serving: World, changes: dict[str, Any], status: int, slug: str) -> None:
    body = {"role": "platform-engineer", "hours": 2, **BECAUSE, **changes}

    problem(serving.as_(SAMI).post(EMERGENCIES, body), status, slug)


def test_one_emergency_at_a_time_and_a_row_that_was_lengthened_gives_nothing(serving: World) -> None:
    name = broken(serving)
    body = {"role": "platform-engineer", "hours": 2, **BECAUSE}
    problem(serving.as_(SAMI).post(EMERGENCIES, body), 409, "conflict")
    serving.sql("UPDATE role_assignments SET expires_at = expires_at + interval '1 year' WHERE id = %s", name)
    serving.clock.forward(seconds=3)
    stop = f"/v1/deployments/{serving.memory.deployment}/stop"

    problem(serving.as_(SAMI).post(stop, STOP), 403, "forbidden")


def test_gates_and_separation_of_duties_hold_as_ever(evaluated: World) -> None:
    broken(evaluated, role="validator")
    body = {"role": "validator", "meaning": "approved in an emergency"}

    problem(evaluated.as_(SAMI).post(f"{VERSION}/approvals", body), 403, "separation-of-duties")


def test_a_policy_that_lets_access_itself_be_taken_is_refused() -> None:
    for role in (Role.AGENT, Role.ACCESS_ADMINISTRATOR):
        with pytest.raises(ValueError, match="never taken"):
            BreakGlass(max_hours={role: 1})
    with pytest.raises(ValueError, match="hours"):
        BreakGlass(max_hours={Role.VALIDATOR: 25})
