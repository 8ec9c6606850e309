# SPDX-License-Identifier: Apache-2.0
"""Revoking: who may, what is recorded, what stops, who may lift it, and what comes too late."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from khatim.errors import SignatureInvalid
from khatim.vocabulary import JobKind, Revoked
from registry.signing import revocation_list, statements
from tests.support.http import good, problem
from tests.support.people import ADEL, DANA, MONA, PAVEL, PETRA, SAMI, VERA
from tests.support.world import DATASET, MODEL, SPEC, VERSION, ZONE, World

WHERE = "/v1/revocations"
Body = dict[str, Any]


def asked(kind: str, target: str, **more: Any) -> Body:
    return {"kind": kind, "target": target, "because": "it was stolen", **more}


def agent_name(world: World) -> str:
    return f"agent/{ZONE}/{world.memory.agent.removeprefix('agent:')}"


def key_of(world: World) -> str:
    """Return the key that signed the data set's provenance, named by its place in the signature log."""
    bundle = json.loads(statement_of(world, f"dataset:{DATASET}")["bundle"])
    return f"log:{bundle['verificationMaterial']['tlogEntries'][0]['logIndex']}"


def statement_of(world: World, about: str, predicate: str = "%") -> Body:
    rows = world.sql(
        "SELECT id, digest, bundle FROM statements WHERE about = %s AND predicate_type LIKE %s ORDER BY signed_at",
        about,
        predicate,
    )
    return dict(zip(("id", "digest", "bundle"), map(str, rows[0]), strict=True))


def state(world: World) -> str:
    return str(good(world.as_(ADEL).get(f"/v1/deployments/{world.memory.deployment}"))["state"])


def signed(world: World) -> revocation_list.SignedList:
    answer = good(world.as_(ADEL).get(f"{WHERE}/list"))
    notary = world.parts.notary
    return revocation_list.read(answer["bundle"], notary.root, instance=notary.instance)


# --- may, may not, recorded ---


@pytest.mark.parametrize("who", [PETRA, MONA], ids=lambda one: one.name)
def test_officers_revoke_and_the_ledger_says_what_since_when_why_and_what_it_touched(serving: World, who: Any) -> None:
    row = good(serving.as_(who).post(WHERE, asked("identity", agent_name(serving), from_the_beginning=True)))
    [said] = [one for one in serving.told() if one["kind"] == "revocation.recorded"]

    assert (row["number"], row["since"], row["recorded_by"]) == (1, None, who.ref)
    assert row["target"] == f"spiffe://test.khatim/{agent_name(serving)}"
    assert said["actor"] == who.ref
    assert said["payload"]["because"] == "it was stolen"
    assert said["payload"]["since"] == "the beginning"
    assert f"version:{MODEL}@1" in said["payload"]["touched"]


@pytest.mark.parametrize("who", [SAMI, DANA, VERA, ADEL, PAVEL], ids=lambda one: one.name)
def test_who_may_not_revoke_is_refused_and_that_is_recorded(ready: World, who: Any) -> None:
    problem(ready.as_(who).post(WHERE, asked("identity", agent_name(ready))), 403, "forbidden")

    assert [event["actor"] for event in ready.refusals()] == [who.ref]
    assert good(ready.as_(ADEL).get(WHERE))["items"] == []


def test_the_platform_engineer_revokes_keys_and_nothing_else(ready: World) -> None:
    good(ready.as_(PAVEL).post(WHERE, asked("key", key_of(ready))))
    problem(ready.as_(PAVEL).post(WHERE, asked("artifact", f"{MODEL}@1")), 403, "forbidden")


def test_what_is_revoked_already_is_not_revoked_twice(ready: World) -> None:
    first = good(ready.as_(PETRA).post(WHERE, asked("artifact", f"{MODEL}@1")))
    second = good(ready.as_(MONA).post(WHERE, asked("artifact", first["target"])))
    further = good(ready.as_(MONA).post(WHERE, asked("artifact", first["target"], from_the_beginning=True)))

    assert first["id"] == second["id"]
    assert (further["number"], further["since"]) == (2, None)


@pytest.mark.parametrize(
    ("kind", "target", "status"),
    [
        ("statement", "0190d1f2-0000-7000-8000-000000000000", 404),
        ("statement", "sha256:" + "0" * 64, 404),
        ("key", "password", 422),
        ("key", "log:123456", 404),
        ("identity", "agent", 422),
        ("identity", "spiffe://other.khatim/agent/ae-health/a", 422),
        ("identity", "service/registry", 422),
        ("identity", "service/*", 422),
        ("artifact", "nonsense", 422),
        ("artifact", "oncology/nothing@9", 404),
        ("passport", "x", 422),
    ],
)
def test_a_target_that_means_nothing_is_refused_with_the_forms_that_do(
    ready: World, kind: str, target: str, status: int
) -> None:
    answer = ready.as_(PETRA).post(WHERE, asked(kind, target))

    assert answer.status_code == status, answer.text
    assert good(ready.as_(ADEL).get(WHERE))["items"] == []


