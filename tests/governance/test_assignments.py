# SPDX-License-Identifier: Apache-2.0
"""Roles on record: two people, an end, a signature that the row must match; and people who are cut off at once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from khatim.vocabulary import Role
from registry.signing import statements
from tests.support.http import Api, good, problem
from tests.support.people import ADEL, NOUR, OMAR, PAVEL, SAMI, VERA, Person, person
from tests.support.world import VERSION, ZONE, World

ROLES = "/v1/access/roles"
BECAUSE = {"because": "the second reader is on leave"}
WAIVER = {
    "rule": "production/evaluated", "days": 3, "because": "no held-out data yet", "control": "four-eye reading"
}  # fmt: skip
HIND = person("Hind")  # nobody knows her; her sign-in brings nothing


def terms(who: str = f"person:{HIND.ref}", **changes: Any) -> dict[str, Any]:
    return {"subject": who, "role": "validator", "days": 30, **BECAUSE, **changes}


def asked(world: World, **changes: Any) -> str:
    return str(good(world.as_(NOUR).post(ROLES, terms(**changes)))["id"])


def given(world: World, **changes: Any) -> str:
    name = asked(world, **changes)
    good(world.as_(OMAR).post(f"{ROLES}/{name}/approval", BECAUSE))
    later(world)
    return name


def later(world: World) -> None:
    """Let every worker have asked again."""
    world.clock.forward(seconds=3)


def explained(api: Api, action: str = "version.approve", **asked: Any) -> Any:
    query = urlencode(
        {"action": action, "resource": "version:oncology/malignancy@1", "zone": ZONE, **asked}, doseq=True
    )
    return good(api.get(f"/v1/access/explanation?{query}"))


def may_ask(world: World, who: Person = HIND) -> bool:
    """Whether *who* acts as a validator does: asks that a requirement be excused."""
    answer = world.as_(who).post(f"{VERSION}/waivers", WAIVER)
    assert answer.status_code in (201, 403, 404, 409), answer.text
    return answer.status_code in (201, 409)


def test_somebody_without_any_role_acts_by_one_on_record_until_it_ends(approved: World) -> None:
    problem(approved.as_(HIND).get(VERSION), 404, "not-found")
    given(approved)
    good(approved.as_(HIND).get(VERSION))
    assert may_ask(approved)
    approved.clock.forward(days=30)

    problem(approved.as_(HIND).get(VERSION), 404, "not-found")
    approved.sweep()
    [one] = good(approved.as_(NOUR).get(ROLES))["items"]
    assert (one["state"], one["ended_by"]) == ("expired", "service:khatim")
    assert one["because"].startswith("it ran until ")


def test_it_is_asked_for_given_and_ended_in_the_ledger(approved: World) -> None:
    approved.told()
    name = given(approved, ticket="ITSM-7", zone=ZONE, namespace="onco*")
    good(approved.as_(OMAR).post(f"{ROLES}/{name}/revocation", {"because": "the leave is over"}))
    events = [one for one in approved.told() if one["kind"].startswith("role.")]

    assert [(one["kind"], one["actor"]) for one in events] == [
        ("role.requested", NOUR.ref), ("role.approved", OMAR.ref), ("role.ended", OMAR.ref)
    ]  # fmt: skip
    assert {one["resource"] for one in events} == {f"assignment:{name}"}
    assert events[0]["payload"]["ticket"] == events[1]["payload"]["ticket"] == "ITSM-7"
    assert (events[1]["payload"]["in_zone"], events[1]["payload"]["in_namespace"]) == (ZONE, "onco*")
    assert events[2]["payload"]["state"] == "revoked"


def test_it_is_held_where_it_was_given_and_nowhere_else(approved: World) -> None:
    given(approved, namespace="cardiology")

    problem(approved.as_(HIND).get(VERSION), 404, "not-found")
    assert good(approved.as_(HIND).get("/v1/models"))["items"] == []
    given(approved, namespace="onco*", zone="ae-*")
    good(approved.as_(HIND).get(VERSION))


def test_what_was_taken_back_opens_nothing_within_seconds(approved: World) -> None:
    name = given(approved)
    good(approved.as_(HIND).get(VERSION))
    good(approved.as_(NOUR).post(f"{ROLES}/{name}/revocation", BECAUSE))
    later(approved)

    problem(approved.as_(HIND).get(VERSION), 404, "not-found")
    problem(approved.as_(NOUR).post(f"{ROLES}/{name}/revocation", BECAUSE), 409, "conflict")
    problem(approved.as_(OMAR).post(f"{ROLES}/{name}/approval", BECAUSE), 409, "conflict")


@pytest.mark.parametrize(
    ("who", "subject", "rule"),
    [
        (NOUR, f"person:{HIND.ref}", "assignments/requester"),
        (OMAR, f"person:{OMAR.ref}", "assignments/beneficiary"),
    ],
)
def test_nobody_gives_a_role_that_they_asked_for_or_would_hold(
    approved: World, who: Person, subject: str, rule: str
) -> None:
    name = asked(approved, subject=subject)
    body = problem(approved.as_(who).post(f"{ROLES}/{name}/approval", BECAUSE), 403, "separation-of-duties")

    assert body["rule"] == rule
    assert approved.refusals()[-1]["payload"]["error"] == "separation-of-duties"


def test_only_an_access_administrator_gives_and_the_database_knows_two_people(approved: World) -> None:
    name = asked(approved)
    for who in (SAMI, VERA, PAVEL, ADEL):
        problem(approved.as_(who).post(f"{ROLES}/{name}/approval", BECAUSE), 403, "forbidden")
    with pytest.raises(Exception, match="ck_role_assignments_two_people"):
        approved.sql(
            "UPDATE role_assignments SET approved_by = requested_by, approved_at = now(), expires_at = now(), "
            "statement_id = (SELECT min(id::text)::uuid FROM statements) WHERE id = %s", name,
        )  # fmt: skip


def test_who_administers_one_namespace_gives_roles_there_and_not_everywhere(approved: World) -> None:
    local = person("Layla")
    given(approved, subject=f"person:{local.ref}", role="access-administrator", namespace="oncology", days=30)
    here, everywhere = asked(approved, namespace="oncology"), asked(approved)

    good(approved.as_(local).post(f"{ROLES}/{here}/approval", BECAUSE))
    problem(approved.as_(local).post(f"{ROLES}/{everywhere}/approval", BECAUSE), 404, "not-found")


@pytest.mark.parametrize(
    ("change", "rule"),
    [({"days": 366}, "assignments/term"), ({"role": "access-administrator", "days": 91}, "assignments/term"),
     ({"role": "agent"}, "assignments/role")],
)  # fmt: skip
def test_more_than_the_policy_allows_is_refused_and_recorded(approved: World, change: Any, rule: str) -> None:
    body = problem(approved.as_(NOUR).post(ROLES, terms(**change)), 403, "assignment-refused")

    assert body["rule"] == rule
    assert approved.refusals()[-1]["payload"]["error"] == "assignment-refused"


@pytest.mark.parametrize(
    "change",
    [{"days": 0}, {"subject": "Hind"}, {"subject": "agent:1"}, {"role": "emperor"}, {"zone": "a*b"}, {"because": ""},
     {"ticket": "two words"}],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_read_is_refused(approved: World, change: dict[str, Any]) -> None:
    problem(approved.as_(NOUR).post(ROLES, terms(**change)), 422, "malformed")


def test_the_same_is_not_asked_for_twice(approved: World) -> None:
    asked(approved)

    problem(approved.as_(OMAR).post(ROLES, terms()), 409, "conflict")


@pytest.mark.parametrize(
    "change",
    ["role = 'model-risk-approver'", "expires_at = expires_at + interval '1 year'", "subject = 'person:p-dana'",
     "namespace = 'onco*'", "approved_by = 'p-petra'", "statement_id = (SELECT min(id::text)::uuid FROM statements)"],
)  # fmt: skip
def test_a_row_that_was_changed_in_the_database_gives_nothing(approved: World, change: str) -> None:
    name = given(approved)
    good(approved.as_(HIND).get(VERSION))
    approved.sql(f"UPDATE role_assignments SET {change} WHERE id = %s", name)
    later(approved)

    problem(approved.as_(HIND).get(VERSION), 404, "not-found")


def test_a_revoked_approver_signature_takes_the_role_with_it(approved: World) -> None:
    given(approved)
    [said] = approved.sql("SELECT id FROM statements WHERE predicate_type = %s", statements.ASSIGNMENT)
    good(approved.as_(person("Petra", Role.PRIVACY_OFFICER)).post("/v1/revocations", {
        "kind": "statement", "target": str(said[0]), "because": "it was not Omar who signed",
    }))  # fmt: skip
    later(approved)

    problem(approved.as_(HIND).get(VERSION), 404, "not-found")


def test_who_is_suspended_gets_nothing_at_all_until_somebody_else_lets_them_in(approved: World) -> None:
    good(approved.as_(SAMI).get(VERSION))
    approved.told()
    good(approved.as_(NOUR).post(f"/v1/people/{SAMI.ref}/suspension", {"because": "left the bank"}))
    later(approved)
    body = problem(approved.as_(SAMI).get(VERSION), 401, "unauthenticated")
    assert "suspended" in body["detail"]
    problem(approved.as_(SAMI).get("/v1/whoami"), 401, "unauthenticated")
    problem(approved.as_(NOUR).post(f"/v1/people/{SAMI.ref}/suspension", BECAUSE), 409, "conflict")
    own = problem(approved.as_(NOUR).post(f"/v1/people/{SAMI.ref}/restoration", BECAUSE), 403, "separation-of-duties")
    assert own["rule"] == "suspensions/two-people"
    good(approved.as_(OMAR).post(f"/v1/people/{SAMI.ref}/restoration", {"because": "it was a mistake"}))
    later(approved)

    good(approved.as_(SAMI).get(VERSION))
    assert [one for one in approved.kinds() if one in ("person.suspended", "person.restored")] == [
        "person.suspended",
        "person.restored",
    ]
    [one] = good(approved.as_(ADEL).get("/v1/access/suspensions"))["items"]
    assert (one["person"], one["suspended_by"], one["lifted_by"]) == (SAMI.ref, NOUR.ref, OMAR.ref)


def test_nobody_lets_themselves_in_and_only_who_was_cut_off_is_let_in(approved: World) -> None:
    problem(approved.as_(OMAR).post(f"/v1/people/{VERA.ref}/restoration", BECAUSE), 404, "not-found")
    problem(approved.as_(SAMI).post(f"/v1/people/{VERA.ref}/suspension", BECAUSE), 403, "forbidden")


def test_an_explanation_names_the_row_and_the_record(approved: World) -> None:
    name = given(approved)
    told = explained(approved.as_(NOUR), person=HIND.ref)

    assert told["allowed"]
    assert told["rule"].startswith("roles.csv:")
    assert told["roles"] == ["validator"]
    assert [one["id"] for one in told["on_record"]] == [name]


def test_an_explanation_counts_what_the_sign_in_would_bring_and_says_why_not(approved: World) -> None:
    no = explained(approved.as_(NOUR), person=HIND.ref, role=["data-scientist"])
    both = explained(approved.as_(NOUR), person=HIND.ref, role=["validator", "auditor"])
    mine = explained(approved.as_(VERA))

    assert (no["allowed"], no["rule"], no["roles"]) == (False, "roles.csv:default", ["data-scientist"])
    assert "validator" in no["advice"]
    assert (both["allowed"], "forbids" in both["reason"]) == (False, True)
    assert mine["allowed"]


def test_an_explanation_of_somebody_suspended_says_that(approved: World) -> None:
    good(approved.as_(NOUR).post(f"/v1/people/{VERA.ref}/suspension", {"because": "left the bank"}))
    told = explained(approved.as_(OMAR), person=VERA.ref, role=["validator"])

    assert (told["allowed"], told["rule"], told["suspended"]) == (False, "suspensions/standing", True)


def test_others_access_is_explained_to_whom_it_concerns_and_asking_is_no_attempt(approved: World) -> None:
    approved.told()
    query = urlencode({"action": "read", "resource": "version:oncology/malignancy@1", "person": VERA.ref, "zone": ZONE})
    problem(approved.as_(SAMI).get(f"/v1/access/explanation?{query}"), 403, "forbidden")
    explained(approved.as_(ADEL), person=VERA.ref, role=["data-engineer"])

    assert [one["payload"]["action"] for one in approved.refusals()] == ["access.explain"]


@pytest.mark.parametrize("change", [{"resource": "version"}, {"zone": "No Zone"}, {"role": "agent"}], ids=str)
def test_a_question_that_cannot_be_read_is_refused(approved: World, change: dict[str, str]) -> None:
    query = urlencode(
        {"action": "read", "resource": "version:oncology/x@1", "person": VERA.ref, "zone": ZONE, **change}
    )

    problem(approved.as_(NOUR).get(f"/v1/access/explanation?{query}"), 422)


def test_a_group_holds_a_role_for_its_members(approved: World) -> None:
    given(approved, subject="group:second-readers")
    members = approved.parts.local_tokens
    token = members.access(
        HIND.ref, HIND.name, frozenset(), at=approved.clock(), ttl=timedelta(hours=1), groups=("second-readers",)
    )

    good(approved.bearer(token).get(VERSION))
    problem(approved.as_(HIND).get(VERSION), 404, "not-found")
