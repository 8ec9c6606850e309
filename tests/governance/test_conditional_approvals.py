# SPDX-License-Identifier: Apache-2.0
"""Approvals under obligations, with a change ticket, in an order, and in the absence of somebody."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from audit.events import moment
from khatim.vocabulary import Role
from tests.support.http import good, problem
from tests.support.people import ADEL, APPROVERS, MONA, NOUR, OMAR, PETRA, SAMI, VERA, Person, person
from tests.support.world import VERSION, Step, World, Worlds

APPROVALS = f"{VERSION}/approvals"
HIND = person("Hind")
ORDERED = """
requirements:
  production/model-risk: {after: [production/validator, production/privacy-officer], ticket: "CHG-[0-9]+"}
"""


def yes(role: Role = Role.VALIDATOR, **more: Any) -> dict[str, Any]:
    return {"role": role.value, "meaning": "I reviewed the evidence", **more}


def under(world: World, *texts: str, days: float = 30) -> list[dict[str, str]]:
    return [{"text": text, "due_at": moment(world.clock() + timedelta(days=days))} for text in texts]


def unmet(world: World) -> list[str]:
    return [one["rule"] for one in good(world.as_(SAMI).get(f"{VERSION}/gates/production"))["unmet"]]


def stands_in(world: World, absent: Person, role: Role, who: Person = HIND, days: int = 10) -> None:
    """Let *who* act for *absent* in *role*."""
    body = {
        "subject": f"person:{who.ref}",
        "role": role.value,
        "days": days,
        "because": "on leave",
        "in_my_absence": True,
    }
    name = good(world.as_(absent).post("/v1/access/roles", body))["id"]
    good(world.as_(OMAR).post(f"/v1/access/roles/{name}/approval", {"because": "on leave"}))
    world.clock.forward(seconds=3)


@pytest.fixture
def ordered(worlds: Worlds, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Yield a world in which the model-risk approver comes last, with a change ticket."""
    overlay: Path = tmp_path_factory.mktemp("ordered") / "overlay"
    overlay.mkdir()
    (overlay / "gates.yaml").write_text(ORDERED, encoding="utf-8")
    with worlds.at(Step.EVALUATED, overlay) as opened:
        yield opened


# -- obligations --


def test_under_an_obligation_it_counts_until_the_first_is_due(evaluated: World) -> None:
    made = good(evaluated.as_(VERA).post(APPROVALS, yes(obligations=under(evaluated, "repeat the bias test", days=30))))
    for who, role in APPROVERS[1:]:
        good(evaluated.as_(who).post(APPROVALS, yes(role)))

    assert made["expires_at"] == made["obligations"][0]["dueAt"]
    assert unmet(evaluated) == []
    evaluated.clock.forward(days=30)
    assert unmet(evaluated) == ["production/validator"]


def test_who_gave_it_accepts_by_approving_anew(evaluated: World) -> None:
    made = good(evaluated.as_(VERA).post(APPROVALS, yes(obligations=under(evaluated, "one", "two"))))
    problem(evaluated.as_(VERA).post(f"{APPROVALS}/{made['id']}/answers", {"number": 1, "said": "it is done"}), 403)
    evaluated.told()
    answered = good(
        evaluated.as_(SAMI).post(f"{APPROVALS}/{made['id']}/answers", {"number": 2, "said": "job 7 shows it"})
    )

    assert [(one["number"], one["by"], one["said"]) for one in answered["answers"]] == [(2, SAMI.ref, "job 7 shows it")]
    [told] = [one["payload"] for one in evaluated.told() if one["kind"] == "obligation.answered"]
    assert told == {"approval": made["id"], "number": 2, "said": "job 7 shows it"}
    again = good(evaluated.as_(VERA).post(APPROVALS, yes()))
    assert (again["obligations"], again["expires_at"] > made["expires_at"]) == ([], True)
    problem(evaluated.as_(VERA).post(APPROVALS, yes()), 409)


