# SPDX-License-Identifier: Apache-2.0
"""Monitors: drift opens a finding; what follows is policy, and a person's word ends it."""

from __future__ import annotations

from typing import Any

import pytest

from khatim.vocabulary import JobKind
from tests.support.http import good, problem
from tests.support.people import ADEL, DANA, MONA, PAVEL, PETRA, SAMI
from tests.support.world import MODEL, VERSION, ZONE, World

BECAUSE = {"because": "the scanner was recalibrated"}


def watch(world: World, *, is_drift: bool, deployment: str = "") -> dict[str, Any]:
    """Run a monitor; return the ended job."""
    good(world.as_(PAVEL).post(f"/v1/deployments/{deployment or world.memory.deployment}/monitor-runs"))
    job = world.agent.claim_a(JobKind.MONITOR)
    ended: dict[str, Any] = good(
        world.agent.complete(job, {"kind": "monitor", **world.agent.monitored(job, is_drift=is_drift)})
    )
    return ended


def findings(world: World) -> list[dict[str, Any]]:
    """Return every finding, newest first."""
    listed: list[dict[str, Any]] = good(world.as_(ADEL).get("/v1/findings"))["items"]
    return listed


def state(world: World, name: str = "") -> str:
    """Return the state of a deployment."""
    return str(good(world.as_(ADEL).get(f"/v1/deployments/{name or world.memory.deployment}"))["state"])


def approvals(world: World) -> set[str]:
    """Return the states of the version's approvals."""
    return {one["state"] for one in good(world.as_(ADEL).get(f"{VERSION}/approvals"))["items"]}


def resolve(world: World, number: int = 0) -> dict[str, Any]:
    """Resolve a finding."""
    name = findings(world)[number]["id"]
    resolved: dict[str, Any] = good(world.as_(MONA).post(f"/v1/findings/{name}/resolution", BECAUSE))
    return resolved


# -- asking --


def test_a_monitor_run_is_a_job_with_the_model_s_reference(serving: World) -> None:
    good(serving.as_(PAVEL).post(f"/v1/deployments/{serving.memory.deployment}/monitor-runs"))
    spec = serving.agent.claim_a(JobKind.MONITOR)["spec"]

    assert spec["deployment"] == serving.memory.deployment
    assert spec["reference"].startswith("sha256:")
    assert spec["features"] == ["mean_radius", "mean_texture"]


def test_those_who_watch_nothing_are_refused(serving: World) -> None:
    for who in (SAMI, DANA, MONA):
        path = f"/v1/deployments/{serving.memory.deployment}/monitor-runs"
        problem(serving.as_(who).post(path), 403, "forbidden")


def test_what_does_not_serve_is_not_watched(serving: World) -> None:
    where = f"/v1/deployments/{serving.memory.deployment}"
    good(serving.as_(PAVEL).post(f"{where}/stop", BECAUSE))

    problem(serving.as_(PAVEL).post(f"{where}/monitor-runs"), 409, "conflict")


# -- what is seen --


def test_a_run_without_drift_opens_nothing_and_is_recorded(serving: World) -> None:
    ended = watch(serving, is_drift=False)
    [ran] = [one for one in serving.told() if one["kind"] == "monitor.ran"]

    assert ended["outcome"]["made"].startswith("monitor-run:")
    assert (ran["payload"]["is_drift"], ran["payload"]["engines"]) == (False, ["scipy"])
    assert findings(serving) == []
    assert state(serving) == "serving"


def test_the_shipped_policy_warns_when_there_is_nothing_to_fall_back_to(serving: World) -> None:
    watch(serving, is_drift=True)
    [finding] = findings(serving)

    assert (finding["state"], finding["consequence"], finding["kind"]) == ("open", "warn", "drift")
    assert finding["details"]["features"] == ["mean_radius"]
    assert "mean_radius" not in finding["summary"]
    assert state(serving) == "serving"
    assert approvals(serving) == {"active"}


def test_the_shipped_policy_falls_back_to_another_version_that_serves(serving: World) -> None:
    good(serving.as_(SAMI).post("/v1/trainings", serving.training()))
    serving.agent.do(JobKind.TRAIN)
    serving.agent.do(JobKind.SCAN)
    second = f"/v1/models/{MODEL}/versions/2"
    serving.evaluate(second)
    serving.approve(second)
    serving.promote(second)
    newer = serving.deploy(f"{MODEL}@2")
    watch(serving, is_drift=True, deployment=newer)

    assert findings(serving)[0]["consequence"] == "fall-back"
    assert (state(serving, newer), state(serving)) == ("suspended", "serving")
    because = good(serving.as_(ADEL).get(f"/v1/deployments/{newer}"))["because"]
    assert "version:oncology/malignancy@1 answers instead" in because


