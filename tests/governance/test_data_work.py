# SPDX-License-Identifier: Apache-2.0
"""Datasets and feature views: asked for by people, made by the zone's agent, never seen by the registry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from khatim.vocabulary import JobKind
from tests.support.agents import digest
from tests.support.http import good, problem
from tests.support.people import ADEL, DANA, MONA, SAMI
from tests.support.world import ABROAD, CONTRACT, DATASET, ONSHORE, SPEC, ZONE, Step, World, Worlds

INGEST = "/v1/datasets/oncology/wdbc/versions"
VIEWS = "/v1/features/cell-shape/versions"


@pytest.fixture(scope="module")
def shared(worlds: Worlds) -> Iterator[World]:
    """Yield one world with data, for tests that are only refused."""
    with worlds.at(Step.DATA) as opened:
        yield opened


def body(**changes: Any) -> dict[str, Any]:
    """Return the body that ingests the story's file."""
    return {"zone": ZONE, "source": digest("wdbc.csv"), "contract": CONTRACT, **changes}


def test_an_ingest_is_a_job_of_the_zone(enrolled: World) -> None:
    enrolled.place("wdbc.csv", by=DANA)
    enrolled.told()
    job = good(enrolled.as_(DANA).post(INGEST, body()))

    assert (job["kind"], job["zone"], job["about"], job["state"]) == ("ingest", ZONE, "dataset:oncology/wdbc", "queued")
    assert job["requested_by"] == DANA.ref
    [event] = enrolled.told()
    assert event["kind"] == "job.requested"
    assert event["payload"]["subject"] == "dataset:oncology/wdbc"
    assert event["payload"]["spec"].startswith("sha256:")


def test_what_the_agent_made_is_registered_in_the_name_of_who_asked(data: World) -> None:
    row = good(data.as_(ADEL).get("/v1/datasets/oncology/wdbc/versions/1"))

    assert (row["ref"], row["zone"], row["tags"]) == (f"dataset:{DATASET}", ZONE, ["health.ae"])
    assert row["registered_by"] == DANA.ref
    assert row["source_digest"] == digest("wdbc.csv")
    assert row["report"] == {"accepted": 569, "quarantined": 1}
    assert row["quarantine_digest"].startswith("sha256:")


def test_registration_is_recorded_with_digest_and_statement(enrolled: World) -> None:
    enrolled.place("wdbc.csv", by=DANA)
    good(enrolled.as_(DANA).post(INGEST, body()))
    enrolled.told()
    enrolled.agent.do(JobKind.INGEST)
    events = {event["kind"]: event for event in enrolled.told()}

    registered = events["dataset.registered"]
    assert registered["resource"] == f"dataset:{DATASET}"
    assert registered["payload"]["rows"] == 569
    assert registered["payload"]["quarantined"] == 1
    assert registered["payload"]["source"] == digest("wdbc.csv")
    assert events["job.ended"]["payload"]["outcome"] == f"dataset:{DATASET}"


def test_versions_of_a_dataset_count_up(data: World) -> None:
    good(data.as_(DANA).post(INGEST, body()))
    data.agent.do(JobKind.INGEST)

    listed = good(data.as_(ADEL).get("/v1/datasets"))["items"]
    assert [one["number"] for one in listed] == [1, 2]


def test_a_role_that_brings_no_data_in_asks_for_none(shared: World) -> None:
    for who in (SAMI, MONA, ADEL):
        problem(shared.as_(who).post(INGEST, body()), 403, "forbidden")


def test_a_file_that_is_not_in_the_zone_is_named(shared: World) -> None:
    found = problem(shared.as_(DANA).post(INGEST, body(source=digest("nowhere"))), 404, "not-found")

    assert digest("nowhere") in found["detail"]


def test_health_data_is_not_ingested_abroad(shared: World) -> None:
    found = problem(shared.as_(DANA).post(INGEST, body(zone=ABROAD)), 403, "residency-refused")

    assert found["movement"] == "dispatch"
    assert found["legal_basis"]


BAD_CONTRACTS: dict[str, Any] = {
    "no columns": {"columns": []},
    "an unknown type": {"columns": [{"name": "a", "type": "float128"}]},
    "the same column twice": {"columns": [{"name": "a", "type": "string"}] * 2},
    "a key that is no column": {"columns": [{"name": "a", "type": "string"}], "key": ["b"]},
    "a minimum above the maximum": {"columns": [{"name": "a", "type": "int64", "minimum": 2, "maximum": 1}]},
    "a wish that nobody knows": {"columns": [{"name": "a", "type": "string"}], "colour": "blue"},
    "a NUL in a name": {"columns": [{"name": "a\x00", "type": "string"}]},
    "a number that is none": {"columns": [{"name": "a", "type": "int64", "minimum": "x"}]},
}


