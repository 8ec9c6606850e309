# SPDX-License-Identifier: Apache-2.0
"""The SDK: every verb arrives, errors come back as what they were, and lost answers are asked for again."""

from __future__ import annotations

import uuid
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

import khatim
from khatim.calls.artifacts import measured
from khatim.calls.connection import ATTEMPTS, LONGEST_PAUSE_S, pause
from khatim.calls.jobs import made_by
from khatim.client import Client
from khatim.errors import (
    AlreadyExists,
    Conflict,
    ContractUnreadable,
    Forbidden,
    GateNotSatisfied,
    KhatimError,
    Malformed,
    NotFound,
    ResidencyRefused,
    SeparationOfDuties,
    TokenExpired,
    TooLarge,
    Unauthenticated,
    Unavailable,
    VerificationFailed,
)
from khatim.vocabulary import Digest, JobKind, Role, Stage
from khatim.wire import answers
from tests.khatim.sdk import DOOR, Sdk, away, breaks, doors_of, fine
from tests.support.people import ADEL, DANA, MONA, PAVEL, PETRA, SAMI, VERA
from tests.support.world import ABROAD, CODE, CONTRACT, DATASET, MODEL, PURPOSE, SPEC, VIEW, ZONE

VERSION = f"{MODEL}@1"


def csv(folder: Path, content: bytes = b"patient,mean_radius\np1,14.2\n") -> Path:
    file = folder / "wdbc.csv"
    file.write_bytes(content)
    return file


def test_khatim_client_is_the_front_door() -> None:
    assert khatim.Client is Client


# --- the story, by its verbs ---


def test_every_step_of_the_story_has_its_verb(sdk: Sdk, tmp_path: Path) -> None:
    engineer, scientist, platform = sdk.as_(DANA), sdk.as_(SAMI), sdk.as_(PAVEL)
    agent = sdk.world.agent

    stored = engineer.artifacts.upload(csv(tmp_path), zone=ZONE, tags=["health.ae"], media_type="text/csv")
    job = engineer.datasets.ingest("oncology/wdbc", zone=ZONE, source=stored.digest, contract=CONTRACT)
    agent.do(JobKind.INGEST)
    made = made_by(engineer.jobs.wait(job))
    assert made == f"dataset:{DATASET}"
    assert engineer.datasets.get(made).source_digest == stored.digest

    job = scientist.features.materialise("oncology/cell-shape", dataset=made, spec=SPEC)
    agent.do(JobKind.MATERIALISE)
    view = made_by(scientist.jobs.wait(job))
    assert scientist.features.get(view).dataset_ref == made

    asked = scientist.authorisations.request(
        "oncology",
        datasets=[made],
        purpose=PURPOSE,
        code_digest=CODE,
        zone=ZONE,
        budget_runs=2,
        ends_at=sdk.world.clock() + timedelta(days=2),
    )
    assert sdk.as_(PETRA).authorisations.approve(asked.id, because="it fits").state == "approved"
    job = scientist.trainings.start(
        MODEL, authorisation=asked.id, features=view, purpose=PURPOSE, code_digest=CODE, parameters={"max_depth": 3}
    )
    agent.do(JobKind.TRAIN)
    assert made_by(scientist.jobs.wait(job)) == f"version:{VERSION}"
    agent.do(JobKind.SCAN)
    assert scientist.versions.wait(VERSION).status == "READY"

    sdk.as_(VERA).versions.evaluate(VERSION, thresholds={"roc_auc": {"min": 0.95}})
    agent.do(JobKind.EVALUATE)
    assert [one.kind for one in scientist.versions.evidence(VERSION)] == ["scan", "evaluation"]
    assert not scientist.versions.gate(VERSION, "production").is_open
    for person, role in ((VERA, Role.VALIDATOR), (PETRA, Role.PRIVACY_OFFICER), (MONA, "model-risk-approver")):
        sdk.as_(person).versions.approve(VERSION, role=role, meaning="approved for triage", valid_days=30)
    assert len(list(scientist.versions.approvals(VERSION))) == 3
    assert scientist.versions.promote(VERSION, to=Stage.PRODUCTION, because="it is approved").stage == "production"
    assert scientist.versions.alias(VERSION, "candidate").number == 1
    assert [one.alias for one in scientist.models.aliases(MODEL)] == ["candidate"]

    deployment = platform.deployments.request(VERSION, zone=ZONE)
    agent.do(JobKind.DEPLOY)
    assert platform.deployments.wait(deployment.id).state == "serving"
    platform.monitors.run(deployment.id)
    job_ = agent.claim_a(JobKind.MONITOR)
    agent.complete(job_, {"kind": "monitor", **agent.monitored(job_, is_drift=True)})
    finding = next(platform.findings.list())
    resolved = sdk.as_(MONA).findings.resolve(finding.id, because="the microscope was repaired")
    assert (resolved.state, platform.findings.get(finding.id).state) == ("resolved", "resolved")
    assert platform.deployments.stop(deployment.id, because="the story ends").state == "stopped"
    assert sdk.as_(MONA).versions.revoke(VERSION, because="the story ends").revoked_because == "the story ends"


