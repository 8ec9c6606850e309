# SPDX-License-Identifier: Apache-2.0
"""Promotion: a gate says everything that is unmet, its refusal is recorded, and what bars it cannot be talked over."""

from __future__ import annotations

import pytest

from khatim.vocabulary import JobKind
from tests.support.agents import file
from tests.support.http import good, problem
from tests.support.people import ADEL, DANA, MONA, PETRA, SAMI, VERA
from tests.support.world import DATASET, MODEL, VERSION, ZONE, World

PROMOTE = f"{VERSION}/promotions"


def to(stage: str) -> dict[str, str]:
    """Return the body that asks for a stage."""
    return {"to": stage, "because": "all approvals are in"}


def test_a_gate_that_is_closed_names_everything_that_is_unmet(evaluated: World) -> None:
    body = problem(evaluated.as_(SAMI).post(PROMOTE, to("production")), 403, "gate-not-satisfied")

    assert body["transition"] == "production"
    assert body["policy"] == str(evaluated.parts.rules.digest)
    assert {one["rule"] for one in body["unmet"]} == {
        "production/validator",
        "production/privacy-officer",
        "production/model-risk",
    }
    assert "production/evaluated" in body["met"]
    assert all(one["legal_basis"] and one["certainty"] and one["advice"] for one in body["unmet"])
    assert "Ask a privacy officer." in body["advice"]


def test_a_refused_promotion_stands_in_the_ledger(evaluated: World) -> None:
    problem(evaluated.as_(SAMI).post(PROMOTE, to("production")), 403)
    [event] = evaluated.refusals()

    assert event["kind"] == "version.refused"
    assert event["resource"] == "version:oncology/malignancy@1"
    assert event["payload"]["action"] == "version.promote"
    assert event["payload"]["error"] == "gate-not-satisfied"
    assert len(event["payload"]["members"]["unmet"]) == 3
    assert good(evaluated.as_(ADEL).get(VERSION))["stage"] == "none"


def test_an_open_gate_lets_it_through_and_that_is_recorded(approved: World) -> None:
    promoted = good(approved.as_(SAMI).post(PROMOTE, to("production")))
    [event] = approved.told()

    assert promoted["stage"] == "production"
    assert event["kind"] == "version.promoted"
    assert event["payload"] == {
        "assurance": "independent",
        "before": "none",
        "because": "all approvals are in",
        "gate": "production",
        "policy": str(approved.parts.rules.digest),
        "to": "production",
    }


def test_it_is_promoted_once(production: World) -> None:
    problem(production.as_(SAMI).post(PROMOTE, to("production")), 409, "conflict")


def test_two_who_promote_at_once_promote_it_once(approved: World) -> None:
    sami = approved.as_(SAMI)
    answers = approved.together(*[lambda: sami.post(PROMOTE, to("production"))] * 4)

    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    assert approved.kinds().count("version.promoted") == 1


@pytest.mark.parametrize("who", [DANA, VERA, MONA, ADEL], ids=lambda who: who.name)
def test_it_is_promoted_by_those_who_may(approved: World, who: object) -> None:
    problem(approved.as_(who).post(PROMOTE, to("production")), 403, "forbidden")  # type: ignore[arg-type]  # a Person


def test_nothing_goes_back_to_the_beginning(production: World) -> None:
    answer = production.as_(SAMI).post(PROMOTE, to("none"))

    assert answer.status_code in (409, 422), answer.text
    assert good(production.as_(ADEL).get(VERSION))["stage"] == "production"


@pytest.mark.parametrize("stage", ["", "PRODUCTION", "deploy", None, 1])
def test_a_stage_that_is_none_is_refused(ready: World, stage: object) -> None:
    problem(ready.as_(SAMI).post(PROMOTE, {"to": stage, "because": "because"}), 422, "malformed")


def test_a_version_goes_by_staging_to_production_and_to_the_archive(approved: World) -> None:
    sami = approved.as_(SAMI)
    for stage in ("staging", "production", "archived"):
        assert good(sami.post(PROMOTE, to(stage)))["stage"] == stage
    problem(sami.post(PROMOTE, to("production")), 403, "gate-not-satisfied")