def test_an_endpoint_under_an_obligation_is_warned_of_and_ends_as_agreed(evaluated: World) -> None:
    good(evaluated.as_(VERA).post(APPROVALS, yes(obligations=under(evaluated, "repeat the bias test", days=20))))
    for who, role in APPROVERS[1:]:
        good(evaluated.as_(who).post(APPROVALS, yes(role)))
    evaluated.promote()
    evaluated.deploy()
    evaluated.arrive()
    evaluated.clock.forward(days=14)
    evaluated.told()
    evaluated.sweep()

    assert [one["payload"]["days"] for one in evaluated.told() if one["kind"] == "deployment.expiring"] == [7]


@pytest.mark.parametrize(("number", "status"), [(0, 422), (2, 404), (21, 422)])
def test_only_an_obligation_that_there_is_is_answered(evaluated: World, number: int, status: int) -> None:
    made = good(evaluated.as_(VERA).post(APPROVALS, yes(obligations=under(evaluated, "one"))))

    problem(evaluated.as_(SAMI).post(f"{APPROVALS}/{made['id']}/answers", {"number": number, "said": "done"}), status)


def test_an_obligation_that_is_due_already_is_refused(evaluated: World) -> None:
    problem(evaluated.as_(VERA).post(APPROVALS, yes(obligations=under(evaluated, "too late", days=-1))), 422)


@pytest.mark.parametrize(
    "change",
    [
        "obligations = '[]'",
        "expires_at = expires_at + interval '300 days'",
        "stands_in_for = 'p-x'",
        'ticket = \'{"id": "x"}\'',
    ],
)
def test_what_was_signed_cannot_be_changed_in_the_database(evaluated: World, change: str) -> None:
    good(evaluated.as_(VERA).post(APPROVALS, yes(obligations=under(evaluated, "one"))))
    assert "production/validator" not in unmet(evaluated)
    evaluated.sql(f"UPDATE approvals SET {change}")

    assert "production/validator" in unmet(evaluated)


# -- what was looked at --


def test_what_is_approved_is_what_was_looked_at(evaluated: World) -> None:
    gate = evaluated.as_(VERA).get(f"{VERSION}/gates/production")
    tag = gate.headers["etag"]
    evaluated.evaluate()
    stale = evaluated.as_(VERA).call("POST", APPROVALS, yes(), headers={"If-Match": tag})
    problem(stale, 412, "changed")

    assert tag == f'"{gate.json()["binding"]}"'
    now = evaluated.as_(VERA).get(f"{VERSION}/gates/production").headers["etag"]
    assert f'"{stale.json()["now"]}"' == now != tag
    problem(evaluated.as_(VERA).post(APPROVALS, yes(seen=tag.strip('"'))), 412, "changed")
    assert evaluated.as_(VERA).call("POST", APPROVALS, yes(), headers={"If-Match": now}).status_code == 201
    good(evaluated.as_(PETRA).post(APPROVALS, yes(Role.PRIVACY_OFFICER, seen=now.strip('"'))))


# -- order and ticket --


def test_whose_turn_has_not_come_is_told_so(ordered: World) -> None:
    early = ordered.as_(MONA).post(APPROVALS, yes(Role.MODEL_RISK_APPROVER, ticket={"id": "CHG-1"}))
    problem(early, 403, "separation-of-duties")

    assert early.json()["rule"] == "approvals/order"
    good(ordered.as_(VERA).post(APPROVALS, yes()))
    problem(ordered.as_(MONA).post(APPROVALS, yes(Role.MODEL_RISK_APPROVER)), 403)
    good(ordered.as_(PETRA).post(APPROVALS, yes(Role.PRIVACY_OFFICER)))
    good(ordered.as_(MONA).post(APPROVALS, yes(Role.MODEL_RISK_APPROVER, ticket={"id": "CHG-1", "state": "approved"})))
    assert unmet(ordered) == []


@pytest.mark.parametrize("ticket", [None, {"id": "INC-1"}, {"id": "CHG-1x"}])
def test_an_approval_without_the_ticket_that_is_asked_for_does_not_count(
    ordered: World, ticket: dict[str, str] | None
) -> None:
    for who, role in APPROVERS[:2]:
        good(ordered.as_(who).post(APPROVALS, yes(role)))
    good(ordered.as_(MONA).post(APPROVALS, yes(Role.MODEL_RISK_APPROVER, ticket=ticket)))

    assert unmet(ordered) == ["production/model-risk"]


