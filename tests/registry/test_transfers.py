# SPDX-License-Identifier: Apache-2.0
"""Transfer authorisations: what a mechanism asks for, two people, and the movements that they open and close."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from khatim.vocabulary import Role
from registry import transfers
from tests.support.agents import digest
from tests.support.http import good, problem
from tests.support.people import ADEL, DANA, MONA, PAVEL, PETRA, SAMI, Person
from tests.support.world import Step, World, Worlds

HOME, ABROAD = "ae-onshore", "ext-de"
PURPOSE = "second opinion of the vendor"
BLOB = str(digest("onshore"))
REQUESTS = "/v1/namespaces/oncology/transfers"
BECAUSE = {"because": "the contract binds the importer"}


@pytest.fixture
def world(worlds: Worlds) -> Iterator[World]:
    """Yield a world in which an onshore agent holds a blob of personal data."""
    with worlds.at(Step.EMPTY) as opened:
        agent = opened.enrol(HOME)
        ask = {"zone": HOME, "digest": BLOB, "size": 10, "tags": ["personal"]}
        good(agent.report(good(opened.as_(SAMI).post("/v1/uploads", ask)), size=10))
        yield opened


def terms(world: World, **changes: Any) -> dict[str, Any]:
    """Return a request that its mechanism is content with."""
    filled: dict[str, Any] = {
        "from_zone": HOME,
        "to_zone": ABROAD,
        "mechanism": "PDPL-23-CONTRACT",
        "evidence_digest": str(digest("contract")),
        "purpose": PURPOSE,
        "tags": ["personal"],
        "scope": [f"artifact:{BLOB}"],
        "valid_to": (world.clock() + timedelta(days=30)).isoformat(),
        "details": {"importer_party": "party:vendor", "legal_basis_locator": "register/17"},
    }
    return {**filled, **changes}


def asked(world: World, **changes: Any) -> str:
    return str(good(world.as_(SAMI).post(REQUESTS, terms(world, **changes)))["id"])


def approved(world: World, **changes: Any) -> str:
    name = asked(world, **changes)
    good(world.as_(PETRA).post(f"/v1/transfers/{name}/approval", BECAUSE))
    return name


def download(world: World, to_zone: str = ABROAD, purpose: str = PURPOSE) -> httpx.Response:
    body = {"zone": HOME, "digest": BLOB, "to_zone": to_zone, "purpose": purpose}
    return world.as_(SAMI).post("/v1/downloads", body)


def test_what_is_asked_for_is_recorded_with_its_terms(world: World) -> None:
    name = asked(world)
    event = world.told()[-1]

    assert (event["kind"], event["resource"]) == ("transfer.requested", f"transfer:oncology/{name}")
    assert event["payload"]["terms"]["mechanism"] == "PDPL-23-CONTRACT"
    assert event["payload"]["terms"]["from_regimes"] == ["pdpl"]
    assert event["payload"]["terms"]["to_location"] == "DE"
    assert good(world.as_(ADEL).get("/v1/transfers"))["items"][0]["state"] == "requested"


def test_a_movement_is_closed_until_another_person_has_approved_it(world: World) -> None:
    refused = problem(download(world), 403, "residency-refused")
    name = asked(world)
    still = problem(download(world), 403, "residency-refused")
    good(world.as_(PETRA).post(f"/v1/transfers/{name}/approval", BECAUSE))

    assert refused["rule"] == still["rule"]
    assert "Record a transfer authorisation" in refused["advice"]
    assert good(download(world))["digest"] == BLOB
    event = world.told()[-1]
    assert event["kind"] == "artifact.download_authorised"
    assert f"by transfer authorisation transfer:oncology/{name} (PDPL-23-CONTRACT)" in event["payload"]["because"]


def test_nobody_approves_what_they_asked_for(world: World) -> None:
    both = SAMI.also(Role.PRIVACY_OFFICER)
    name = asked(world)
    body = problem(world.as_(both).post(f"/v1/transfers/{name}/approval", BECAUSE), 403, "separation-of-duties")

    assert body["rule"] == "sod/requester"
    assert world.refusals()[-1]["payload"]["error"] == "separation-of-duties"
    problem(download(world), 403, "residency-refused")


@pytest.mark.parametrize("who", [DANA, PAVEL, MONA, ADEL], ids=lambda one: one.name)
def test_only_a_privacy_officer_approves(world: World, who: Person) -> None:
    problem(world.as_(who).post(f"/v1/transfers/{asked(world)}/approval", BECAUSE), 403, "forbidden")


def test_an_auditor_and_a_data_engineer_ask_for_none(world: World) -> None:
    for who in (ADEL, DANA):
        assert world.as_(who).post(REQUESTS, terms(world)).status_code == 403


CLOSED: dict[str, dict[str, Any]] = {
    "another purpose": {"purpose": "marketing of something else"},
    "another artefact": {"scope": [f"artifact:{digest('other')}"]},
    "another tag": {"tags": ["sensitive"]},
    "not yet valid": {"valid_from": "later"},
}


@pytest.mark.parametrize("change", CLOSED.values(), ids=list(CLOSED))
def test_what_it_does_not_cover_stays_closed_and_the_refusal_says_why(world: World, change: dict[str, Any]) -> None:
    if "valid_from" in change:
        change = {"valid_from": (world.clock() + timedelta(days=1)).isoformat()}
    name = approved(world, **change)
    body = problem(download(world), 403, "residency-refused")

    assert f"transfer:oncology/{name}" in body["detail"]


def test_it_ends_when_it_runs_out_and_when_its_review_is_overdue(world: World) -> None:
    approved(world, review_due=(world.clock() + timedelta(days=10)).isoformat())
    good(download(world))
    world.clock.forward(days=11)
    body = problem(download(world), 403, "residency-refused")

    assert "overdue for review" in body["detail"]


def test_taken_back_nothing_moves_on_it(world: World) -> None:
    name = approved(world)
    good(download(world))
    taken = good(world.as_(MONA).post(f"/v1/transfers/{name}/revocation", BECAUSE))

    assert (taken["state"], taken["revoked_at"] is not None) == ("revoked", True)
    assert world.told()[-1]["kind"] == "transfer.revoked"
    problem(download(world), 403, "residency-refused")
    problem(world.as_(MONA).post(f"/v1/transfers/{name}/revocation", BECAUSE), 409, "conflict")
    problem(world.as_(PETRA).post(f"/v1/transfers/{name}/approval", BECAUSE), 409, "conflict")


def test_a_second_one_for_the_same_way_is_refused_because_two_would_close_it(world: World) -> None:
    first = approved(world, scope=["artifact:*"])
    second = asked(world)
    body = problem(world.as_(PETRA).post(f"/v1/transfers/{second}/approval", BECAUSE), 409, "conflict")

    assert first in body["detail"]
    good(world.as_(PETRA).post(f"/v1/transfers/{first}/revocation", BECAUSE))
    good(world.as_(PETRA).post(f"/v1/transfers/{second}/approval", BECAUSE))
    good(download(world))


BAD: dict[str, tuple[dict[str, Any], int, str]] = {
    "a mechanism that lacks its party": ({"details": {"legal_basis_locator": "x"}}, 422, "importer_party"),
    "a mechanism that there is not": ({"mechanism": "HANDSHAKE"}, 404, "HANDSHAKE"),
    "a zone that there is not": ({"to_zone": "atlantis"}, 404, "atlantis"),
    "a tag that there is not": ({"tags": ["secret-sauce"]}, 422, "secret-sauce"),
    "an end in the past": ({"valid_to": "2020-01-01T00:00:00Z"}, 422, "valid_to"),
    "a review after the end": ({"review_due": "2099-01-01T00:00:00Z"}, 422, "review_due"),
    "no tags": ({"tags": []}, 422, ""),
    "a scope that names nothing": ({"scope": ["*"]}, 422, ""),
    "safeguards that are missing": (
        {
            "mechanism": "CB-6.3",
            "details": {"regulator_approval_ref": "a", "customer_consent_scope": "b", "acknowledgement_ref": "c"},
        },
        422,
        "equal-safeguards",
    ),
}


@pytest.mark.parametrize(("change", "status", "words"), BAD.values(), ids=list(BAD))
def test_terms_that_say_too_little_or_nonsense_are_refused(
    world: World, change: dict[str, Any], status: int, words: str
) -> None:
    answer = world.as_(SAMI).post(REQUESTS, terms(world, **change))

    assert answer.status_code == status
    assert words in answer.text
    assert good(world.as_(ADEL).get("/v1/transfers"))["items"] == []


def test_the_rules_answer_a_question_and_nothing_moves(world: World) -> None:
    question = {"kind": "download", "from_zone": HOME, "to_zone": ABROAD, "tags": ["personal"], "purpose": PURPOSE}
    world.told()
    closed = good(world.as_(SAMI).post("/v1/transfers/question", question))
    approved(world)
    opened = good(world.as_(SAMI).post("/v1/transfers/question", {**question, "artefact": f"artifact:{BLOB}"}))

    assert (closed["allowed"], opened["allowed"]) == (False, True)
    assert closed["rulings"][0]["certainty"] == "S"
    assert not [event for event in world.told() if event["kind"].startswith("artifact.")]
    problem(world.as_(SAMI).post("/v1/transfers/question", {**question, "kind": "teleport"}), 422, "malformed")


def test_the_timeline_tells_every_copy_and_movement_with_its_basis(world: World) -> None:
    approved(world)
    good(download(world))
    world.sequence()
    found = good(world.as_(ADEL).get(f"/v1/artifacts/{BLOB}/placements"))

    assert [one["zone"] for one in found["copies"]] == [HOME]
    assert [one["kind"] for one in found["movements"]] == [
        "artifact.upload_authorised",
        "artifact.placed",
        "artifact.download_authorised",
    ]
    assert (found["movements"][2]["to_zone"], found["movements"][2]["policy"]) == (
        ABROAD,
        str(world.parts.rules.digest),
    )
    problem(world.as_(ADEL).get(f"/v1/artifacts/{digest('nowhere')}/placements"), 404, "not-found")


scopes = st.sampled_from(["version:a/x", "version:a/*", "version:*", "dataset:a/x", "dataset:a/x*", "artifact:*"])


@given(scopes, scopes)
def test_two_scopes_meet_exactly_when_some_name_is_in_both(one: str, other: str) -> None:
    names = ["version:a/x", "version:a/y", "version:b/x", "dataset:a/x", "dataset:a/xy", "artifact:sha256:0"]

    def covers(scope: str, name: str) -> bool:
        return name.startswith(scope[:-1]) if scope.endswith("*") else name == scope

    both = any(covers(one, name) and covers(other, name) for name in names)

    assert transfers._meet(one, other) is both
