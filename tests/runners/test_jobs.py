# SPDX-License-Identifier: Apache-2.0
"""Leases and fences: a job runs at least once, its result counts exactly once, and nobody waits for ever."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from audit.canonical import canonical
from khatim import tokens
from khatim.vocabulary import Digest, JobKind
from tests.support.agents import digest
from tests.support.http import good, problem
from tests.support.people import ADEL, DANA, PAVEL, SAMI
from tests.support.world import CONTRACT, MODEL, ONSHORE, VERSION, ZONE, World

INGEST = "/v1/datasets/oncology/wdbc/versions"
BECAUSE = {"because": "asked by mistake"}


def asked(world: World, count: int = 1) -> list[str]:
    """Ask for ingests; return the ids of the jobs."""
    source = world.place("wdbc.csv", by=DANA)
    body = {"zone": ZONE, "source": source, "contract": CONTRACT}
    made = [good(world.as_(DANA).post(INGEST, body))["id"] for _ in range(count)]
    world.told()
    return made


def job(world: World, name: str) -> dict[str, Any]:
    """Return a job as people see it."""
    found: dict[str, Any] = good(world.as_(ADEL).get(f"/v1/jobs/{name}"))
    return found


# -- claiming --


def test_a_claim_gives_the_oldest_job_under_a_lease_and_a_fence(enrolled: World) -> None:
    first, _ = asked(enrolled, 2)
    work = enrolled.agent.claim_a(JobKind.INGEST)
    [event] = enrolled.told()

    assert (work["id"], work["fence"]) == (first, 1)
    assert datetime.fromisoformat(work["lease_until"]) > enrolled.clock()
    assert job(enrolled, first)["state"] == "leased"
    assert event["kind"] == "job.claimed"
    assert event["payload"] == {"agent": enrolled.memory.agent, "attempt": 1, "fence": 1}


def test_what_is_urgent_goes_first(ready: World) -> None:
    good(ready.as_(SAMI).post("/v1/trainings", ready.training()))
    body = {"zone": ZONE, "files": [{"path": "m.onnx", "digest": digest("wdbc.csv"), "size": 100}]}
    good(ready.as_(SAMI).post("/v1/models/oncology/other/versions", body))

    assert ready.agent.claim_a(JobKind.SCAN)
    assert ready.agent.claim_a(JobKind.TRAIN)


def test_the_envelope_binds_job_zone_fence_and_specification(enrolled: World) -> None:
    asked(enrolled)
    work = enrolled.agent.claim_a(JobKind.INGEST)
    key = enrolled.parts.issuer.key.public_key()
    claims = tokens.read(work["envelope"], key, audience=f"zone:{ZONE}", at=enrolled.clock(), kind="job")

    assert (claims["sub"], claims["fence"], claims["job_kind"]) == (work["id"], 1, "ingest")
    assert claims["agent"] == enrolled.memory.agent
    assert claims["spec"] == str(Digest.of(canonical(work["spec"])))


def test_two_agents_never_hold_one_job(enrolled: World) -> None:
    names = asked(enrolled, 3)
    second = enrolled.enrol()
    answers = enrolled.together(
        *[lambda: enrolled.agent.api.post("/v1/agent/jobs/claim"), lambda: second.api.post("/v1/agent/jobs/claim")] * 3
    )
    held = [answer.json()["id"] for answer in answers if answer.json()]

    assert sorted(held) == sorted(names)


def test_an_agent_of_another_zone_gets_nothing(enrolled: World) -> None:
    asked(enrolled)

    assert enrolled.enrol(ONSHORE).claim() is None


# -- heartbeats and fences --


def test_a_heartbeat_renews_the_lease(enrolled: World) -> None:
    asked(enrolled)
    work = enrolled.agent.claim_a(JobKind.INGEST)
    enrolled.expire_leases()
    lease = good(enrolled.agent.heartbeat(work))

    assert lease["order"] == "continue"
    assert enrolled.enrol().claim() is None
    assert enrolled.sql("SELECT lease_until > now() FROM leases") == [(True,)]


def test_a_heartbeat_is_no_event(enrolled: World) -> None:
    asked(enrolled)
    work = enrolled.agent.claim_a(JobKind.INGEST)
    enrolled.told()
    good(enrolled.agent.heartbeat(work))

    assert enrolled.told() == []


@pytest.mark.parametrize("fence", [0, 2, -1, 2**62])
def test_another_fence_is_stale(enrolled: World, fence: int) -> None:
    asked(enrolled)
    work = {**enrolled.agent.claim_a(JobKind.INGEST), "fence": fence}
    for answer in (enrolled.agent.heartbeat(work), enrolled.agent.complete(work), enrolled.agent.fail(work)):
        body = problem(answer, 409, "stale-fence")
        assert body["fence"] == 1
        assert "throw its result away" in body["advice"]


def test_another_agent_does_not_complete_what_this_one_holds(enrolled: World) -> None:
    asked(enrolled)
    work = enrolled.agent.claim_a(JobKind.INGEST)
    second = enrolled.enrol()

    problem(second.complete(work), 409, "stale-fence")
    problem(second.heartbeat(work), 409, "stale-fence")


def test_an_agent_of_another_zone_does_not_even_see_the_job(enrolled: World) -> None:
    asked(enrolled)
    work = enrolled.agent.claim_a(JobKind.INGEST)
    elsewhere = enrolled.enrol(ONSHORE)

    problem(elsewhere.complete(work), 404, "not-found")
    problem(elsewhere.api.get(f"/v1/agent/jobs/{work['id']}"), 404, "not-found")


# -- leases that run out --


def test_a_lease_that_runs_out_lets_another_agent_have_the_job_under_a_new_fence(enrolled: World) -> None:
    [name] = asked(enrolled)
    enrolled.agent.claim_a(JobKind.INGEST)
    enrolled.told()
    assert enrolled.enrol().claim() is None  # not yet
    enrolled.expire_leases()
    second = enrolled.enrol()
    work = second.claim_a(JobKind.INGEST)

    assert (work["id"], work["fence"]) == (name, 2)
    assert job(enrolled, name)["attempts"] == 2
    assert [kind for kind in enrolled.kinds() if kind.startswith("job.")] == ["job.requeued", "job.claimed"]


def test_a_zombie_that_completes_late_is_refused_and_the_result_is_kept_once(enrolled: World) -> None:
    [name] = asked(enrolled)
    zombie = enrolled.agent.claim_a(JobKind.INGEST)
    enrolled.expire_leases()
    second = enrolled.enrol()
    work = second.claim_a(JobKind.INGEST)
    problem(enrolled.agent.complete(zombie), 409, "stale-fence")
    good(second.complete(work))
    problem(enrolled.agent.complete(zombie), 409, "stale-fence")

    assert enrolled.sql("SELECT count(*) FROM dataset_versions") == [(1,)]
    assert (job(enrolled, name)["state"], job(enrolled, name)["agent"]) == ("done", second.ref)


def test_an_agent_whose_lease_ran_out_may_still_complete_while_nobody_else_has_the_job(enrolled: World) -> None:
    asked(enrolled)
    work = enrolled.agent.claim_a(JobKind.INGEST)
    enrolled.expire_leases()

    good(enrolled.agent.complete(work))


def test_two_completions_at_once_keep_one_result(enrolled: World) -> None:
    asked(enrolled)
    work = enrolled.agent.claim_a(JobKind.INGEST)
    outcome = enrolled.agent.outcome_of(work)
    answers = enrolled.together(*[lambda: enrolled.agent.complete(work, outcome)] * 4)

    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    assert enrolled.sql("SELECT count(*) FROM dataset_versions") == [(1,)]


def test_a_job_is_given_up_after_three_attempts(enrolled: World) -> None:
    [name] = asked(enrolled)
    for _ in range(3):
        enrolled.agent.claim_a(JobKind.INGEST)
        enrolled.expire_leases()
    assert enrolled.agent.claim() is None
    ended = job(enrolled, name)

    assert (ended["state"], ended["attempts"]) == ("failed", 3)
    assert "gave up after 3 attempts" in ended["error"]
    assert enrolled.kinds()[-1] == "job.ended"


# -- failures --


def test_a_failure_ends_the_job_with_its_problem(enrolled: World) -> None:
    [name] = asked(enrolled)
    work = enrolled.agent.claim_a(JobKind.INGEST)
    body = {"fence": 1, "error": "12 of 20 rows are bad", "problem": {"type": "x", "ratio": 0.6}}
    good(enrolled.agent.api.post(f"/v1/agent/jobs/{work['id']}/failure", body))
    ended = job(enrolled, name)

    assert (ended["state"], ended["error"]) == ("failed", "12 of 20 rows are bad")
    assert ended["outcome"] == {"problem": {"type": "x", "ratio": 0.6}}
    assert enrolled.sql("SELECT count(*) FROM leases") == [(0,)]


def test_a_failure_that_may_pass_puts_the_job_back_until_attempts_are_used_up(enrolled: World) -> None:
    [name] = asked(enrolled)
    for attempt in (1, 2, 3):
        work = enrolled.agent.claim_a(JobKind.INGEST)
        assert work["fence"] == attempt
        good(enrolled.agent.fail(work, "the disk was full", retry=True))
    assert enrolled.agent.claim() is None

    assert job(enrolled, name)["state"] == "failed"


def test_a_scan_that_cannot_be_done_fails_the_registration(ready: World) -> None:
    good(ready.as_(SAMI).post("/v1/trainings", ready.training()))
    ready.agent.do(JobKind.TRAIN)
    good(ready.agent.fail(ready.agent.claim_a(JobKind.SCAN), "the blob is gone"))
    version = good(ready.as_(ADEL).get(f"/v1/models/{MODEL}/versions/2"))

    assert version["status"] == "FAILED_REGISTRATION"
    assert version["status_message"] == "not scanned: the blob is gone"
    assert ready.kinds()[-1] == "version.scanned"


# -- cancelling --


def test_a_job_is_cancelled_before_and_while_it_runs_by_those_who_may(enrolled: World) -> None:
    waiting, _ = asked(enrolled, 2)
    path = f"/v1/jobs/{waiting}/cancellation"
    problem(enrolled.as_(DANA).post(path, BECAUSE), 403, "forbidden")
    cancelled = good(enrolled.as_(PAVEL).post(path, BECAUSE))

    assert (cancelled["state"], cancelled["error"]) == ("cancelled", BECAUSE["because"])
    problem(enrolled.as_(PAVEL).post(path, BECAUSE), 409, "conflict")
    work = enrolled.agent.claim_a(JobKind.INGEST)
    assert work["id"] != waiting
    good(enrolled.as_(PAVEL).post(f"/v1/jobs/{work['id']}/cancellation", BECAUSE))
    assert good(enrolled.agent.heartbeat(work))["order"] == "cancel"
    problem(enrolled.agent.complete(work), 409, "stale-fence")
    assert enrolled.sql("SELECT count(*) FROM dataset_versions") == [(0,)]


def test_a_cancelled_job_is_not_given_out_again(enrolled: World) -> None:
    asked(enrolled)
    work = enrolled.agent.claim_a(JobKind.INGEST)
    good(enrolled.as_(PAVEL).post(f"/v1/jobs/{work['id']}/cancellation", BECAUSE))
    enrolled.expire_leases()

    assert enrolled.agent.claim() is None


def test_a_cancelled_deployment_does_not_wait_for_ever(production: World) -> None:
    asked_for = good(production.as_(PAVEL).post("/v1/deployments", {"version": f"{MODEL}@1", "zone": ZONE}))
    [name] = [one["id"] for one in good(production.as_(ADEL).get("/v1/jobs"))["items"] if one["kind"] == "deploy"]
    good(production.as_(PAVEL).post(f"/v1/jobs/{name}/cancellation", BECAUSE))
    found = good(production.as_(ADEL).get(f"/v1/deployments/{asked_for['id']}"))

    assert (found["state"], found["because"]) == ("refused", "cancelled: asked by mistake")


def test_a_cancelled_scan_fails_the_registration(ready: World) -> None:
    good(ready.as_(SAMI).post("/v1/trainings", ready.training()))
    ready.agent.do(JobKind.TRAIN)
    work = ready.agent.claim_a(JobKind.SCAN)
    good(ready.as_(PAVEL).post(f"/v1/jobs/{work['id']}/cancellation", BECAUSE))

    assert good(ready.as_(ADEL).get(f"/v1/models/{MODEL}/versions/2"))["status"] == "FAILED_REGISTRATION"


# -- what cannot be read --


def test_a_job_does_not_end_with_the_outcome_of_another_kind(enrolled: World) -> None:
    asked(enrolled)
    work = enrolled.agent.claim_a(JobKind.INGEST)
    outcome = {"kind": "monitor", "results": [], "captured": 0}

    assert "ingest" in problem(enrolled.agent.complete(work, outcome), 422, "malformed")["detail"]


BAD: dict[str, dict[str, Any]] = {
    "nothing": {},
    "no kind": {"fence": 1, "outcome": {}},
    "an unknown kind": {"fence": 1, "outcome": {"kind": "dance"}},
    "no statement": {"fence": 1, "outcome": {"kind": "ingest", "report": {}}},
    "no fence": {"outcome": {"kind": "monitor", "results": [], "captured": 0}},
    "a fence of letters": {"fence": "x", "outcome": {"kind": "monitor", "results": [], "captured": 0}},
}


@pytest.mark.parametrize("body", BAD.values(), ids=list(BAD))
def test_a_completion_that_cannot_be_read_is_refused(ready: World, body: dict[str, Any]) -> None:
    good(ready.as_(SAMI).post(f"{VERSION}/evaluations"))
    work = ready.agent.claim_a(JobKind.EVALUATE)

    problem(ready.agent.api.post(f"/v1/agent/jobs/{work['id']}/completion", body), 422, "malformed")


@pytest.mark.parametrize("name", ["x", "%00", "00000000-0000-0000-0000-000000000000"])
def test_a_job_that_is_not_there_is_not_found(enrolled: World, name: str) -> None:
    problem(enrolled.agent.api.post(f"/v1/agent/jobs/{name}/heartbeat", {"fence": 1}), 404, "not-found")
    problem(enrolled.as_(PAVEL).post(f"/v1/jobs/{name}/cancellation", BECAUSE), 404, "not-found")


def test_an_error_that_is_too_long_is_refused(enrolled: World) -> None:
    asked(enrolled)

    problem(enrolled.agent.fail(enrolled.agent.claim_a(JobKind.INGEST), "x" * 8001), 422, "malformed")


def test_jobs_are_listed_newest_first_and_page_by_page(enrolled: World) -> None:
    names = asked(enrolled, 3)
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = good(enrolled.as_(ADEL).get(f"/v1/jobs?limit=2&cursor={cursor}"))
        seen += [one["id"] for one in page["items"]]
        cursor = page["next"]

    assert seen == names[::-1]
