# SPDX-License-Identifier: Apache-2.0
"""Deployments: residency decides first, then the gate; a runner that does not agree refuses; a revocation stops all."""

from __future__ import annotations

import pytest

from governance import promotion
from khatim.vocabulary import SERVICE, JobKind
from registry import queries as registered
from registry.tables import ModelVersion
from tests.support.agents import digest, file
from tests.support.http import good, problem
from tests.support.people import ADEL, DANA, MONA, PAVEL, PETRA, SAMI
from tests.support.world import ABROAD, DATASET, MODEL, VERSION, ZONE, World

WHERE = "/v1/deployments"
HERE = {"version": f"{MODEL}@1", "zone": ZONE}
STOP = {"because": "not needed any more"}


def state(world: World, name: str = "") -> dict[str, str]:
    """Return a deployment as it is."""
    found: dict[str, str] = good(world.as_(ADEL).get(f"{WHERE}/{name or world.memory.deployment}"))
    return found


def orders(world: World) -> dict[str, str]:
    """Return what the zone's agent is told about each deployment."""
    told = good(world.agent.api.get("/v1/agent/orders"))["endpoints"]
    return {one["deployment"]: one["state"] for one in told}


def test_a_version_in_production_is_deployed_in_its_zone(production: World) -> None:
    asked = good(production.as_(PAVEL).post(WHERE, HERE))
    kinds = production.kinds()
    ended = production.agent.do(JobKind.DEPLOY)

    assert (asked["state"], asked["zone"], asked["requested_by"]) == ("requested", ZONE, PAVEL.ref)
    assert kinds == ["deployment.requested", "job.requested"]
    assert ended["state"] == "done"
    served = state(production, asked["id"])
    assert (served["state"], served["agent"]) == ("serving", production.memory.agent)
    assert served["endpoint"].startswith("http")
    assert orders(production) == {asked["id"]: "serving"}


def test_what_the_runner_verified_is_recorded_and_signed(production: World) -> None:
    production.deploy()
    [changed] = [one for one in production.told() if one["kind"] == "deployment.changed"]

    assert changed["payload"]["state"] == "serving"
    assert changed["payload"]["verification"]["digest"] == good(production.as_(ADEL).get(VERSION))["digest"]
    assert changed["actor"] == production.memory.agent


def test_the_runner_is_told_which_approvals_to_count_and_under_which_policy(production: World) -> None:
    good(production.as_(PAVEL).post(WHERE, HERE))
    spec = production.agent.claim_a(JobKind.DEPLOY)["spec"]

    assert spec["policy"] == str(production.parts.rules.digest)
    assert sorted(spec["seats"]) == [["model-risk-approver"], ["privacy-officer"], ["validator"]]
    assert spec["digest"] == good(production.as_(ADEL).get(VERSION))["digest"]


@pytest.mark.parametrize("parents", ["{personal}", "{}"])
def test_the_runner_counts_the_seats_that_the_gate_asked_for(production: World, parents: str) -> None:
    asked = [["model-risk-approver"], ["privacy-officer"], ["validator"]]
    production.sql("UPDATE model_versions SET tags = '{}'")
    production.sql("UPDATE dataset_versions SET tags = %s", parents)
    with production.parts.ledger.reading(SERVICE) as reader:
        version = registered.numbered(reader, ModelVersion, f"{MODEL}@1")
        assert sorted(promotion.seats_required(reader, version, rules=production.parts.rules)) == asked


def test_a_deployment_abroad_is_refused_with_rule_law_and_certainty(production: World) -> None:
    body = problem(production.as_(PAVEL).post(WHERE, {**HERE, "zone": ABROAD}), 403, "residency-refused")

    assert body["rule"]
    assert "Federal Law 2/2019" in body["legal_basis"]
    assert body["certainty"] in "VSIRU"
    assert (body["from_zone"], body["to_zone"], body["movement"]) == (ZONE, ABROAD, "deploy")
    [event] = production.refusals()
    assert event["kind"] == "deployment.refused"
    assert event["payload"]["members"]["rule"] == body["rule"]
    assert event["payload"]["action"] == "deployment.request"


def test_a_zone_that_nobody_knows_is_refused(production: World) -> None:
    body = problem(production.as_(PAVEL).post(WHERE, {**HERE, "zone": "mars"}), 403, "residency-refused")

    assert body["rule"] == "zones/unknown"


def test_only_what_is_in_production_is_deployed(approved: World) -> None:
    body = problem(approved.as_(PAVEL).post(WHERE, HERE), 403, "gate-not-satisfied")

    assert [one["rule"] for one in body["unmet"]] == ["deploy/stage"]


def test_what_is_not_approved_any_more_is_not_deployed_again(production: World) -> None:
    production.clock.forward(days=366)
    body = problem(production.as_(PAVEL).post(WHERE, HERE), 403, "gate-not-satisfied")

    assert "deploy/still-approved" in {one["rule"] for one in body["unmet"]}


def test_those_who_deploy_nothing_are_refused(production: World) -> None:
    for who in (DANA, MONA, ADEL):
        problem(production.as_(who).post(WHERE, HERE), 403, "forbidden")