def test_a_cut_off_in_the_future_is_refused(ready: World) -> None:
    later = (ready.clock() + timedelta(hours=1)).isoformat()
    body = problem(ready.as_(PETRA).post(WHERE, asked("artifact", f"{MODEL}@1", since=later)), 422, "malformed")

    assert body["advice"]


# --- lifting ---


def test_only_a_second_person_lifts_and_what_was_signed_between_stays_revoked(ready: World) -> None:
    since = ready.clock() - timedelta(hours=1)
    row = good(ready.as_(PETRA).post(WHERE, asked("identity", agent_name(ready), since=since.isoformat())))
    lifting = f"{WHERE}/{row['id']}/lifting"
    problem(ready.as_(PETRA).post(lifting, {"because": "a mistake"}), 403, "separation-of-duties")
    problem(ready.as_(PAVEL).post(lifting, {"because": "a mistake"}), 403, "forbidden")
    lifted = good(ready.as_(MONA).post(lifting, {"because": "the agent was not stolen"}))
    problem(ready.as_(MONA).post(lifting, {"because": "again"}), 409, "conflict")

    assert (lifted["number"], lifted["lifts"]) == (2, 1)
    assert "revocation.lifted" in ready.kinds()
    book = signed(ready).book
    name = f"spiffe://test.khatim/{agent_name(ready)}"
    assert book.bars(name, ready.clock()).holds
    assert not book.bars(name, since + timedelta(minutes=1)).holds
    report = good(ready.as_(SAMI).get(f"{VERSION}/gates/staging"))
    assert "version/signed" in {one["rule"] for one in report["unmet"]}


# --- the rows ---


@pytest.mark.parametrize("change", ["UPDATE revocations SET because = 'x'", "DELETE FROM revocations"])
def test_not_even_the_owner_changes_a_revocation(ready: World, change: str) -> None:
    good(ready.as_(PETRA).post(WHERE, asked("artifact", f"{MODEL}@1")))

    with pytest.raises(psycopg.errors.RestrictViolation):
        ready.sql(change)


@pytest.mark.parametrize("table", ["statements", "revocations"])
def test_the_service_adds_and_reads_and_does_no_more(ready: World, table: str) -> None:
    granted = ready.sql(
        "SELECT privilege_type FROM information_schema.role_table_grants WHERE grantee = 'khatim_service' "
        "AND table_name = %s ORDER BY 1",
        table,
    )

    assert [privilege for (privilege,) in granted] == ["INSERT", "SELECT"]


# --- the signed list ---


def test_the_signed_list_is_complete_numbered_and_dated(ready: World) -> None:
    before = signed(ready)
    good(ready.as_(PETRA).post(WHERE, asked("artifact", f"{MODEL}@1")))
    after = signed(ready)

    assert (before.number, after.number) == (0, 1)
    assert [one.kind for one in after.book.revocations] == [Revoked.ARTIFACT]
    assert after.is_fresh(ready.clock())
    assert not after.is_fresh(ready.clock() + timedelta(days=2))
    after.require_not_before(before)


def test_the_same_state_of_the_list_is_signed_once_an_hour(ready: World) -> None:
    first, second = signed(ready), signed(ready)
    ready.clock.forward(hours=1, minutes=1)
    third = signed(ready)

    assert first.issued_at == second.issued_at
    assert third.issued_at > first.issued_at
    assert third.number == first.number


def test_a_list_signed_by_anybody_else_is_none(ready: World) -> None:
    bundle = ready.agent.attest(statements.REVOCATIONS, [("revocations.json", "sha256:" + "1" * 64)], {"number": 0})

    with pytest.raises(SignatureInvalid):
        revocation_list.read(bundle, ready.parts.notary.root, instance="test")


# --- what stops ---


@pytest.mark.parametrize(
    "reach",
    [
        lambda _: asked("artifact", f"{MODEL}@1"),
        lambda world: asked("artifact", good(world.as_(ADEL).get(VERSION))["files"][0]["digest"]),
        lambda _: asked("artifact", f"dataset:{DATASET}"),
        lambda world: asked("identity", agent_name(world), from_the_beginning=True),
        lambda _: asked("identity", f"agent/{ZONE}/*", from_the_beginning=True),
        lambda _: asked("identity", f"person/{VERA.ref}", from_the_beginning=True),
        lambda world: asked("statement", statement_of(world, f"dataset:{DATASET}")["id"]),
        lambda world: asked("statement", statement_of(world, f"version:{MODEL}@1", "%approval%")["digest"]),
        lambda world: asked("key", key_of(world), from_the_beginning=True),
    ],
    ids=[
        "version",
        "file",
        "dataset",
        "agent",
        "every-agent",
        "approver",
        "statement-by-id",
        "statement-by-digest",
        "key",
    ],
)
def test_what_rests_on_it_stops_in_the_same_transaction(serving: World, reach: Any) -> None:
    preview = good(serving.as_(PETRA).post(f"{WHERE}/preview", reach(serving)))
    assert state(serving) == "serving"
    good(serving.as_(PETRA).post(WHERE, reach(serving)))

    assert preview["versions"] == [f"version:{MODEL}@1"]
    assert [one["id"] for one in preview["deployments"]] == [serving.memory.deployment]
    assert state(serving) == "stopped"
    told = good(serving.agent.api.get("/v1/agent/orders"))
    assert told["revocations"] == 1
    assert [(one["state"], "it was stolen" in one["because"]) for one in told["endpoints"]] == [("stopped", True)]


