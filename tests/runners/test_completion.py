# SPDX-License-Identifier: Apache-2.0
"""What agents bring: every statement is verified, every claim is signed, and half a result is none."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from khatim.vocabulary import Digest, JobKind
from registry.signing import oms, statements
from registry.signing.signer import RemoteSigner
from tests.support.agents import HandAgent, blob, digest, file
from tests.support.http import good, problem
from tests.support.people import ADEL, DANA, SAMI
from tests.support.world import DATASET, MODEL, VERSION, VIEW, World

Json = dict[str, Any]


def training(world: World) -> Json:
    """Return a training job that the agent holds."""
    good(world.as_(SAMI).post("/v1/trainings", world.training()))
    return world.agent.claim_a(JobKind.TRAIN)


def kept(world: World) -> int:
    """Return how many rows the completions of this world have left in what they write."""
    tables = ("model_versions", "statements", "placements", "lineage")
    return sum(int(world.sql(f"SELECT count(*) FROM {table}")[0][0]) for table in tables)


def test_a_training_becomes_a_version_with_lineage_and_two_statements(authorised: World) -> None:
    job = training(authorised)
    outcome = authorised.agent.outcome_of(job)
    ended = good(authorised.agent.complete(job, outcome))
    version = good(authorised.as_(ADEL).get(VERSION))
    lineage = good(authorised.as_(ADEL).get(f"{VERSION}/lineage"))["items"]

    assert ended["outcome"]["made"] == f"version:{MODEL}@1"
    assert (version["status"], version["registered_by"]) == ("PENDING_REGISTRATION", SAMI.ref)
    assert version["training"]["authorisation"] == authorised.memory.authorisation
    assert version["training"]["job"] == job["id"]
    assert [(ref, role) for ref, role in lineage[0]["made_from"]] == [
        (f"features:{VIEW}", "features"), (f"dataset:{DATASET}", "dataset"),
    ]  # fmt: skip
    assert {one["predicate_type"] for one in lineage[0]["statements"]} == {
        statements.SLSA_PROVENANCE, statements.OMS_SIGNATURE,
    }  # fmt: skip


def other_file(outcome: Json, _: HandAgent) -> None:
    """Name a file that was not signed."""
    outcome["files"][0]["digest"] = digest("another file")


def more_files(outcome: Json, _: HandAgent) -> None:
    """Name one file more than was signed."""
    outcome["files"].append(file("backdoor.onnx", "backdoor"))


def fewer_files(outcome: Json, _: HandAgent) -> None:
    """Leave a signed file out."""
    outcome["files"].pop()


def other_path(outcome: Json, _: HandAgent) -> None:
    """Give a file another name than was signed."""
    outcome["files"][0]["path"] = "renamed.onnx"


def swapped(outcome: Json, _: HandAgent) -> None:
    """Give each statement as the other."""
    outcome["provenance"], outcome["model_signature"] = outcome["model_signature"], outcome["provenance"]


def by_another_zone(outcome: Json, agent: HandAgent) -> None:
    """Let another zone's agent sign the model."""
    elsewhere = HandAgent(agent.api, agent._notary, agent.ref, "ae-onshore", agent._clock, agent.key)
    named = [(one["path"], Digest.parse(one["digest"])) for one in outcome["files"]]
    outcome["model_signature"] = elsewhere.sign(oms.oms_statement("oncology-malignancy", named))


def other_holdout(outcome: Json, _: HandAgent) -> None:
    """Name held-out data that the provenance does not."""
    outcome["training"]["holdout"] = digest("easier data")


def unsigned(outcome: Json, _: HandAgent) -> None:
    """Give no signature."""
    outcome["model_signature"] = "{}"


BENT: list[Callable[[Json, HandAgent], None]] = [
    other_file, more_files, fewer_files, other_path, swapped, by_another_zone, other_holdout, unsigned,
]  # fmt: skip


@pytest.mark.parametrize("bend", BENT, ids=lambda bend: bend.__name__)
def test_a_training_that_is_not_what_was_signed_is_refused_and_nothing_is_kept(
    authorised: World, bend: Callable[[Json, HandAgent], None]
) -> None:
    job = training(authorised)
    before = kept(authorised)
    outcome = authorised.agent.outcome_of(job)
    bend(outcome, authorised.agent)
    problem(authorised.agent.complete(job, outcome), 422, "signature-invalid")

    assert kept(authorised) == before
    assert good(authorised.agent.complete(job))["state"] == "done"


@pytest.mark.parametrize("missing", ["holdout", "reference", "features", "label"])
def test_a_training_that_leaves_out_what_others_need_is_refused(authorised: World, missing: str) -> None:
    job = training(authorised)
    outcome = authorised.agent.outcome_of(job)
    del outcome["training"][missing]
    body = problem(authorised.agent.complete(job, outcome), 422, "malformed")

    assert missing in body["detail"]


@pytest.mark.parametrize("path", ["../model.onnx", "/model.onnx", "a/../b.onnx"])
def test_a_path_that_leaves_the_model_is_refused(authorised: World, path: str) -> None:
    job = training(authorised)
    outcome = authorised.agent.outcome_of(job)
    outcome["files"][0]["path"] = path

    assert authorised.agent.complete(job, outcome).status_code == 422


