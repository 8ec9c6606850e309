# SPDX-License-Identifier: Apache-2.0
"""Evidence: signed by an agent of the version's own zone about the version's own bytes, or it is none."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from audit.canonical import canonical
from khatim.vocabulary import Digest, JobKind
from registry.signing import predicates, statements
from tests.support.agents import digest, file
from tests.support.http import good, problem
from tests.support.people import ADEL, DANA, SAMI, VERA
from tests.support.world import MODEL, VERSION, ZONE, World

EVALUATIONS = f"{VERSION}/evaluations"


def asked(world: World) -> dict[str, Any]:
    """Return an evaluation job that the agent holds."""
    good(world.as_(VERA).post(EVALUATIONS))
    return world.agent.claim_a(JobKind.EVALUATE)


def evidence(world: World, kind: str = "evaluation") -> list[dict[str, Any]]:
    """Return the evidence of *kind* about the version."""
    return [one for one in good(world.as_(ADEL).get(f"{VERSION}/evidence"))["items"] if one["kind"] == kind]


def waiting(world: World, path: str = "model.onnx") -> dict[str, Any]:
    """Register a version and return its scan job, which the agent holds."""
    world.place(path)
    body = {"zone": ZONE, "files": [file(path, path)]}
    good(world.as_(SAMI).post(f"/v1/models/{MODEL}/versions", body))
    return world.agent.claim_a(JobKind.SCAN)


# -- evaluations --


def test_an_evaluation_is_a_job_on_the_held_out_data_of_the_training(ready: World) -> None:
    body = {"thresholds": {"roc_auc": {"min": 0.9}}, "subgroups": {"large": {"column": "mean_radius"}}}
    good(ready.as_(VERA).post(EVALUATIONS, body))
    spec = ready.agent.claim_a(JobKind.EVALUATE)["spec"]

    assert spec["holdout"].startswith("sha256:")
    assert (spec["thresholds"], spec["subgroups"]) == (body["thresholds"], body["subgroups"])
    assert spec["model"] == next(one["digest"] for one in spec_files(ready) if one["path"] == "model.onnx")


def spec_files(world: World) -> list[dict[str, Any]]:
    """Return the files of the version."""
    files: list[dict[str, Any]] = good(world.as_(ADEL).get(VERSION))["files"]
    return files


def test_a_signed_result_becomes_evidence_and_is_recorded(ready: World) -> None:
    ready.evaluate()
    [row] = evidence(ready)
    [event] = [one for one in ready.told() if one["kind"] == "evidence.submitted"]

    assert (row["result"], row["submitted_by"]) == ("PASSED", ready.memory.agent)
    assert row["details"]["metrics"]["roc_auc"]["low"] == 0.97
    assert event["resource"] == "version:oncology/malignancy@1"
    assert event["payload"]["digest"] == row["digest"]
    assert event["payload"]["result"] == "PASSED"


def test_what_counts_is_what_was_signed_not_what_was_said(ready: World) -> None:
    job = asked(ready)
    outcome = ready.agent.outcome_of(job)
    outcome["evaluation"]["metrics"]["roc_auc"] = {"value": 1.0, "low": 1.0, "high": 1.0}
    answer = ready.agent.complete(job, outcome)

    if answer.is_success:
        assert evidence(ready)[0]["details"]["metrics"]["roc_auc"]["low"] == 0.97
    else:
        problem(answer, 422, "signature-invalid")


def test_who_may_not_evaluate_is_refused(ready: World) -> None:
    problem(ready.as_(DANA).post(EVALUATIONS), 403, "forbidden")


def test_a_version_that_waits_for_its_scan_is_not_evaluated(data: World) -> None:
    waiting(data)
    body = problem(data.as_(VERA).post(EVALUATIONS), 409, "conflict")

    assert "PENDING_REGISTRATION" in body["detail"]


def test_a_version_that_was_not_trained_here_has_no_held_out_data(data: World) -> None:
    good(data.agent.complete(waiting(data)))

    problem(data.as_(VERA).post(EVALUATIONS), 422, "malformed")


@pytest.mark.parametrize(
    "body", [{"thresholds": {"roc_auc": {"min": "high"}}}, {"thresholds": []}, {"subgroups": {"a": 1}}, {"x": 1}]
)
def test_an_evaluation_that_cannot_be_read_is_refused(ready: World, body: dict[str, Any]) -> None:
    problem(ready.as_(VERA).post(EVALUATIONS, body), 422, "malformed")


def test_an_agent_of_another_zone_cannot_attest_for_this_one(ready: World) -> None:
    job = asked(ready)
    elsewhere = ready.enrol("ae-onshore")
    outcome = {"kind": "evaluate", **elsewhere.evaluated(job)}
    body = problem(ready.agent.complete(job, outcome), 422, "signature-invalid")

    assert "may not make statements" in body["detail"]
    assert evidence(ready) == []


def test_a_person_cannot_attest_what_agents_attest(ready: World) -> None:
    job = asked(ready)
    outcome = ready.agent.outcome_of(job)
    notary = ready.parts.notary
    subject = [("model.onnx", statements.parse(payload_of(outcome["statement"])).subjects[0].digest)]
    forged = statements.statement(subject, statements.TEST_RESULT, outcome["evaluation"])
    outcome["statement"] = notary.signer_for(notary.person(SAMI.ref)).sign(forged)

    problem(ready.agent.complete(job, outcome), 422, "signature-invalid")


def payload_of(bundle: str) -> bytes:
    """Return the signed text of a bundle."""
    return base64.b64decode(json.loads(bundle)["dsseEnvelope"]["payload"])


def bent(bundle: str) -> dict[str, str]:
    """Return bundles in which one thing is not what was signed."""
    body = json.loads(bundle)
    payload = payload_of(bundle).replace(b'"PASSED"', b'"FAILED"')

    def changed(*path: str, to: Any) -> str:
        copy = json.loads(bundle)
        place = copy
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = to
        return json.dumps(copy)

    return {
        "the statement": changed("dsseEnvelope", "payload", to=base64.b64encode(payload).decode()),
        "the signature": changed("dsseEnvelope", "signatures", to=[{"sig": base64.b64encode(b"no").decode()}]),
        "no log entry": changed("verificationMaterial", "tlogEntries", to=[]),
        "no timestamp": changed("verificationMaterial", "timestampVerificationData", to={}),
        "another type": changed("mediaType", to="text/plain"),
        "half of it": bundle[: len(bundle) // 2],
        "nothing": "",
        "no object": "[]",
        "deep": "[" * 100_000,
        "a name twice": bundle.replace("{", '{"mediaType":"x",', 1),
        "no certificate": json.dumps({**body, "verificationMaterial": {}}),
    }


@pytest.mark.parametrize("what", list(bent('{"dsseEnvelope":{"payload":""},"verificationMaterial":{}}')))
def test_a_bundle_that_was_bent_is_refused_and_nothing_is_kept(ready: World, what: str) -> None:
    job = asked(ready)
    outcome = ready.agent.outcome_of(job)
    outcome["statement"] = bent(outcome["statement"])[what]
    problem(ready.agent.complete(job, outcome), 422, "signature-invalid")

    assert evidence(ready) == []


def test_a_statement_about_another_model_is_refused(ready: World) -> None:
    job = asked(ready)
    other = {**job, "spec": {**job["spec"], "model": digest("another model")}}
    body = problem(ready.agent.complete(job, ready.agent.outcome_of(other)), 422, "signature-invalid")

    assert body["missing"] == [job["spec"]["model"]]


def test_a_statement_of_another_kind_is_refused(ready: World) -> None:
    job = asked(ready)
    outcome = ready.agent.outcome_of(job)
    subject = [("model.onnx", job["spec"]["model"])]
    outcome["statement"] = ready.agent.attest(statements.DEPLOYMENT, subject, outcome["evaluation"])

    problem(ready.agent.complete(job, outcome), 422, "signature-invalid")


def test_a_result_without_a_verdict_is_refused(ready: World) -> None:
    job = asked(ready)
    outcome = ready.agent.outcome_of(job)
    del outcome["evaluation"]["result"]
    subject = [("model.onnx", job["spec"]["model"])]
    outcome["statement"] = ready.agent.attest(statements.TEST_RESULT, subject, outcome["evaluation"])

    assert ready.agent.complete(job, outcome).status_code == 422


@pytest.mark.parametrize("metrics", [[], {"roc_auc": 1}, {"roc_auc": {}}, {"roc_auc": {"value": "high"}}, None])
def test_metrics_that_cannot_be_read_are_refused_when_they_come_not_when_they_are_used(
    ready: World, metrics: object
) -> None:
    job = asked(ready)
    outcome = ready.agent.outcome_of(job)
    outcome["evaluation"]["metrics"] = metrics
    subject = [("model.onnx", job["spec"]["model"])]
    outcome["statement"] = ready.agent.attest(statements.TEST_RESULT, subject, outcome["evaluation"])
    answer = ready.agent.complete(job, outcome)

    assert answer.status_code in (200, 422), answer.text
    good(ready.as_(ADEL).get(f"{VERSION}/gates/production"))


def test_a_result_that_failed_is_kept_as_it_is(ready: World) -> None:
    job = asked(ready)
    low = {"value": 0.7, "low": 0.6, "high": 0.8}
    good(ready.agent.complete(job, {"kind": "evaluate", **ready.agent.evaluated(job, auc=low, is_passed=False)}))

    assert evidence(ready)[0]["result"] == "FAILED"


# -- scans --


def test_a_scan_that_fails_makes_the_version_failed_with_the_reason(data: World) -> None:
    job = waiting(data)
    good(data.agent.complete(job, {"kind": "scan", **data.agent.scanned(job, failing="model.onnx")}))
    version = good(data.as_(ADEL).get(VERSION))

    assert version["status"] == "FAILED_REGISTRATION"
    assert version["status_message"] == "model.onnx: it imports os.system"
    assert evidence(data, "scan")[0]["result"] == "FAILED"
    [event] = [one for one in data.told() if one["kind"] == "version.scanned"]
    assert event["payload"]["status"] == "FAILED_REGISTRATION"


def test_a_failed_version_is_neither_evaluated_nor_promoted(data: World) -> None:
    job = waiting(data)
    good(data.agent.complete(job, {"kind": "scan", **data.agent.scanned(job, failing="model.onnx")}))

    problem(data.as_(VERA).post(EVALUATIONS), 409, "conflict")
    body = problem(
        data.as_(SAMI).post(f"{VERSION}/promotions", {"to": "staging", "because": "because"}), 403, "gate-not-satisfied"
    )
    assert "version/scanned" in {one["rule"] for one in body["unmet"]}


def test_a_scan_that_leaves_a_file_out_is_refused(ready: World) -> None:
    good(ready.as_(SAMI).post("/v1/trainings", ready.training()))
    ready.agent.do(JobKind.TRAIN)
    job = ready.agent.claim_a(JobKind.SCAN)
    reports = ready.agent.scanned(job)["files"][:1]
    outcome = {
        "kind": "scan", "passed": True, "files": reports, "statement": ready.agent.scan_statement(job, reports),
    }  # fmt: skip

    problem(ready.agent.complete(job, outcome), 422)
    assert good(ready.as_(ADEL).get(f"/v1/models/{MODEL}/versions/2"))["status"] == "PENDING_REGISTRATION"


def test_a_report_that_is_not_what_was_signed_is_refused(data: World) -> None:
    job = waiting(data)
    signed = data.agent.scanned(job, failing="model.onnx")
    said = data.agent.scanned(job)
    outcome = {"kind": "scan", **said, "statement": signed["statement"]}

    problem(data.agent.complete(job, outcome), 422, "signature-invalid")
    assert good(data.as_(ADEL).get(VERSION))["status"] == "PENDING_REGISTRATION"


@pytest.mark.parametrize(
    "report",
    [{}, {"path": "model.onnx"}, {"path": "model.onnx", "passed": True}, {"path": 1, "passed": "yes", "format": []}],
)
def test_a_report_that_says_too_little_is_refused(data: World, report: dict[str, Any]) -> None:
    job = waiting(data)
    outcome = {
        "kind": "scan", "passed": True, "files": [report],
        "statement": data.agent.attest(
            statements.TEST_RESULT,
            [(one["path"], one["digest"]) for one in job["spec"]["files"]],
            configured([report]),
        ),
    }  # fmt: skip

    assert data.agent.complete(job, outcome).status_code == 422
    assert good(data.as_(ADEL).get(VERSION))["status"] == "PENDING_REGISTRATION"


def configured(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a passed test result about *reports*, whatever they say."""
    return predicates.outcome([predicates.descriptor("scan.json", Digest.of(canonical(reports)))], passed=["scan"])


def test_a_version_is_scanned_once(data: World) -> None:
    job = waiting(data)
    good(data.agent.complete(job))

    problem(data.agent.complete(job), 409, "stale-fence")
    assert len(evidence(data, "scan")) == 1


def test_a_verdict_that_the_zone_gives_counts_more_than_the_ending(data: World) -> None:
    # The zone sees the bytes; the registry only saw the name.
    job = waiting(data)
    outcome = data.agent.scanned(job)
    outcome["files"][0]["verdict"] = "record-only"
    outcome["statement"] = data.agent.scan_statement(job, outcome["files"])
    good(data.agent.complete(job, {"kind": "scan", **outcome}))
    body = problem(
        data.as_(SAMI).post(f"{VERSION}/promotions", {"to": "staging", "because": "because"}), 403, "format-refused"
    )

    assert "version/formats" in {one["rule"] for one in body["unmet"]}