def test_what_is_registered_can_be_listed_and_read(serving_sdk: Sdk) -> None:
    client, auditor = serving_sdk.as_(PAVEL), serving_sdk.as_(ADEL)
    serving_sdk.world.sequence()

    assert client.whoami().ref == PAVEL.ref
    assert "ae-health" in {zone.name for zone in client.zones.list()}
    assert [agent.zone for agent in client.agents.list()] == [ZONE]
    assert [one.ref for one in client.datasets.list()] == [f"dataset:{DATASET}"]
    assert [one.ref for one in client.features.list()] == [f"features:{VIEW}"]
    assert [one.name for one in client.models.list(search="malig")] == ["malignancy"]
    assert client.models.get(MODEL).tier == 2
    assert [one.number for one in client.versions.list(MODEL)] == [1]
    assert {node.kind for node in client.versions.lineage(VERSION)} == {"version", "features", "dataset", "artifact"}
    assert client.versions.dossier(VERSION).version.ref == f"version:{VERSION}"
    assert [one.state for one in client.deployments.list()] == ["serving"]
    assert [one.state for one in client.authorisations.list()] == ["approved"]
    assert auditor.ledger.get(0).kind == "ledger.opened"
    assert auditor.ledger.receipt(3).index == 3
    assert auditor.ledger.checkpoint().startswith("ledger.test.khatim\n")
    assert [one.kind for one in auditor.ledger.list(kind="version.promoted")] == ["version.promoted"]


def test_agents_are_invited_and_retired_and_authorisations_and_jobs_taken_back(serving_sdk: Sdk) -> None:
    platform = serving_sdk.as_(PAVEL)
    assert platform.agents.invite(ZONE, ttl_s=60).zone == ZONE
    agent = next(platform.agents.list())
    assert platform.agents.retire(agent.id, because="the machine is old").state == "retired"
    authorisation = next(platform.authorisations.list())
    revoked = serving_sdk.as_(PETRA).authorisations.revoke(authorisation.id, because="the purpose has changed")
    assert revoked.state == "revoked"
    job = serving_sdk.as_(VERA).versions.evaluate(VERSION)
    assert platform.jobs.cancel(job.id, because="not now").state == "cancelled"


def test_a_listing_goes_on_over_all_its_pages(serving_sdk: Sdk) -> None:
    client = serving_sdk.as_(PAVEL)
    at_once = [job.id for job in client.jobs.list()]
    in_pages = [job.id for job in client.connection.pages(answers.Job, "/v1/jobs", {"limit": 2})]

    assert in_pages == at_once
    assert len(at_once) > 2

    serving_sdk.world.sequence()
    indexes = [entry.index for entry in serving_sdk.as_(ADEL).ledger.list(page=7)]
    assert indexes == list(range(len(indexes)))[::-1]
    assert len(indexes) > 14