@pytest.mark.parametrize("version", ["oncology/malignancy@9", "oncology/none@1"])
def test_a_version_that_is_not_there_is_named(production: World, version: str) -> None:
    assert version in problem(production.as_(PAVEL).post(WHERE, {**HERE, "version": version}), 404)["detail"]


def test_a_runner_that_does_not_agree_refuses_with_its_reason(production: World) -> None:
    asked = good(production.as_(PAVEL).post(WHERE, HERE))
    job = production.agent.claim_a(JobKind.DEPLOY)
    good(production.agent.fail(job, "the signature does not verify"))
    refused = state(production, asked["id"])

    assert (refused["state"], refused["because"]) == ("refused", "the signature does not verify")
    assert [one["kind"] for one in production.told()][-2:] == ["job.ended", "deployment.changed"]


def test_a_runner_that_gave_up_too_often_has_refused(production: World) -> None:
    asked = good(production.as_(PAVEL).post(WHERE, HERE))
    for _ in range(3):
        production.agent.claim_a(JobKind.DEPLOY)
        production.expire_leases()
    assert production.agent.claim() is None

    assert state(production, asked["id"])["state"] == "refused"


def test_a_statement_by_another_zone_does_not_make_it_serve(production: World) -> None:
    asked = good(production.as_(PAVEL).post(WHERE, HERE))
    job = production.agent.claim_a(JobKind.DEPLOY)
    elsewhere = production.enrol("ae-onshore")
    problem(production.agent.complete(job, {"kind": "deploy", **elsewhere.deployed(job)}), 422, "signature-invalid")

    assert state(production, asked["id"])["state"] == "requested"


def test_it_is_stopped_by_those_who_may_and_once(serving: World) -> None:
    path = f"{WHERE}/{serving.memory.deployment}/stop"
    problem(serving.as_(SAMI).post(path, STOP), 403, "forbidden")
    stopped = good(serving.as_(PAVEL).post(path, STOP))

    assert (stopped["state"], stopped["because"]) == ("stopped", STOP["because"])
    assert orders(serving) == {serving.memory.deployment: "stopped"}
    problem(serving.as_(PAVEL).post(path, STOP), 409, "conflict")


def test_a_deployment_that_was_stopped_before_it_began_stays_stopped(production: World) -> None:
    asked = good(production.as_(PAVEL).post(WHERE, HERE))
    job = production.agent.claim_a(JobKind.DEPLOY)
    good(production.as_(PAVEL).post(f"{WHERE}/{asked['id']}/stop", STOP))
    problem(production.agent.complete(job), 409, "conflict")

    assert state(production, asked["id"])["state"] == "stopped"


def test_a_revocation_stops_everything_that_serves_the_version(serving: World) -> None:
    other = serving.deploy()
    serving.told()
    good(serving.as_(PETRA).post(f"{VERSION}/revocation", {"because": "consent was withdrawn"}))

    for name in (serving.memory.deployment, other):
        stopped = state(serving, name)
        assert (stopped["state"], stopped["because"]) == ("stopped", "revoked: consent was withdrawn")
    assert serving.kinds() == ["version.revoked", "deployment.changed", "deployment.changed"]
    problem(serving.as_(PAVEL).post(WHERE, HERE), 403, "gate-not-satisfied")


def test_an_agent_hears_only_of_its_own_zone(serving: World) -> None:
    elsewhere = serving.enrol("ae-onshore")

    assert good(elsewhere.api.get("/v1/agent/orders"))["endpoints"] == []


def test_deployments_are_listed_newest_first(serving: World) -> None:
    other = serving.deploy()
    first = good(serving.as_(ADEL).get(f"{WHERE}?limit=1"))
    second = good(serving.as_(ADEL).get(f"{WHERE}?limit=1&cursor={first['next']}"))

    assert [one["id"] for one in first["items"] + second["items"]] == [other, serving.memory.deployment]
    assert second["next"] is None


@pytest.mark.parametrize("name", ["x", "00000000-0000-0000-0000-000000000000", "%00", "1"])
def test_a_deployment_that_is_not_there_is_not_found(serving: World, name: str) -> None:
    problem(serving.as_(ADEL).get(f"{WHERE}/{name}"), 404, "not-found")
    problem(serving.as_(PAVEL).post(f"{WHERE}/{name}/stop", STOP), 404, "not-found")


def test_a_model_that_no_runner_here_can_load_is_refused_clearly(data: World) -> None:
    # Servable by the policy, but the runner of this release loads ONNX.
    data.place("w")
    body = {"zone": ZONE, "files": [file("w.safetensors", "w")], "parents": [f"dataset:{DATASET}"]}
    good(data.as_(SAMI).post(f"/v1/models/{MODEL}/versions", body))
    data.agent.do(JobKind.SCAN)
    data.sql("UPDATE model_versions SET stage = 'production'")
    answer = data.as_(PAVEL).post(WHERE, HERE)

    assert answer.status_code in (403, 409, 422), answer.text
    assert digest("w") not in answer.text