def test_the_state_of_the_ticket_is_signed_as_it_was_seen(ordered: World) -> None:
    seen = {"id": "CHG-7", "state": "authorised", "title": "New triage model", "url": "https://itsm.example/CHG-7"}
    made = good(ordered.as_(VERA).post(APPROVALS, yes(ticket=seen)))

    assert made["ticket"] == {**seen, "seenAt": made["approved_at"]}
    problem(ordered.as_(PETRA).post(APPROVALS, yes(Role.PRIVACY_OFFICER, ticket={"id": "a b"})), 422)


# -- absence --


def test_who_stands_in_approves_with_the_absent_person_s_voice(evaluated: World) -> None:
    stands_in(evaluated, VERA, Role.VALIDATOR)
    made = good(evaluated.as_(HIND).post(APPROVALS, yes()))

    assert (made["approver"], made["stands_in_for"]) == (HIND.ref, VERA.ref)
    problem(evaluated.as_(VERA).post(APPROVALS, yes()), 409)
    for who, role in APPROVERS[1:]:
        good(evaluated.as_(who).post(APPROVALS, yes(role)))
    assert unmet(evaluated) == []


def test_whoever_made_it_cannot_have_it_approved_in_their_absence(evaluated: World) -> None:
    sami = SAMI.also(Role.VALIDATOR)
    body = {
        "subject": f"person:{HIND.ref}",
        "role": "validator",
        "days": 5,
        "because": "on leave",
        "in_my_absence": True,
    }
    name = good(evaluated.as_(sami).post("/v1/access/roles", body))["id"]
    good(evaluated.as_(OMAR).post(f"/v1/access/roles/{name}/approval", {"because": "on leave"}))
    evaluated.clock.forward(seconds=3)
    refused = evaluated.as_(HIND).post(APPROVALS, yes())

    problem(refused, 403, "separation-of-duties")
    assert "for whom you act" in refused.json()["detail"]


def test_two_seats_are_not_filled_by_one_voice(evaluated: World) -> None:
    both = VERA.also(Role.PRIVACY_OFFICER)
    stands_in(evaluated, both, Role.PRIVACY_OFFICER)
    good(evaluated.as_(VERA).post(APPROVALS, yes()))
    problem(evaluated.as_(HIND).post(APPROVALS, yes(Role.PRIVACY_OFFICER)), 403, "separation-of-duties")


def test_who_stands_in_does_not_speak_for_themselves_as_well(evaluated: World) -> None:
    hind = HIND.also(Role.MODEL_RISK_APPROVER)
    stands_in(evaluated, VERA, Role.VALIDATOR)
    good(evaluated.as_(hind).post(APPROVALS, yes()))

    problem(evaluated.as_(hind).post(APPROVALS, yes(Role.MODEL_RISK_APPROVER)), 403, "separation-of-duties")


@pytest.mark.parametrize(
    ("who", "change", "rule"),
    [
        (VERA, {"days": 31}, "assignments/absence"),
        (VERA, {"role": "privacy-officer"}, "assignments/stand-in"),
        (VERA, {"subject": "group:readers"}, "assignments/stand-in"),
        (VERA, {"subject": f"person:{VERA.ref}"}, "assignments/stand-in"),
        (NOUR, {}, "assignments/stand-in"),
    ],
)
def test_nobody_lends_what_they_do_not_hold(evaluated: World, who: Person, change: dict[str, Any], rule: str) -> None:
    body = {
        "subject": f"person:{HIND.ref}",
        "role": "validator",
        "days": 5,
        "because": "on leave",
        "in_my_absence": True,
    }
    refused = evaluated.as_(who).post("/v1/access/roles", {**body, **change})

    problem(refused, 403, "assignment-refused")
    assert refused.json()["rule"] == rule


def test_who_stands_in_lends_it_to_nobody(evaluated: World) -> None:
    stands_in(evaluated, VERA, Role.VALIDATOR)
    body = {
        "subject": f"person:{ADEL.ref}",
        "role": "validator",
        "days": 5,
        "because": "on leave",
        "in_my_absence": True,
    }

    problem(evaluated.as_(HIND).post("/v1/access/roles", body), 403, "assignment-refused")
