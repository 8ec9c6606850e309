# SPDX-License-Identifier: Apache-2.0
"""Standing training authorisations: asked for, approved by somebody else, and the only way to a training run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from khatim.vocabulary import JobKind, Role
from tests.support.agents import digest
from tests.support.http import good, problem
from tests.support.people import ADEL, DANA, MONA, PETRA, SAMI
from tests.support.world import ABROAD, DATASET, ZONE, Step, World, Worlds

BECAUSE = {"because": "the purpose fits"}


@pytest.fixture(scope="module")
def shared(worlds: Worlds) -> Iterator[World]:
    """Yield one world in which training is authorised, for tests that are only refused."""
    with worlds.at(Step.AUTHORISED) as opened:
        yield opened


def approval(name: str) -> str:
    """Return where an authorisation is approved."""
    return f"/v1/authorisations/{name}/approval"


def asked(world: World, **changes: Any) -> str:
    """Return the id of an authorisation that nobody has approved."""
    return str(good(world.as_(SAMI).post("/v1/authorisations", world.terms(**changes)))["id"])


def test_what_is_asked_for_is_recorded_with_its_terms(data: World) -> None:
    name = asked(data)
    event = data.told()[-1]

    assert event["kind"] == "authorisation.requested"
    assert event["resource"] == f"authorisation:oncology/{name}"
    assert event["payload"]["terms"]["datasets"] == [DATASET]
    assert event["payload"]["terms"]["budget_runs"] == 3
    assert good(data.as_(ADEL).get("/v1/authorisations"))["items"][0]["state"] == "requested"


def test_another_person_approves_it(data: World) -> None:
    name = asked(data)
    approved = good(data.as_(PETRA).post(approval(name), BECAUSE))

    assert (approved["state"], approved["approved_by"]) == ("approved", PETRA.ref)
    event = data.told()[-1]
    assert event["kind"] == "authorisation.approved"
    assert event["payload"]["policy"] == str(data.parts.rules.digest)


def test_nobody_approves_what_they_asked_for(data: World) -> None:
    both = SAMI.also(Role.PRIVACY_OFFICER)
    name = asked(data)
    body = problem(data.as_(both).post(approval(name), BECAUSE), 403, "separation-of-duties")

    assert body["rule"] == "sod/requester"
    assert "another person" in body["detail"]
    assert data.refusals()[-1]["payload"]["error"] == "separation-of-duties"
    assert good(data.as_(ADEL).get("/v1/authorisations"))["items"][0]["state"] == "requested"


def test_a_role_that_decides_on_nothing_does_not_approve(data: World) -> None:
    problem(data.as_(DANA).post(approval(asked(data)), BECAUSE), 403, "forbidden")


def test_it_is_approved_once_and_not_after_it_was_taken_back(data: World) -> None:
    name = asked(data)
    good(data.as_(PETRA).post(approval(name), BECAUSE))
    problem(data.as_(MONA).post(approval(name), BECAUSE), 409, "conflict")
    good(data.as_(MONA).post(f"/v1/authorisations/{name}/revocation", BECAUSE))
    problem(data.as_(PETRA).post(approval(name), BECAUSE), 409, "conflict")
    problem(data.as_(PETRA).post(f"/v1/authorisations/{name}/revocation", BECAUSE), 409, "conflict")


BAD_TERMS: dict[str, dict[str, Any]] = {
    "no dataset": {"datasets": []},
    "a dataset without a number": {"datasets": ["oncology/wdbc"]},
    "no runs": {"budget_runs": 0},
    "too many runs": {"budget_runs": 10_001},
    "an end in the past": {"ends_at": "2020-01-01T00:00:00+04:00"},
    "an end without an offset": {"ends_at": "2099-01-01T00:00:00"},
    "an end beyond all time": {"ends_at": "9999-12-31T23:59:59-12:00"},
    "no moment": {"ends_at": "soon"},
    "a code digest that is none": {"code_digest": "latest"},
    "a purpose of two letters": {"purpose": "ab"},
    "a namespace that names nothing": {"namespace": "A"},
    "another zone than the dataset's": {"zone": ABROAD},
    "a condition that nobody knows": {"budget_cpu": 5},
}


@pytest.mark.parametrize("change", BAD_TERMS.values(), ids=list(BAD_TERMS))
def test_terms_that_say_too_little_or_nonsense_are_refused(shared: World, change: dict[str, Any]) -> None:
    problem(shared.as_(SAMI).post("/v1/authorisations", shared.terms(**change)), 422, "malformed")


def test_a_dataset_that_is_not_there_is_named(shared: World) -> None:
    body = problem(shared.as_(SAMI).post("/v1/authorisations", shared.terms(datasets=["oncology/wdbc@9"])), 404)

    assert "oncology/wdbc@9" in body["detail"]


def test_a_run_inside_needs_no_further_approval_and_counts(authorised: World) -> None:
    job = good(authorised.as_(SAMI).post("/v1/trainings", authorised.training()))

    assert (job["kind"], job["state"], job["zone"]) == ("train", "queued", ZONE)
    assert good(authorised.as_(ADEL).get("/v1/authorisations"))["items"][0]["runs_used"] == 1
    assert authorised.kinds() == ["job.requested"]


OUTSIDE: dict[str, tuple[dict[str, Any], str]] = {
    "another purpose": ({"purpose": "marketing"}, "training/purpose"),
    "other code": ({"code_digest": digest("other code")}, "training/code"),
}


@pytest.mark.parametrize(("change", "rule"), OUTSIDE.values(), ids=list(OUTSIDE))
def test_a_run_outside_is_refused_with_the_term_that_it_breaks(
    shared: World, change: dict[str, Any], rule: str
) -> None:
    shared.told()
    body = problem(shared.as_(SAMI).post("/v1/trainings", shared.training(**change)), 403, "outside-authorisation")

    assert body["rule"] == rule
    assert body["legal_basis"] == "PDPL Art 5"
    assert body["certainty"] == "S"
    assert "another person approve it" in body["advice"]
    [event] = shared.refusals()
    assert event["kind"] == "training.refused"
    assert event["payload"]["members"]["rule"] == rule
    assert good(shared.as_(ADEL).get("/v1/authorisations"))["items"][0]["runs_used"] == 0


def refused_run(world: World, rule: str, **changes: Any) -> None:
    """Check that a run is refused by *rule*."""
    body = problem(world.as_(SAMI).post("/v1/trainings", world.training(**changes)), 403, "outside-authorisation")
    assert body.get("rule", "") == rule, body["detail"]


def test_a_run_on_another_dataset_is_refused(authorised: World) -> None:
    good(authorised.as_(DANA).post("/v1/datasets/oncology/other/versions", other_dataset(authorised)))
    authorised.agent.do(JobKind.INGEST)
    spec = {"entity": "patient", "features": [{"name": "mean_radius", "source": "mean_radius"}], "label": "malignant"}
    good(authorised.as_(SAMI).post("/v1/features/other/versions", {"dataset": "oncology/other@1", "spec": spec}))
    authorised.agent.do(JobKind.MATERIALISE)

    refused_run(authorised, "training/dataset", features="oncology/other@1")


def other_dataset(world: World) -> dict[str, Any]:
    """Return the body that ingests another file."""
    columns = [
        {"name": "patient", "type": "string"},
        {"name": "mean_radius", "type": "float64"},
        {"name": "malignant", "type": "int64"},
    ]
    contract = {"columns": columns, "tags": ["health.ae"]}
    return {"zone": ZONE, "source": world.place("other.csv", by=DANA), "contract": contract}


def test_a_run_for_a_model_of_another_namespace_is_refused(authorised: World) -> None:
    body = problem(
        authorised.as_(SAMI).post("/v1/trainings", authorised.training(model="cardiology/x")),
        403,
        "outside-authorisation",
    )

    assert "cardiology" in body["detail"]
    assert body["rule"] == "training/namespace"


def test_a_run_before_the_approval_is_refused(data: World) -> None:
    data.memory.authorisation = asked(data)

    refused_run(data, "training/not-approved")


def test_a_run_after_it_was_taken_back_is_refused(authorised: World) -> None:
    name = authorised.memory.authorisation
    good(authorised.as_(MONA).post(f"/v1/authorisations/{name}/revocation", BECAUSE))

    refused_run(authorised, "training/revoked")


def test_a_run_at_the_end_of_its_time_is_refused(data: World) -> None:
    ends = data.clock() + timedelta(days=30)
    data.memory.authorisation = data.authorise(ends_at=ends.isoformat())
    data.clock.forward(days=29)
    good(data.as_(SAMI).post("/v1/trainings", data.training()))
    data.clock.forward(days=1)

    refused_run(data, "training/ended")


def test_the_budget_ends(data: World) -> None:
    data.memory.authorisation = data.authorise(budget_runs=1)
    good(data.as_(SAMI).post("/v1/trainings", data.training()))

    refused_run(data, "training/budget-runs")


def test_the_budget_is_not_overdrawn_by_asking_at_once(data: World) -> None:
    data.memory.authorisation = data.authorise(budget_runs=2)
    sami = data.as_(SAMI)
    answers = data.together(*[lambda: sami.post("/v1/trainings", data.training())] * 6)

    assert sorted(answer.status_code for answer in answers) == [202, 202, 403, 403, 403, 403]
    assert data.sql("SELECT runs_used FROM training_authorisations") == [(2,)]


BAD_RUNS: dict[str, tuple[dict[str, Any], int]] = {
    "an unknown authorisation": ({"authorisation": "00000000-0000-0000-0000-000000000000"}, 404),
    "an authorisation that is no id": ({"authorisation": "mine"}, 404),
    "a NUL": ({"authorisation": "\x00"}, 404),
    "an unknown view": ({"features": "oncology/none@1"}, 404),
    "a model with a number": ({"model": "oncology/malignancy@1"}, 422),
    "a model that names nothing": ({"model": "oncology/a-"}, 422),
    "the whole data held out": ({"holdout_share": 1}, 422),
    "a seed out of range": ({"seed": 2**32}, 422),
    "a list as parameter": ({"parameters": {"depth": [1]}}, 422),
}


@pytest.mark.parametrize(("change", "status"), BAD_RUNS.values(), ids=list(BAD_RUNS))
def test_a_run_that_cannot_be_read_is_refused(shared: World, change: dict[str, Any], status: int) -> None:
    problem(shared.as_(SAMI).post("/v1/trainings", shared.training(**change)), status)


def test_the_run_carries_what_the_agent_must_check_and_sign(authorised: World) -> None:
    good(authorised.as_(SAMI).post("/v1/trainings", authorised.training(parameters={"depth": 3}, seed=7)))
    spec = authorised.agent.claim_a(JobKind.TRAIN)["spec"]

    assert spec["authorisation"] == authorised.memory.authorisation
    assert spec["code_digest"] == authorised.training()["code_digest"]
    assert (spec["parameters"], spec["seed"], spec["tags"]) == ({"depth": 3}, 7, ["health.ae"])
    assert spec["dataset"] == DATASET
    assert spec["dataset_digest"].startswith("sha256:")