def test_the_demo_s_policy_suspends_approvals_and_endpoint_and_names_the_finding(demo: World) -> None:
    watch(demo, is_drift=True)
    [finding] = findings(demo)
    deployment = good(demo.as_(ADEL).get(f"/v1/deployments/{demo.memory.deployment}"))

    assert finding["consequence"] == "suspend"
    assert approvals(demo) == {"suspended"}
    assert (deployment["state"], deployment["finding_id"]) == ("suspended", finding["id"])
    [order] = good(demo.agent.api.get("/v1/agent/orders"))["endpoints"]
    assert (order["state"], order["finding"]) == ("suspended", finding["id"])
    assert finding["id"] in order["because"]
    kinds = demo.kinds()
    assert kinds[-5:] == ["monitor.ran", "finding.opened", "approvals.changed", "deployment.changed", "job.ended"]


def test_a_suspended_version_is_neither_promoted_nor_deployed(demo: World) -> None:
    watch(demo, is_drift=True)
    body = problem(
        demo.as_(PAVEL).post("/v1/deployments", {"version": f"{MODEL}@1", "zone": ZONE}), 403, "gate-not-satisfied"
    )

    assert {"deploy/not-suspended", "deploy/still-approved"} <= {one["rule"] for one in body["unmet"]}
    gate = good(demo.as_(SAMI).get(f"{VERSION}/gates/production"))
    assert "production/no-findings" in {one["rule"] for one in gate["unmet"]}


# -- what ends it --


def test_a_person_s_word_restores_approvals_and_endpoint(demo: World) -> None:
    watch(demo, is_drift=True)
    resolved = resolve(demo)

    assert (resolved["state"], resolved["resolved_by"]) == ("resolved", MONA.ref)
    assert resolved["resolved_because"] == BECAUSE["because"]
    assert approvals(demo) == {"active"}
    assert state(demo) == "serving"
    [order] = good(demo.agent.api.get("/v1/agent/orders"))["endpoints"]
    assert (order["state"], order["finding"]) == ("serving", "")
    assert demo.kinds()[-3:] == ["finding.resolved", "approvals.changed", "deployment.changed"]


def test_a_finding_is_resolved_once_and_by_those_who_may(demo: World) -> None:
    watch(demo, is_drift=True)
    name = findings(demo)[0]["id"]
    for who in (SAMI, PAVEL, PETRA, ADEL):
        problem(demo.as_(who).post(f"/v1/findings/{name}/resolution", BECAUSE), 403, "forbidden")
    resolve(demo)

    problem(demo.as_(MONA).post(f"/v1/findings/{name}/resolution", BECAUSE), 409, "conflict")


def test_what_was_revoked_meanwhile_does_not_serve_again(demo: World) -> None:
    watch(demo, is_drift=True)
    good(demo.as_(PETRA).post(f"{VERSION}/revocation", {"because": "consent was withdrawn"}))
    resolve(demo)

    assert state(demo) == "stopped"


def test_one_of_two_findings_resolved_is_not_all_resolved(demo: World) -> None:
    where = f"/v1/deployments/{demo.memory.deployment}/monitor-runs"
    for _ in range(2):
        good(demo.as_(PAVEL).post(where))
    for _ in range(2):
        job = demo.agent.claim_a(JobKind.MONITOR)
        good(demo.agent.complete(job, {"kind": "monitor", **demo.agent.monitored(job, is_drift=True)}))
    assert len(findings(demo)) == 2
    resolve(demo, 1)
    assert (state(demo), approvals(demo)) == ("suspended", {"suspended"})
    resolve(demo, 0)

    assert (state(demo), approvals(demo)) == ("serving", {"active"})


def test_a_deployment_that_was_suspended_before_it_began_does_not_claim_to_serve(demo: World) -> None:
    other = good(demo.as_(PAVEL).post("/v1/deployments", {"version": f"{MODEL}@1", "zone": ZONE}))["id"]
    job = demo.agent.claim_a(JobKind.DEPLOY)
    watch(demo, is_drift=True)
    assert state(demo, other) == "refused"
    problem(demo.agent.complete(job), 409, "conflict")
    resolve(demo)

    assert state(demo, other) == "refused"


def test_a_person_who_approves_while_it_is_suspended_does_not_lift_the_suspension(demo: World) -> None:
    watch(demo, is_drift=True)
    demo.approve()
    gate = good(demo.as_(SAMI).get(f"{VERSION}/gates/deploy"))

    assert "deploy/not-suspended" in {one["rule"] for one in gate["unmet"]}
    assert state(demo) == "suspended"


# -- what cannot be read --


@pytest.mark.parametrize(
    "results",
    [[{}], [{"engine": "scipy"}], [{"engine": "scipy", "is_drift": "yes", "drifted": []}], [1], None],
)
def test_results_that_cannot_be_read_are_refused(serving: World, results: object) -> None:
    good(serving.as_(PAVEL).post(f"/v1/deployments/{serving.memory.deployment}/monitor-runs"))
    job = serving.agent.claim_a(JobKind.MONITOR)

    problem(serving.agent.complete(job, {"kind": "monitor", "results": results, "captured": 1}), 422, "malformed")


@pytest.mark.parametrize("name", ["x", "00000000-0000-0000-0000-000000000000"])
def test_a_finding_that_is_not_there_is_not_found(serving: World, name: str) -> None:
    problem(serving.as_(ADEL).get(f"/v1/findings/{name}"), 404, "not-found")
    problem(serving.as_(MONA).post(f"/v1/findings/{name}/resolution", BECAUSE), 404, "not-found")