# --- errors ---


def test_what_the_server_raised_is_raised_again_with_its_members(evaluated_sdk: Sdk) -> None:
    scientist = evaluated_sdk.as_(SAMI)
    with pytest.raises(GateNotSatisfied) as gate:
        scientist.versions.promote(VERSION, to="production", because="I think it is ready")
    with pytest.raises(SeparationOfDuties) as self_approved:
        evaluated_sdk.as_(SAMI.also(Role.VALIDATOR)).versions.approve(VERSION, role="validator", meaning="mine is good")
    weights = scientist.versions.get(VERSION).files[0]["digest"]
    with pytest.raises(ResidencyRefused) as abroad:
        scientist.artifacts.download(weights, Path("never.onnx"), zone=ZONE, to_zone=ABROAD)

    assert {one["rule"] for one in gate.value.members["unmet"]} >= {"production/validator", "production/model-risk"}
    assert gate.value.advice
    assert self_approved.value.members["rule"].startswith("separation/")
    assert abroad.value.members["rule"] == "health.ae/outside-state"
    assert "Federal Law 2/2019" in abroad.value.members["legal_basis"]
    assert abroad.value.members["certainty"] in set("VSIRU")
    assert not Path("never.onnx").exists()


def test_each_way_to_be_wrong_has_its_own_error(sdk: Sdk) -> None:
    scientist = sdk.as_(SAMI)
    old = sdk.world.parts.local_tokens.access(
        SAMI.ref, SAMI.name, SAMI.roles, at=sdk.world.clock() - timedelta(days=1), ttl=timedelta(hours=1)
    )
    scientist.models.create(MODEL, description="triage")

    with pytest.raises(NotFound):
        scientist.versions.get("oncology/nothing@1")
    with pytest.raises(AlreadyExists):
        scientist.models.create(MODEL)
    with pytest.raises(Forbidden):
        scientist.agents.invite(ZONE)
    with pytest.raises(NotFound):
        scientist.trainings.start(MODEL, authorisation=uuid.uuid4(), features=VIEW, purpose=PURPOSE, code_digest=CODE)
    with pytest.raises(TokenExpired):
        sdk.as_(SAMI, token=old).whoami()
    with pytest.raises(Unauthenticated):
        sdk.as_(SAMI, token="not-a-token").whoami()


@pytest.mark.parametrize("name", ["malignancy", "Oncology/malignancy", "oncology/malignancy@0", "oncology/a@b@1", "@1"])
def test_what_cannot_be_a_name_is_refused_before_anything_is_sent(sdk: Sdk, name: str) -> None:
    client = sdk.as_(SAMI)
    with pytest.raises(Malformed):
        client.versions.get(name)
    with pytest.raises(Malformed):
        client.models.create(f"{name}!")

    assert sdk.wire.carried == []


def test_a_body_that_does_not_fit_names_its_fields_before_anything_is_sent(sdk: Sdk) -> None:
    client = sdk.as_(SAMI)
    with pytest.raises(Malformed, match="valid_days"):
        client.versions.approve(VERSION, role="validator", meaning="good", valid_days=5000)
    with pytest.raises(Malformed, match="role"):
        client.versions.approve(VERSION, role="wizard", meaning="good")
    with pytest.raises(ContractUnreadable, match="columns"):
        client.datasets.ingest("oncology/wdbc", zone=ZONE, source=f"sha256:{'0' * 64}", contract={"columns": []})
    with pytest.raises(Malformed, match="not an id"):
        client.jobs.get("the first one")

    assert sdk.wire.carried == []


def test_an_address_that_is_no_registry_is_said_to_be_none(sdk: Sdk) -> None:
    client = sdk.as_(SAMI)
    sdk.wire.trouble = [lambda _: httpx.Response(404, text="<html>nothing here</html>")]
    with pytest.raises(KhatimError, match="status 404") as error:
        client.whoami()
    sdk.wire.trouble = [lambda _: httpx.Response(200, json={"hello": "world"})]
    with pytest.raises(KhatimError, match="cannot be read"):
        client.whoami()

    assert "Khatim server" in error.value.advice


