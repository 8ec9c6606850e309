# SPDX-License-Identifier: Apache-2.0
"""Approvals: signed, bound to bytes, by people who had no hand in it, each with one voice, until something changes."""

from __future__ import annotations

from typing import Any

import pytest

from khatim.vocabulary import Digest, JobKind, Role
from policies.facts import Binding
from registry.signing import statements
from tests.support.http import good, problem
from tests.support.people import ADEL, APPROVERS, DANA, MONA, PAVEL, PETRA, SAMI, VERA, person
from tests.support.world import DATASET, VERSION, ZONE, World

APPROVALS = f"{VERSION}/approvals"


def yes(role: Role = Role.VALIDATOR, **more: Any) -> dict[str, Any]:
    """Return the body that approves in *role*."""
    return {"role": role.value, "meaning": "I reviewed the evidence", **more}


def unmet(world: World, transition: str = "production") -> list[str]:
    """Return what the gate still asks for."""
    report = good(world.as_(SAMI).get(f"{VERSION}/gates/{transition}"))
    assert report["is_open"] == (not report["unmet"])
    return [one["rule"] for one in report["unmet"]]


def test_an_approval_is_bound_to_version_data_evidence_policy_zone_and_tier(evaluated: World) -> None:
    made = good(evaluated.as_(VERA).post(APPROVALS, yes(comment="the bias report is fine")))
    version = good(evaluated.as_(ADEL).get(VERSION))
    evidence = good(evaluated.as_(ADEL).get(f"{VERSION}/evidence"))["items"]
    dataset = good(evaluated.as_(ADEL).get("/v1/datasets/oncology/wdbc/versions/1"))

    assert Binding.parse(made["binding"]) == Binding.parse(
        {
            "transition": "production",
            "version": version["digest"],
            "datasets": [dataset["digest"]],
            "evidence": [one["digest"] for one in evidence if one["kind"] == "evaluation"],
            "policy": str(evaluated.parts.rules.digest),
            "zone": ZONE,
            "tier": 2,
        }
    )
    assert (made["approver"], made["role"], made["state"]) == (VERA.ref, "validator", "active")


def test_an_approval_is_a_signed_statement_about_the_files(evaluated: World) -> None:
    made = good(evaluated.as_(VERA).post(APPROVALS, yes()))
    node = good(evaluated.as_(ADEL).get(f"{VERSION}/lineage"))["items"][0]
    [statement] = [one for one in node["statements"] if one["predicate_type"] == statements.APPROVAL]
    files = good(evaluated.as_(ADEL).get(VERSION))["files"]
    subjects = [Digest.parse(file["digest"]) for file in files]
    verified = evaluated.parts.notary.check(statement["bundle"], statements.APPROVAL, subjects)

    assert verified.identity.endswith(f"/person/{VERA.ref}")
    assert verified.predicate["binding"] == made["binding"]
    assert verified.predicate["assurance"] == "server-attested"
    assert verified.predicate["meaning"] == "I reviewed the evidence"


def test_an_approval_is_recorded_without_its_comment(evaluated: World) -> None:
    good(evaluated.as_(VERA).post(APPROVALS, yes(comment="Patient Zero told me")))
    [event] = [one for one in evaluated.told() if one["kind"] == "approval.granted"]

    assert event["resource"] == "version:oncology/malignancy@1"
    assert event["payload"]["role"] == "validator"
    assert event["payload"]["comment_digest"] == str(Digest.of(b"Patient Zero told me"))
    assert "Patient" not in str(event)


def test_all_approvals_open_the_gate(evaluated: World) -> None:
    assert set(unmet(evaluated)) == {"production/model-risk", "production/privacy-officer", "production/validator"}
    evaluated.approve()

    assert unmet(evaluated) == []


def test_nobody_approves_in_a_role_that_they_do_not_hold(evaluated: World) -> None:
    body = problem(evaluated.as_(VERA).post(APPROVALS, yes(Role.PRIVACY_OFFICER)), 403, "forbidden")

    assert (body["rule"], body["role"]) == ("roles/held", "privacy-officer")
    assert evaluated.refusals()[0]["payload"]["action"] == "version.approve"


@pytest.mark.parametrize("who", [SAMI, DANA, PAVEL, ADEL], ids=lambda who: who.name)
def test_who_decides_on_nothing_does_not_approve(evaluated: World, who: Any) -> None:
    role = next(iter(who.roles))

    problem(evaluated.as_(who).post(APPROVALS, yes(role)), 403, "forbidden")


