# SPDX-License-Identifier: Apache-2.0
"""What an outcome must say and be signed about, job by job; trainings in test_completion, tests in tests/governance."""

from __future__ import annotations

from typing import Any

import pytest

from khatim.vocabulary import JobKind
from registry.signing import statements
from tests.runners import asking
from tests.support.agents import Json, blob, digest
from tests.support.http import good, problem
from tests.support.people import PAVEL, SAMI
from tests.support.world import ABROAD, DATASET, MODEL, SPEC, VERSION, ZONE, World


def refused(world: World, work: Json, outcome: Json, slug: str = "signature-invalid") -> Json:
    """Bring an outcome that must be refused with nothing kept; return the problem."""
    before = asking.kept(world)
    world.told()
    body = problem(world.agent.complete(work, outcome), 422, slug)

    assert asking.kept(world) == before
    assert all(kind.endswith(".refused") for kind in world.kinds())
    assert asking.job_of(world, work["id"])["state"] == "leased"
    return body


def ingest(world: World) -> Json:
    """Return a claimed ingest."""
    asking.ask(world)
    return world.agent.claim_a(JobKind.INGEST)


def training(world: World) -> Json:
    """Return a claimed training."""
    good(world.as_(SAMI).post("/v1/trainings", world.training()))
    return world.agent.claim_a(JobKind.TRAIN)


def other(job: Json, **changes: Any) -> Json:
    """Return *job* with another specification, as an agent holds it that mixes its jobs up."""
    return {**job, "spec": {**job["spec"], **changes}}


def test_a_good_outcome_ends_the_job_and_is_kept_under_the_agents_name(enrolled: World) -> None:
    ended = good(enrolled.agent.complete(ingest(enrolled)))

    assert (ended["state"], ended["outcome"]) == ("done", {"made": f"dataset:{DATASET}"})
    [(about, identity)] = enrolled.sql("SELECT about, identity FROM statements")
    assert about == f"dataset:{DATASET}"
    assert ZONE in identity
    assert enrolled.memory.agent.removeprefix("agent:") in identity


def test_the_statement_of_an_agent_of_another_zone_is_refused_with_its_name(enrolled: World) -> None:
    work, abroad = ingest(enrolled), enrolled.enrol(ABROAD)
    body = refused(enrolled, work, {"kind": "ingest", **abroad.ingested(work)})

    assert ABROAD in body["identity"]
    assert body["kind"] == statements.DATASET_SNAPSHOT


@pytest.mark.parametrize(
    "bundle", ["", "{}", "null", "[]", "nonsense", '{"mediaType": "x"}', "\x00", "[" * 5000], ids=range(8)
)
def test_what_is_no_bundle_is_refused(enrolled: World, bundle: str) -> None:
    work = ingest(enrolled)

    refused(enrolled, work, {**enrolled.agent.outcome_of(work), "statement": bundle})


def test_the_outcome_of_another_kind_of_job_is_refused(enrolled: World) -> None:
    work = ingest(enrolled)
    body = refused(enrolled, work, {"kind": "monitor", "results": [], "captured": 0}, "malformed")

    assert "monitor" in body["detail"]


@pytest.mark.parametrize("outcome", [{}, {"kind": "conquer"}, {"kind": "ingest"}, None, [], "ingest"], ids=range(6))
def test_what_is_no_outcome_at_all_is_refused(enrolled: World, outcome: Any) -> None:
    work = ingest(enrolled)
    body = {"fence": work["fence"], "outcome": outcome}

    problem(enrolled.agent.api.post(f"/v1/agent/jobs/{work['id']}/completion", body), 422, "malformed")


def test_a_dataset_must_be_made_from_the_jobs_own_source(enrolled: World) -> None:
    work = ingest(enrolled)
    body = refused(enrolled, work, {"kind": "ingest", **enrolled.agent.ingested(other(work, source=digest("x")))})

    assert body["missing"] == [work["spec"]["source"]]
    assert "was made from" in body["detail"]


def test_what_was_put_aside_must_be_signed_too(enrolled: World) -> None:
    work = ingest(enrolled)
    body = refused(enrolled, work, {**enrolled.agent.outcome_of(work), "quarantine": blob("another quarantine")})

    assert body["missing"] == [digest("another quarantine")]
    assert "also made" in body["detail"]


def test_an_ingest_without_bad_rows_needs_no_quarantine(enrolled: World) -> None:
    work = ingest(enrolled)
    good(enrolled.agent.complete(work, {**enrolled.agent.outcome_of(work), "quarantine": None}))

    assert enrolled.sql("SELECT quarantine_digest FROM dataset_versions") == [(None,)]


def test_features_must_be_made_from_the_jobs_own_dataset(data: World) -> None:
    good(data.as_(SAMI).post("/v1/features/second/versions", {"dataset": DATASET, "spec": SPEC}))
    work = data.agent.claim_a(JobKind.MATERIALISE)
    made = data.agent.materialised(other(work, source=digest("another dataset")))

    assert refused(data, work, {"kind": "materialise", **made})["missing"] == [work["spec"]["source"]]


@pytest.mark.parametrize("parent", ["features_digest", "dataset_digest", "code_digest"])
def test_a_model_must_be_made_from_the_very_features_dataset_and_code_of_its_job(
    authorised: World, parent: str
) -> None:
    work = training(authorised)
    made = authorised.agent.trained(other(work, **{parent: digest("something else")}))

    assert refused(authorised, work, {"kind": "train", **made})["missing"] == [work["spec"][parent]]


def test_a_scan_of_other_bytes_is_refused(authorised: World) -> None:
    training_job = training(authorised)
    good(authorised.agent.complete(training_job))
    work = authorised.agent.claim_a(JobKind.SCAN)
    files = [{**one, "digest": digest("harmless")} for one in work["spec"]["files"]]

    refused(authorised, work, {"kind": "scan", **authorised.agent.scanned(other(work, files=files))})


def test_a_summary_that_says_passed_does_not_save_a_file_that_failed(authorised: World) -> None:
    good(authorised.agent.complete(training(authorised)))
    work = authorised.agent.claim_a(JobKind.SCAN)
    outcome = {**authorised.agent.scanned(work, failing="model.onnx"), "passed": True}
    good(authorised.agent.complete(work, {"kind": "scan", **outcome}))

    assert good(authorised.as_(SAMI).get(VERSION))["status"] == "FAILED_REGISTRATION"


def test_a_deployment_statement_about_another_model_is_refused(production: World) -> None:
    good(production.as_(PAVEL).post("/v1/deployments", {"version": f"{MODEL}@1", "zone": ZONE}))
    work = production.agent.claim_a(JobKind.DEPLOY)

    refused(production, work, {"kind": "deploy", **production.agent.deployed(other(work, model=digest("another")))})


def test_a_runner_that_tries_again_leaves_the_deployment_waiting(production: World) -> None:
    name = good(production.as_(PAVEL).post("/v1/deployments", {"version": f"{MODEL}@1", "zone": ZONE}))["id"]
    good(production.agent.fail(production.agent.claim_a(JobKind.DEPLOY), "the port is taken", retry=True))
    states = [good(production.as_(PAVEL).get(f"/v1/deployments/{name}"))["state"]]
    production.agent.do(JobKind.DEPLOY)
    states.append(good(production.as_(PAVEL).get(f"/v1/deployments/{name}"))["state"])

    assert states == ["requested", "serving"]