def test_the_token_does_not_follow_a_redirect(sdk: Sdk) -> None:
    client = sdk.as_(SAMI)
    sdk.wire.trouble = [lambda _: httpx.Response(302, headers={"location": "http://elsewhere.example/"})]
    with pytest.raises(KhatimError, match="status 302"):
        client.whoami()

    assert {one.url.host for one in sdk.wire.carried} == {"127.0.0.1"}


# --- asking again ---


def test_a_change_whose_answer_was_lost_is_made_once(sdk: Sdk) -> None:
    client = sdk.as_(SAMI)
    sdk.world.told()
    sdk.wire.after = [breaks, away]  # the registry did it twice as far as the wire can tell, and the answers were lost
    model = client.models.create(MODEL, description="triage")

    keys = sdk.wire.keys(f"/v1/models/{MODEL}")
    assert (len(keys), len(set(keys))) == (3, 1)
    assert sdk.world.kinds().count("model.created") == 1
    assert model.description == "triage"


def test_two_calls_are_two_questions(sdk: Sdk) -> None:
    client = sdk.as_(PAVEL)
    client.agents.invite(ZONE)
    client.agents.invite(ZONE)

    assert len(set(sdk.wire.keys("/v1/agents/invitations"))) == 2


def test_a_registry_that_stays_away_is_given_up_with_growing_pauses(sdk: Sdk) -> None:
    client = sdk.as_(SAMI)
    sdk.wire.trouble = [breaks] * ATTEMPTS
    with pytest.raises(Unavailable, match="does not answer: the cable was pulled"):
        client.whoami()
    sdk.wire.trouble = [away] * ATTEMPTS
    with pytest.raises(Unavailable):
        client.whoami()

    assert len(sdk.wire.carried) == 2 * ATTEMPTS
    assert sdk.slept[0] < sdk.slept[ATTEMPTS - 2] <= LONGEST_PAUSE_S


def test_a_refusal_is_not_asked_again(sdk: Sdk) -> None:
    with pytest.raises(Forbidden):
        sdk.as_(SAMI).agents.invite(ZONE)

    assert len(sdk.wire.carried) == 1


@pytest.mark.parametrize("attempt", range(40))
def test_no_pause_is_longer_than_the_longest(attempt: int) -> None:
    assert 0 < pause(attempt) <= LONGEST_PAUSE_S


# --- jobs ---


def test_a_job_that_failed_raises_what_its_agent_met(serving_sdk: Sdk) -> None:
    client, agent = serving_sdk.as_(VERA), serving_sdk.world.agent
    job = client.versions.evaluate(VERSION)
    work = agent.claim_a(JobKind.EVALUATE)
    problem = Malformed("There is no metric 'beauty'.", advice="Known: accuracy.", metric="beauty").as_problem()
    body = {"fence": work["fence"], "error": problem["detail"], "problem": problem}
    assert agent.api.post(f"/v1/agent/jobs/{work['id']}/failure", body).is_success

    with pytest.raises(Malformed, match=r"evaluate job .* failed: There is no metric 'beauty'") as error:
        client.jobs.wait(job)
    assert error.value.advice == "Known: accuracy."
    assert error.value.members == {"metric": "beauty", "job": str(job.id)}


def test_a_job_that_was_cancelled_and_one_that_nobody_takes_are_told_apart(serving_sdk: Sdk) -> None:
    client = serving_sdk.as_(VERA)
    cancelled, waiting = client.versions.evaluate(VERSION), client.versions.evaluate(VERSION)
    serving_sdk.as_(PAVEL).jobs.cancel(cancelled.id, because="not now")

    with pytest.raises(Conflict, match="cancelled: not now"):
        client.jobs.wait(cancelled)
    seen: list[str] = []
    with pytest.raises(Unavailable, match="still queued") as error:
        client.jobs.wait(str(waiting.id), timeout_s=-1, watch=lambda one: seen.append(one.state))
    assert "agent" in error.value.advice
    assert seen == ["queued"]


