# SPDX-License-Identifier: Apache-2.0
"""Idempotency-Key: a retried request gets the first answer, and nothing happens or is told twice."""

from __future__ import annotations

import httpx

from khatim.vocabulary import JobKind
from tests.support.http import good, problem
from tests.support.people import DANA, PAVEL, SAMI
from tests.support.world import ZONE, World

CREATE = "/v1/models/oncology/malignancy"
REPLAYED = "idempotency-replayed"


def test_the_same_request_under_the_same_key_gets_the_first_answer(world: World) -> None:
    first = world.as_(SAMI).post(CREATE, {"description": "once"}, key="k")
    again = world.as_(SAMI).post(CREATE, {"description": "once"}, key="k")

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert REPLAYED not in first.headers
    assert again.headers[REPLAYED] == "true"
    assert again.headers["content-type"] == "application/json"
    assert world.kinds() == ["person.known", "model.created"]


def test_without_a_key_a_second_request_is_a_second_request(world: World) -> None:
    good(world.as_(SAMI).post(CREATE))

    problem(world.as_(SAMI).post(CREATE), 409, "already-exists")


def test_another_body_under_the_same_key_is_refused(world: World) -> None:
    good(world.as_(SAMI).post(CREATE, {"description": "once"}, key="k"))
    body = problem(world.as_(SAMI).post(CREATE, {"description": "another"}, key="k"), 409, "idempotency-mismatch")

    assert "new key" in body["advice"]


def test_another_path_under_the_same_key_is_refused(world: World) -> None:
    good(world.as_(SAMI).post(CREATE, key="k"))

    problem(world.as_(SAMI).post("/v1/models/oncology/another", key="k"), 409, "idempotency-mismatch")


def test_another_person_may_use_the_same_key(world: World) -> None:
    good(world.as_(SAMI).post("/v1/models/oncology/one", key="k"))
    other = world.as_(PAVEL).post("/v1/agents/invitations", {"zone": ZONE}, key="k")

    assert other.status_code == 201
    assert REPLAYED not in other.headers


def test_twins_at_the_same_moment_have_one_effect(world: World) -> None:
    api = world.as_(SAMI)
    good(api.get("/v1/whoami"))
    answers = world.together(*[lambda: api.post(CREATE, key="k")] * 8)

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum(REPLAYED not in answer.headers for answer in answers) == 1
    assert world.kinds() == ["person.known", "model.created"]


def test_twins_without_a_key_are_told_that_one_was_faster(world: World) -> None:
    api = world.as_(SAMI)
    good(api.get("/v1/whoami"))
    answers = world.together(*[lambda: api.post(CREATE)] * 6)

    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 5]
    assert world.sql("SELECT count(*) FROM models") == [(1,)]


def test_a_refused_request_frees_its_key(data: World) -> None:
    sami = data.as_(SAMI)
    problem(sami.post("/v1/trainings", data.training(authorisation="none"), key="k"), 404)
    good(sami.post("/v1/models/oncology/other", key="k"))


def test_a_retried_refusal_is_refused_and_recorded_again(world: World) -> None:
    for _ in range(2):
        problem(world.as_(DANA).post(CREATE, key="k"), 403, "forbidden")

    assert len(world.refusals()) == 2


def test_a_claim_that_is_asked_again_gets_the_same_job(data: World) -> None:
    for number in (1, 2):
        body = {"zone": ZONE, "source": data.place("more", number, by=DANA), "contract": {"columns": [COLUMN]}}
        good(data.as_(DANA).post("/v1/datasets/oncology/more/versions", body))

    def claim() -> httpx.Response:
        return data.agent.api.post("/v1/agent/jobs/claim", key="lost answer")

    first, again = claim(), claim()
    assert first.json() == again.json()
    assert first.json()["kind"] == JobKind.INGEST.value
    assert again.headers[REPLAYED] == "true"
    assert data.kinds().count("job.claimed") == 1


def test_a_claim_that_found_nothing_is_remembered_as_nothing(enrolled: World) -> None:
    answers = [enrolled.agent.api.post("/v1/agent/jobs/claim", key="k") for _ in range(2)]

    assert [answer.content for answer in answers] == [b"null", b"null"]


def test_a_key_that_is_too_long_is_refused(world: World) -> None:
    body = problem(world.as_(SAMI).post(CREATE, key="k" * 201), 422, "malformed")

    assert body["places"][0]["at"] == "header.idempotency-key"


def test_a_query_is_part_of_the_question(enrolled: World) -> None:
    pavel = enrolled.as_(PAVEL)
    good(pavel.post("/v1/agents/invitations?a=1", {"zone": ZONE}, key="k"))

    problem(pavel.post("/v1/agents/invitations?a=2", {"zone": ZONE}, key="k"), 409, "idempotency-mismatch")


COLUMN = {"name": "patient", "type": "string"}
