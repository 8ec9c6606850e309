# SPDX-License-Identifier: Apache-2.0
"""Artifacts: tickets are given by access and residency, a copy is noted once, and no byte comes here."""

from __future__ import annotations

from typing import Any

import pytest

from khatim import tokens
from tests.support.agents import digest
from tests.support.http import good, problem
from tests.support.people import ADEL, DANA, PAVEL, SAMI
from tests.support.world import ABROAD, ONSHORE, ZONE, World

FILE = digest("a file")


def upload(**changes: Any) -> dict[str, Any]:
    """Return the body that asks to bring a file into the zone."""
    return {"zone": ZONE, "digest": FILE, "size": 100, "media_type": "text/csv", "tags": ["health.ae"], **changes}


def test_a_ticket_to_bring_bytes_in_names_the_blob_and_the_zone_and_ends_soon(enrolled: World) -> None:
    ticket = good(enrolled.as_(DANA).post("/v1/uploads", upload()))
    key = enrolled.parts.issuer.key.public_key()
    claims = tokens.read(ticket["token"], key, audience=f"zone:{ZONE}", at=enrolled.clock(), kind="ticket")

    assert ticket["door"] == "http://127.0.0.1:9"
    assert (claims["op"], claims["digest"], claims["max_size"]) == ("put", FILE, 100)
    assert (claims["media_type"], claims["tags"]) == ("text/csv", ["health.ae"])
    assert claims["exp"] - claims["iat"] == 300
    assert claims["sub"] == DANA.ref
    assert claims["rule"]


def test_permission_to_bring_bytes_in_is_recorded_with_its_rule(enrolled: World) -> None:
    good(enrolled.as_(DANA).post("/v1/uploads", upload()))
    event = enrolled.told()[-1]

    assert event["kind"] == "artifact.upload_authorised"
    assert event["resource"] == f"artifact:{FILE}"
    assert event["zone"] == ZONE
    assert event["payload"]["rule"]
    assert event["payload"]["policy"] == str(enrolled.parts.rules.digest)


def test_a_role_that_brings_no_data_in_gets_no_ticket(enrolled: World) -> None:
    for who in (PAVEL, ADEL):
        problem(enrolled.as_(who).post("/v1/uploads", upload()), 403, "forbidden")

    assert [event["kind"] for event in enrolled.refusals()] == ["artifact.refused"] * 2


def test_bytes_that_may_not_be_in_a_zone_get_no_ticket(enrolled: World) -> None:
    body = problem(enrolled.as_(DANA).post("/v1/uploads", upload(zone=ABROAD)), 403, "residency-refused")

    assert body["rule"]
    assert body["legal_basis"]
    assert body["certainty"]
    assert body["advice"]
    assert body["policy"] == str(enrolled.parts.rules.digest)
    [event] = enrolled.refusals()
    assert event["payload"]["members"]["legal_basis"] == body["legal_basis"]
    assert event["payload"]["action"] == "artifact.upload"


def test_a_zone_that_nobody_knows_is_named(enrolled: World) -> None:
    body = problem(enrolled.as_(DANA).post("/v1/uploads", upload(zone="mars")), 403, "residency-refused")

    assert body["rule"] == "zones/unknown"
    assert "mars" in body["detail"]
    assert "zones.yaml" in body["advice"]


def test_a_tag_that_nobody_explained_is_refused(enrolled: World) -> None:
    body = problem(enrolled.as_(DANA).post("/v1/uploads", upload(tags=["secret-sauce"])), 403, "residency-refused")

    assert body["rule"] == "tags/unknown"


def test_a_zone_without_an_agent_has_no_door(enrolled: World) -> None:
    body = problem(enrolled.as_(DANA).post("/v1/uploads", upload(zone=ONSHORE, tags=["public"])), 404, "not-found")

    assert "khatim agent invite" in body["advice"]


@pytest.mark.parametrize(
    "change",
    [
        {"digest": "sha256:zz"},
        {"digest": FILE.upper()},
        {"size": -1},
        {"size": 2**63},
        {"zone": "../x"},
        {"tags": ["UPPER"]},
        {"media_type": "x" * 201},
        {"media_type": "text/\x00"},
        {"surprise": 1},
    ],
)
def test_a_body_that_cannot_be_read_is_refused_at_its_place(enrolled: World, change: dict[str, Any]) -> None:
    enrolled.as_(DANA).get("/v1/whoami")
    enrolled.told()
    problem(enrolled.as_(DANA).post("/v1/uploads", upload(**change)), 422, "malformed")

    assert enrolled.told() == []