@pytest.mark.parametrize("report", [{}, {"accepted": "many", "quarantined": 0}, {"accepted": -1, "quarantined": 0}])
def test_an_ingest_whose_report_cannot_be_read_is_refused(data: World, report: Json) -> None:
    body = {
        "zone": "ae-health",
        "source": digest("wdbc.csv"),
        "contract": {"columns": [{"name": "a", "type": "string"}]},
    }
    good(data.as_(DANA).post("/v1/datasets/oncology/wdbc/versions", body))
    job = data.agent.claim_a(JobKind.INGEST)

    problem(data.agent.complete(job, {**data.agent.outcome_of(job), "report": report}), 422, "malformed")


HOSTILE_PREDICATES: dict[str, Json] = {
    "no definition": {"runDetails": {}},
    "a definition that is a list": {"buildDefinition": [], "runDetails": {}},
    "dependencies that are text": {
        "buildDefinition": {"buildType": statements.TRAINING, "resolvedDependencies": "all"}, "runDetails": [],
    },
    "descriptors that are numbers": {
        "buildDefinition": {"buildType": statements.TRAINING, "resolvedDependencies": [1, None, {"digest": 2}]},
        "runDetails": {"byproducts": [[]]},
    },
}  # fmt: skip


@pytest.mark.parametrize("predicate", HOSTILE_PREDICATES.values(), ids=list(HOSTILE_PREDICATES))
def test_a_signed_provenance_that_cannot_be_read_is_refused(authorised: World, predicate: Json) -> None:
    job = training(authorised)
    outcome = authorised.agent.outcome_of(job)
    subjects = [(one["path"], one["digest"]) for one in outcome["files"]]
    outcome["provenance"] = authorised.agent.attest(statements.SLSA_PROVENANCE, subjects, predicate)

    problem(authorised.agent.complete(job, outcome), 422, "signature-invalid")


def test_what_is_too_large_for_an_entry_is_kept_beside_it(authorised: World) -> None:
    job = training(authorised)
    outcome = authorised.agent.outcome_of(job)
    outcome["files"] = [
        file("model.onnx", job["id"], "model"),
        *(file(f"part-{n:03}.json", n, role="config") for n in range(700)),
    ]
    named = [(one["path"], Digest.parse(one["digest"])) for one in outcome["files"]]
    subjects = [(one["path"], one["digest"]) for one in outcome["files"]]
    outcome["placed"] += [blob(n) for n in range(700)]
    outcome["provenance"] = authorised.agent.provenance(
        statements.TRAINING, job, subjects, [outcome["training"]["holdout"], outcome["training"]["reference"]]
    )
    outcome["model_signature"] = authorised.agent.sign(oms.oms_statement("oncology-malignancy", named))
    good(authorised.agent.complete(job, outcome))
    [event] = [one for one in authorised.told() if one["kind"] == "version.registered"]
    authorised.sequence()

    assert "payload" not in event
    payload = authorised.as_(ADEL).get(f"/ledger/payload/{event['payload_digest']}").content
    assert str(Digest.of(payload)) == event["payload_digest"]
    assert b"part-699.json" in payload


def test_an_agent_signs_over_http_with_a_key_that_never_leaves_it(ready: World) -> None:
    good(ready.as_(SAMI).post(f"{VERSION}/evaluations"))
    job = ready.agent.claim_a(JobKind.EVALUATE)
    outcome = ready.agent.outcome_of(job)
    remote = ready.agent.remote(ready.http)
    subject = [("model.onnx", Digest.parse(job["spec"]["model"]))]
    outcome["statement"] = remote.sign(statements.statement(subject, statements.TEST_RESULT, outcome["evaluation"]))

    good(ready.agent.complete(job, outcome))


def test_a_person_gets_no_certificate(ready: World) -> None:
    remote = RemoteSigner(ready.http, lambda: ready.token(SAMI))
    subject = [("model.onnx", Digest.of(b"x"))]
    with pytest.raises(Exception, match="No role you hold") as raised:
        remote.sign(statements.statement(subject, statements.TEST_RESULT, {"result": "PASSED"}))

    assert type(raised.value).__name__ in ("Forbidden", "NotFound")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v2/signingCert", {"certificateSigningRequest": "AAAA"}),
        ("/api/v2/signingCert", {"certificateSigningRequest": 5}),
        ("/api/v2/signingCert", {"publicKeyRequest": {"publicKey": {"content": "x"}, "proofOfPossession": "AAAA"}}),
        ("/api/v2/log/entries", {"hashedRekordRequestV002": {}}),
        ("/api/v2/log/entries", {"hashedRekordRequestV002": {"digest": "AAAA", "signature": 5}}),
    ],
)
def test_the_authority_refuses_what_it_cannot_read(enrolled: World, path: str, body: Json) -> None:
    token = enrolled.parts.local_tokens.sigstore(SAMI.ref, at=enrolled.clock(), ttl=timedelta(minutes=5))

    problem(enrolled.bearer(token).post(path, body), 422, "malformed")


def test_the_timestamp_authority_answers_nonsense_with_its_own_refusal(enrolled: World) -> None:
    headers = {"Authorization": f"Bearer {enrolled.agent_token(enrolled.memory.agent)}"}
    answer = enrolled.http.post("/api/v1/timestamp", content=b"\x30\x03\x02\x01\x01", headers=headers)

    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/timestamp-reply"
    assert len(answer.content) < 30