def test_who_asked_for_the_version_does_not_approve_it(evaluated: World) -> None:
    both = SAMI.also(Role.VALIDATOR)
    body = problem(evaluated.as_(both).post(APPROVALS, yes()), 403, "separation-of-duties")

    assert body["rule"] == "separation/requester"
    assert body["legal_basis"]
    assert body["advice"]
    [event] = evaluated.refusals()
    assert event["kind"] == "version.refused"
    assert event["payload"]["error"] == "separation-of-duties"
    assert event["actor"] == SAMI.ref


def test_who_brought_the_data_does_not_approve_what_was_made_from_it(evaluated: World) -> None:
    both = DANA.also(Role.VALIDATOR)
    body = problem(evaluated.as_(both).post(APPROVALS, yes()), 403, "separation-of-duties")

    assert body["rule"] == "separation/author"


def test_one_person_has_one_voice(evaluated: World) -> None:
    both = VERA.also(Role.MODEL_RISK_APPROVER)
    good(evaluated.as_(both).post(APPROVALS, yes()))
    body = problem(evaluated.as_(both).post(APPROVALS, yes(Role.MODEL_RISK_APPROVER)), 403, "separation-of-duties")

    assert body["rule"] == "separation/two-roles"


def test_one_person_has_one_voice_also_when_they_ask_at_once(evaluated: World) -> None:
    both = evaluated.as_(VERA.also(Role.MODEL_RISK_APPROVER))
    answers = evaluated.together(
        lambda: both.post(APPROVALS, yes()), lambda: both.post(APPROVALS, yes(Role.MODEL_RISK_APPROVER))
    )

    assert sorted(answer.status_code for answer in answers) == [201, 403]


def test_the_same_approval_twice_is_a_conflict(evaluated: World) -> None:
    good(evaluated.as_(VERA).post(APPROVALS, yes()))

    problem(evaluated.as_(VERA).post(APPROVALS, yes()), 409, "conflict")


def test_a_second_validator_may_approve_too(evaluated: World) -> None:
    good(evaluated.as_(VERA).post(APPROVALS, yes()))
    good(evaluated.as_(person("Victor", Role.VALIDATOR)).post(APPROVALS, yes()))

    assert "production/validator" not in unmet(evaluated)


def test_an_approval_ends_with_its_time(evaluated: World) -> None:
    for approver, role in APPROVERS:
        good(evaluated.as_(approver).post(APPROVALS, yes(role, valid_days=30)))
    assert unmet(evaluated) == []
    evaluated.clock.forward(days=31)

    assert {"production/model-risk", "production/privacy-officer", "production/validator"} <= set(unmet(evaluated))


def test_evidence_grows_old(approved: World) -> None:
    approved.clock.forward(days=91)

    assert unmet(approved) == ["production/evaluated"]


def test_new_evidence_voids_the_approvals_that_did_not_see_it(approved: World) -> None:
    assert unmet(approved) == []
    approved.evaluate()

    assert {"production/model-risk", "production/privacy-officer", "production/validator"} <= set(unmet(approved))
    approved.approve()
    assert unmet(approved) == []


def test_a_new_evaluation_that_fails_outweighs_the_one_that_passed(approved: World) -> None:
    good(approved.as_(VERA).post(f"{VERSION}/evaluations"))
    job = approved.agent.claim_a(JobKind.EVALUATE)
    low = {"value": 0.6, "low": 0.5, "high": 0.7}
    outcome = {"kind": "evaluate", **approved.agent.evaluated(job, auc=low, is_passed=False)}
    good(approved.agent.complete(job, outcome))

    assert {"production/evaluated", "production/health-discrimination"} <= set(unmet(approved))


def test_a_waiting_version_can_be_approved_but_does_not_pass(data: World) -> None:
    body = {"zone": ZONE, "files": [{"path": "m.onnx", "digest": data.place("m"), "size": 100}]}
    good(data.as_(SAMI).post("/v1/models/oncology/malignancy/versions", {**body, "parents": [f"dataset:{DATASET}"]}))
    data.as_(VERA).post(APPROVALS, yes())

    assert {"version/scanned", "version/signed", "version/lineage", "production/evaluated"} <= set(unmet(data))


def test_an_approval_of_a_version_that_is_not_there_is_refused(evaluated: World) -> None:
    problem(evaluated.as_(VERA).post("/v1/models/oncology/malignancy/versions/9/approvals", yes()), 404, "not-found")