def test_what_the_agent_reports_is_placed_with_what_the_ticket_said(enrolled: World) -> None:
    ticket = good(enrolled.as_(DANA).post("/v1/uploads", upload()))
    placed = good(enrolled.agent.report(ticket))

    assert (placed["digest"], placed["zone"], placed["size"]) == (FILE, ZONE, 100)
    assert (placed["media_type"], placed["tags"]) == ("text/csv", ["health.ae"])
    assert placed["placed_by"] == enrolled.memory.agent
    event = enrolled.told()[-1]
    assert event["kind"] == "artifact.placed"
    assert event["payload"]["tags"] == ["health.ae"]


def test_a_second_report_of_the_same_copy_changes_nothing(enrolled: World) -> None:
    ticket = good(enrolled.as_(DANA).post("/v1/uploads", upload()))
    first = good(enrolled.agent.report(ticket))
    again = good(enrolled.agent.report(ticket))

    assert first == again
    assert enrolled.kinds().count("artifact.placed") == 1


def test_two_reports_at_once_place_one_copy(enrolled: World) -> None:
    ticket = good(enrolled.as_(DANA).post("/v1/uploads", upload()))
    answers = enrolled.together(*[lambda: enrolled.agent.report(ticket)] * 4)

    assert {answer.status_code for answer in answers} == {201}
    assert enrolled.sql("SELECT count(*) FROM placements") == [(1,)]


def test_a_later_ticket_does_not_weaken_the_tags_of_a_copy(enrolled: World) -> None:
    enrolled.place("secret", tags=["health.ae"])
    enrolled.place("secret", tags=["public"])

    assert enrolled.sql("SELECT tags FROM placements") == [(["health.ae", "public"],)]


def test_a_later_ticket_strengthens_the_tags_of_a_copy(enrolled: World) -> None:
    enrolled.place("secret", tags=["public"])
    enrolled.place("secret", tags=["health.ae"])
    enrolled.enrol(ABROAD)
    body = {"zone": ABROAD, "digest": digest("secret"), "size": 100, "tags": ["public"]}

    assert enrolled.sql("SELECT tags FROM placements") == [(["health.ae", "public"],)]
    problem(enrolled.as_(SAMI).post("/v1/uploads", body), 403, "residency-refused")


def test_a_copy_is_taken_out_under_a_ticket_and_that_is_recorded(enrolled: World) -> None:
    enrolled.place("a file")
    ticket = good(enrolled.as_(SAMI).post("/v1/downloads", {"zone": ZONE, "digest": FILE, "to_zone": ZONE}))
    key = enrolled.parts.issuer.key.public_key()
    claims = tokens.read(ticket["token"], key, audience=f"zone:{ZONE}", at=enrolled.clock(), kind="ticket")

    assert (claims["op"], claims["digest"]) == ("get", FILE)
    assert enrolled.told()[-1]["kind"] == "artifact.download_authorised"


def test_health_data_is_not_read_abroad_and_the_refusal_names_the_law(enrolled: World) -> None:
    enrolled.place("a file")
    body = {"zone": ZONE, "digest": FILE, "to_zone": ABROAD}
    refused = problem(enrolled.as_(SAMI).post("/v1/downloads", body), 403, "residency-refused")

    assert refused["from_zone"] == ZONE
    assert refused["to_zone"] == ABROAD
    assert refused["movement"] == "download"
    assert "Federal Law 2/2019" in refused["legal_basis"]
    assert refused["certainty"] in "VSIRU"
    [event] = enrolled.refusals()
    assert event["kind"] == "artifact.refused"
    assert event["zone"] == ZONE


def test_what_is_not_there_cannot_be_taken_out(enrolled: World) -> None:
    body = {"zone": ZONE, "digest": FILE, "to_zone": ZONE}

    assert "Upload it first" in problem(enrolled.as_(SAMI).post("/v1/downloads", body), 404, "not-found")["advice"]


def test_a_reader_without_the_right_to_take_out_gets_no_ticket(enrolled: World) -> None:
    enrolled.place("a file")
    body = {"zone": ZONE, "digest": FILE, "to_zone": ZONE}

    problem(enrolled.as_(DANA).post("/v1/downloads", body), 403, "forbidden")