@pytest.mark.parametrize("contract", BAD_CONTRACTS.values(), ids=list(BAD_CONTRACTS))
def test_a_contract_that_is_wrong_is_refused_with_every_problem(shared: World, contract: Any) -> None:
    found = problem(shared.as_(DANA).post(INGEST, body(contract=contract)), 422, "contract-unreadable")

    assert found["problems"]
    assert {"at", "problem"} <= set(found["problems"][0])


def test_infinity_in_a_contract_is_refused(shared: World) -> None:
    text = '{"zone":"ae-health","source":"%s","contract":{"columns":[{"name":"a","type":"float64","maximum":1e999}]}}'
    headers = {"Authorization": f"Bearer {shared.token(DANA)}", "Content-Type": "application/json"}
    answer = shared.http.post(INGEST, content=text % digest("wdbc.csv"), headers=headers)

    problem(answer, 422)


@pytest.mark.parametrize("path", ["/v1/datasets/UP/wdbc/versions", "/v1/datasets/oncology/-x/versions"])
def test_a_name_that_names_nothing_gets_no_dataset(shared: World, path: str) -> None:
    problem(shared.as_(DANA).post(path, body()), 422, "malformed")


def test_a_feature_view_is_made_from_a_dataset_and_inherits_its_zone_and_tags(data: World) -> None:
    row = good(data.as_(ADEL).get("/v1/features/oncology/cell-shape/versions/1"))

    assert (row["dataset_ref"], row["zone"], row["tags"]) == (f"dataset:{DATASET}", ZONE, ["health.ae"])
    assert row["registered_by"] == SAMI.ref
    assert [column["name"] for column in row["arrow_schema"]] == ["mean_radius", "mean_texture"]


def test_a_view_of_a_dataset_that_is_not_there_is_refused(shared: World) -> None:
    problem(shared.as_(SAMI).post(VIEWS, {"dataset": "oncology/none@1", "spec": SPEC}), 404, "not-found")


def test_a_view_that_tells_the_model_the_answer_is_refused(shared: World) -> None:
    told = {**SPEC, "features": [{"name": "x", "source": "malignant"}]}
    found = problem(shared.as_(SAMI).post(VIEWS, {"dataset": DATASET, "spec": told}), 422, "contract-unreadable")

    assert "label" in found["detail"]


def test_a_view_is_for_those_who_may_make_one(shared: World) -> None:
    problem(shared.as_(MONA).post(VIEWS, {"dataset": DATASET, "spec": SPEC}), 403, "forbidden")


def test_an_outcome_whose_statement_is_about_other_bytes_is_refused_and_nothing_is_kept(enrolled: World) -> None:
    enrolled.place("wdbc.csv", by=DANA)
    good(enrolled.as_(DANA).post(INGEST, body()))
    job = enrolled.agent.claim_a(JobKind.INGEST)
    outcome = enrolled.agent.outcome_of(job)
    outcome["data"]["digest"] = digest("other bytes")
    problem(enrolled.agent.complete(job, outcome), 422, "signature-invalid")

    assert enrolled.sql("SELECT count(*) FROM dataset_versions") == [(0,)]
    assert enrolled.sql("SELECT count(*) FROM statements") == [(0,)]
    assert good(enrolled.as_(ADEL).get(f"/v1/jobs/{job['id']}"))["state"] == "leased"


def test_an_outcome_that_hides_its_source_is_refused(enrolled: World) -> None:
    enrolled.place("wdbc.csv", by=DANA)
    good(enrolled.as_(DANA).post(INGEST, body()))
    job = enrolled.agent.claim_a(JobKind.INGEST)
    elsewhere = {**job, "spec": {**job["spec"], "source": digest("another file")}}

    problem(enrolled.agent.complete(job, enrolled.agent.outcome_of(elsewhere)), 422, "signature-invalid")


def test_data_of_one_zone_is_not_dispatched_to_another(data: World) -> None:
    onshore = data.enrol(ONSHORE)

    assert onshore.claim() is None
    good(data.as_(DANA).post(INGEST, body()))
    assert onshore.claim() is None
    assert data.agent.claim() is not None