BAD: dict[str, dict[str, Any]] = {
    "no meaning": {"meaning": "  "},
    "an unknown role": {"role": "king"},
    "no days": {"valid_days": 0},
    "too many days": {"valid_days": 1097},
    "a comment that is too long": {"comment": "x" * 5001},
    "a NUL in the comment": {"comment": "a\x00b"},
    "a NUL in the meaning": {"meaning": "yes\x00"},
}


@pytest.mark.parametrize("change", BAD.values(), ids=list(BAD))
def test_an_approval_that_cannot_be_read_is_refused(evaluated: World, change: dict[str, Any]) -> None:
    problem(evaluated.as_(VERA).post(APPROVALS, {**yes(), **change}), 422, "malformed")

    assert evaluated.sql("SELECT count(*) FROM approvals") == [(0,)]


def test_approvals_are_listed_with_what_they_are_bound_to(approved: World) -> None:
    listed = good(approved.as_(ADEL).get(APPROVALS))["items"]

    assert {one["approver"] for one in listed} == {VERA.ref, PETRA.ref, MONA.ref}
    assert all(one["binding"]["zone"] == ZONE for one in listed)


def test_another_policy_voids_every_approval(approved: World) -> None:
    # The policy's digest stands in the binding: what the approvers approved under is what must rule.
    approved.sql("UPDATE approvals SET binding = jsonb_set(binding, '{policy}', %s::jsonb)", f'"{Digest.of(b"old")}"')

    assert {"production/model-risk", "production/privacy-officer", "production/validator"} <= set(unmet(approved))


def test_an_approval_that_was_written_into_the_database_does_not_count(evaluated: World) -> None:
    good(evaluated.as_(VERA).post(APPROVALS, yes()))
    evaluated.sql("UPDATE approvals SET approver = 'p-mona', role = 'model-risk-approver'")

    assert "production/model-risk" in unmet(evaluated)


# -- taken back --


def given(world: World, role: str = "validator") -> str:
    found = good(world.as_(ADEL).get(f"{VERSION}/approvals"))["items"]
    return str(next(one["id"] for one in found if one["role"] == role))


def test_who_takes_their_approval_back_closes_the_gate_again(approved: World) -> None:
    path = f"{VERSION}/approvals/{given(approved)}/withdrawal"
    because = {"because": "I overlooked the subgroup"}
    problem(approved.as_(PETRA).post(path, because), 404, "not-found")
    problem(approved.as_(SAMI).post(path, because), 403, "forbidden")
    approved.told()
    assert good(approved.as_(VERA).post(path, because))["state"] == "revoked"
    assert approved.kinds() == ["approval.withdrawn"]
    problem(approved.as_(VERA).post(path, because), 409, "conflict")
    body = {"to": "production", "because": "all approvals are in"}
    refused = problem(approved.as_(SAMI).post(f"{VERSION}/promotions", body), 403, "gate-not-satisfied")

    assert [one["rule"] for one in refused["unmet"]] == ["production/validator"]


def test_what_serves_by_an_approval_that_is_taken_back_stops_and_stays_down(serving: World) -> None:
    because = {"because": "I overlooked the subgroup"}
    good(serving.as_(VERA).post(f"{VERSION}/approvals/{given(serving)}/withdrawal", because))
    where = f"/v1/deployments/{serving.memory.deployment}"
    assert good(serving.as_(ADEL).get(where))["state"] == "stopped"
    [finding] = good(serving.as_(MONA).get("/v1/findings"))["items"]
    assert finding["kind"] == "approval-withdrawn"
    good(serving.as_(MONA).post(f"/v1/findings/{finding['id']}/resolution", {"because": "it is answered for"}))

    assert good(serving.as_(ADEL).get(where))["state"] == "stopped"
    good(serving.as_(VERA).post(f"{VERSION}/approvals", {"role": "validator", "meaning": "I looked again"}))
    serving.deploy()


def test_an_approval_too_many_may_be_taken_back_without_consequence(serving: World) -> None:
    other = person("Vito", Role.VALIDATOR)
    good(serving.as_(other).post(f"{VERSION}/approvals", {"role": "validator", "meaning": "so do I"}))
    path = f"{VERSION}/approvals/{given(serving)}/withdrawal"
    good(serving.as_(VERA).post(path, {"because": "I am leaving"}))

    assert good(serving.as_(ADEL).get(f"/v1/deployments/{serving.memory.deployment}"))["state"] == "serving"
    assert good(serving.as_(ADEL).get("/v1/findings"))["items"] == []