# --- bytes ---


def test_a_file_goes_to_the_door_and_comes_back_whole(sdk: Sdk, tmp_path: Path) -> None:
    client, content = sdk.as_(SAMI), bytes(range(256)) * 1500
    moved: list[tuple[int, int]] = []
    stored = client.artifacts.upload(
        csv(tmp_path, content), zone=ZONE, tags=["health.ae"], progress=lambda *now: moved.append(now)
    )
    back = client.artifacts.download(stored.digest, tmp_path / "back", zone=ZONE, to_zone=ZONE)

    assert (stored.name, stored.size) == ("wdbc.csv", len(content))
    assert stored.digest == str(Digest.of(content)) == measured(back)[0]
    assert back.read_bytes() == content
    assert moved[-1] == (len(content), len(content))
    assert stored.as_file().digest == stored.digest


def test_the_door_never_sees_the_callers_token_and_the_registry_never_the_bytes(sdk: Sdk, tmp_path: Path) -> None:
    client, token = sdk.as_(SAMI), sdk.world.token(SAMI)
    client = sdk.as_(SAMI, token=token)
    content = b"patient,mean_radius\nsecret,1\n"
    stored = client.artifacts.upload(csv(tmp_path, content), zone=ZONE)
    client.artifacts.download(stored.digest, tmp_path / "back", zone=ZONE, to_zone=ZONE)

    to_door = list(doors_of(sdk.wire.carried))
    assert len(to_door) == 2
    assert all(token not in one.headers["authorization"] for one in to_door)
    others = [one for one in sdk.wire.carried if one not in to_door]
    assert all(b"secret" not in one.read() for one in others)


def test_an_upload_that_breaks_off_is_sent_again_with_a_ticket_of_its_own(sdk: Sdk, tmp_path: Path) -> None:
    sdk.wire.trouble = [fine, breaks, fine, fine]
    stored = sdk.as_(SAMI).artifacts.upload(csv(tmp_path), zone=ZONE)

    tickets = [one.headers["authorization"] for one in doors_of(sdk.wire.carried)]
    assert len(set(tickets)) == 2
    assert sdk.store.size_of(Digest.parse(stored.digest)) == stored.size


def test_a_download_of_other_bytes_is_thrown_away(sdk: Sdk, tmp_path: Path) -> None:
    client = sdk.as_(SAMI)
    stored = client.artifacts.upload(csv(tmp_path), zone=ZONE)
    target = tmp_path / "back"
    target.write_text("what was there before")
    sdk.wire.trouble = [fine, lambda _: httpx.Response(200, content=b"other bytes")]
    with pytest.raises(VerificationFailed, match="thrown away"):
        client.artifacts.download(stored.digest, target, zone=ZONE, to_zone=ZONE)

    assert target.read_text() == "what was there before"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["back", "store", "wdbc.csv"]


def test_a_door_that_is_shut_or_full_says_so(sdk: Sdk, tmp_path: Path) -> None:
    client = sdk.as_(SAMI)
    with pytest.raises(TooLarge):
        client.artifacts.upload(csv(tmp_path, b"x" * ((1 << 20) + 1)), zone=ZONE)
    sdk.wire.trouble = [fine, breaks] * 3
    with pytest.raises(Unavailable, match=DOOR):
        client.artifacts.upload(csv(tmp_path), zone=ZONE)
    with pytest.raises(Malformed, match="cannot be read"):
        client.artifacts.upload(tmp_path / "nothing.csv", zone=ZONE)
    with pytest.raises(Malformed, match="cannot be written"):
        stored = client.artifacts.upload(csv(tmp_path), zone=ZONE)
        client.artifacts.download(stored.digest, tmp_path / "no" / "such" / "file", zone=ZONE, to_zone=ZONE)