def test_what_holds_without_it_goes_on(serving: World) -> None:
    serving.clock.forward(seconds=2)
    good(serving.as_(PETRA).post(WHERE, asked("identity", agent_name(serving))))  # from now on only

    assert state(serving) == "serving"
    assert good(serving.as_(PETRA).post(f"{WHERE}/preview", asked("identity", f"person/{VERA.ref}")))["versions"] == []


def test_the_gate_stays_closed_to_revoked_bytes(approved: World) -> None:
    good(approved.as_(MONA).post(WHERE, asked("artifact", f"{MODEL}@1")))
    body = problem(
        approved.as_(SAMI).post(f"{VERSION}/promotions", {"to": "production", "because": "ready"}),
        403,
        "gate-not-satisfied",
    )

    assert "the version is revoked" in str(body["unmet"])


# --- what comes too late ---


def test_a_revoked_identitys_new_statement_is_refused_and_recorded(data: World) -> None:
    good(data.as_(DANA).post("/v1/features/other/versions", {"dataset": DATASET, "spec": SPEC}))
    job = data.agent.claim_a(JobKind.MATERIALISE)
    good(data.as_(PETRA).post(WHERE, asked("identity", agent_name(data))))
    data.told()
    body = problem(data.agent.complete(job), 403, "revoked-refused")

    assert "it was stolen" in body["detail"]
    assert body["advice"]
    [refused] = data.refusals()
    assert refused["payload"]["error"] == "revoked-refused"
    assert refused["actor"] == data.memory.agent


def test_a_revoked_agent_gets_no_work_but_still_learns_what_to_stop(data: World) -> None:
    good(data.as_(PETRA).post(WHERE, asked("identity", f"agent/{ZONE}/*")))
    problem(data.agent.api.post("/v1/agent/jobs/claim"), 403, "revoked-refused")

    assert good(data.agent.api.get("/v1/agent/orders"))["revocations"] == 1
    listed = good(data.agent.api.get("/v1/agent/revocations"))
    assert listed["number"] == 1


def test_work_on_revoked_bytes_is_called_off_refused_and_not_handed_out(data: World) -> None:
    asking = {"dataset": DATASET, "spec": SPEC}
    waiting = good(data.as_(SAMI).post("/v1/features/other/versions", asking))
    held = data.agent.claim_a(JobKind.MATERIALISE)
    good(data.as_(PETRA).post(WHERE, asked("artifact", f"dataset:{DATASET}")))

    assert good(data.as_(ADEL).get(f"/v1/jobs/{waiting['id']}"))["state"] == "cancelled"
    assert good(data.agent.heartbeat(held))["order"] == "cancel"
    problem(data.as_(SAMI).post("/v1/features/more/versions", asking), 403, "revoked-refused")
    assert data.agent.claim() is None


def test_a_job_that_was_queued_on_bytes_revoked_meanwhile_is_not_handed_out(data: World) -> None:
    waiting = good(data.as_(SAMI).post("/v1/features/other/versions", {"dataset": DATASET, "spec": SPEC}))
    good(data.as_(PETRA).post(WHERE, asked("artifact", f"dataset:{DATASET}")))
    # As if the request had been under way while the revocation committed.
    data.sql("UPDATE jobs SET state = 'queued', ended_at = NULL WHERE id = %s", waiting["id"])

    assert data.agent.claim() is None
    assert good(data.as_(ADEL).get(f"/v1/jobs/{waiting['id']}"))["state"] == "cancelled"


def test_no_ticket_is_issued_for_revoked_bytes_and_none_that_was_issued_is_honoured(data: World) -> None:
    digest = data.place("some model")
    asking = {"zone": ZONE, "digest": digest, "size": 100, "tags": ["health.ae"]}
    ticket = good(data.as_(SAMI).post("/v1/uploads", asking))
    good(data.as_(PETRA).post(WHERE, asked("artifact", digest)))

    problem(data.as_(SAMI).post("/v1/uploads", asking), 403, "revoked-refused")
    problem(
        data.as_(SAMI).post("/v1/downloads", {"zone": ZONE, "digest": digest, "to_zone": ZONE}), 403, "revoked-refused"
    )
    problem(data.agent.report(ticket), 403, "revoked-refused")


def test_an_agent_reports_that_it_took_an_endpoint_down(serving: World) -> None:
    serving.told()
    body = {"because": "the artifact is revoked", "number": 1}
    where = f"/v1/agent/deployments/{serving.memory.deployment}/halt"
    ended = good(serving.agent.api.post(where, body))
    good(serving.agent.api.post(where, body))

    assert (ended["state"], ended["because"]) == ("stopped", "the artifact is revoked")
    assert serving.kinds() == ["deployment.changed", "endpoint.halted", "endpoint.halted"]