def test_a_revoked_version_goes_nowhere(approved: World) -> None:
    good(approved.as_(PETRA).post(f"{VERSION}/revocation", {"because": "consent was withdrawn"}))
    for stage in ("staging", "production"):
        body = problem(approved.as_(SAMI).post(PROMOTE, to(stage)), 403, "gate-not-satisfied")
        assert "version/not-revoked" in {one["rule"] for one in body["unmet"]}


def test_a_pickle_is_never_promoted_and_the_advice_says_how_to_convert_it(data: World) -> None:
    pickle = file("model.pkl", "pickle")
    data.place("pickle")
    body = {"zone": ZONE, "files": [pickle], "parents": [f"dataset:{DATASET}"]}
    good(data.as_(SAMI).post(f"/v1/models/{MODEL}/versions", body))
    data.agent.do(JobKind.SCAN)
    assert good(data.as_(ADEL).get(VERSION))["status"] == "READY"
    for stage in ("staging", "production"):
        refused = problem(data.as_(SAMI).post(PROMOTE, to(stage)), 403, "format-refused")
        assert "ONNX" in refused["advice"] or "safetensors" in refused["advice"], refused["advice"]
    assert {event["payload"]["error"] for event in data.refusals()} == {"format-refused"}


def test_a_lineage_that_somebody_bent_closes_the_gate(approved: World) -> None:
    approved.sql("UPDATE statements SET bundle = replace(bundle, 'a', 'b') WHERE about LIKE 'dataset:%%'")
    body = problem(approved.as_(SAMI).post(PROMOTE, to("production")), 403, "gate-not-satisfied")

    assert "version/lineage" in {one["rule"] for one in body["unmet"]}


def test_a_signature_that_was_revoked_closes_the_gate(approved: World) -> None:
    [[digest]] = approved.sql(
        "SELECT digest FROM statements WHERE predicate_type = 'https://model_signing/signature/v1.0'"
    )
    good(
        approved.as_(PETRA).post(
            "/v1/revocations", {"kind": "statement", "target": digest, "because": "signed by mistake"}
        )
    )
    body = problem(approved.as_(SAMI).post(PROMOTE, to("production")), 403, "gate-not-satisfied")

    assert "version/signed" in {one["rule"] for one in body["unmet"]}


def test_a_manifest_that_somebody_bent_closes_the_gate(approved: World) -> None:
    approved.sql(
        "UPDATE model_versions SET manifest = jsonb_set(manifest, '{files,0,digest}', %s::jsonb)",
        '"sha256:' + "0" * 64 + '"',
    )
    body = problem(approved.as_(SAMI).post(PROMOTE, to("production")), 403, "gate-not-satisfied")

    assert "version/signed" in {one["rule"] for one in body["unmet"]}


def test_the_gate_says_the_same_as_the_refusal_and_decides_nothing(evaluated: World) -> None:
    report = good(evaluated.as_(DANA).get(f"{VERSION}/gates/production"))
    refused = problem(evaluated.as_(SAMI).post(PROMOTE, to("production")), 403)

    assert report["unmet"] == refused["unmet"]
    assert [one["rule"] for one in report["met"]] == refused["met"]
    assert len(evaluated.told()) == 1


def test_the_gate_of_another_zone_asks_about_that_zone(production: World) -> None:
    here = good(production.as_(SAMI).get(f"{VERSION}/gates/deploy"))
    abroad = good(production.as_(SAMI).get(f"{VERSION}/gates/deploy?zone=ext-de"))

    assert here["is_open"]
    assert {"version/residency", "deploy/still-approved"} <= {one["rule"] for one in abroad["unmet"]}


@pytest.mark.parametrize("gate", ["nothing", "none", "PRODUCTION"])
def test_a_gate_that_is_none_is_refused(ready: World, gate: str) -> None:
    problem(ready.as_(SAMI).get(f"{VERSION}/gates/{gate}"), 422, "malformed")
