# SPDX-License-Identifier: Apache-2.0
"""Enrolment: one token, one agent, one zone, a short life."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from khatim import tokens
from khatim.errors import TokenExpired
from registry.signing import possession
from tests.support.http import good, problem
from tests.support.people import ADEL, DANA, PAVEL
from tests.support.world import ABROAD, ONSHORE, ZONE, World

ENROL = "/v1/agent/enrolment"
BODY = {"name": "a1", "door": "http://127.0.0.1:9", "proof": "x.y.z"}
RENEW = {"door": "http://127.0.0.1:9"}
BECAUSE = {"because": "the machine was sold"}


def body_for(world: World, voucher: str) -> dict[str, Any]:
    """Return what an agent sends to redeem *voucher*, with the proof by its own key."""
    return {**BODY, "proof": world.proof(voucher)}


def test_an_invitation_is_shown_once_and_only_its_id_is_recorded(world: World) -> None:
    made = good(world.as_(PAVEL).post("/v1/agents/invitations", {"zone": ZONE, "ttl_s": 60}))
    claims = tokens.read(
        made["token"], world.parts.issuer.key.public_key(), audience="khatim", at=world.clock(), kind="enrolment"
    )
    event = world.told()[-1]

    assert (made["zone"], claims["zone"]) == (ZONE, ZONE)
    assert claims["exp"] - claims["iat"] == 60
    assert event["kind"] == "agent.invited"
    assert event["payload"]["token"] == claims["jti"]
    assert made["token"] not in str(event)


def test_those_who_run_no_machines_invite_no_agents(world: World) -> None:
    for who in (DANA, ADEL):
        problem(world.as_(who).post("/v1/agents/invitations", {"zone": ZONE}), 403, "forbidden")


def test_a_zone_that_nobody_knows_gets_no_agent(world: World) -> None:
    body = problem(world.as_(PAVEL).post("/v1/agents/invitations", {"zone": "mars"}), 404, "not-found")

    assert "zones.yaml" in body["advice"]


@pytest.mark.parametrize("body", [{}, {"zone": "A"}, {"zone": ZONE, "ttl_s": 9}, {"zone": ZONE, "ttl_s": 86_401}])
def test_an_invitation_that_cannot_be_read_is_refused(world: World, body: dict[str, Any]) -> None:
    problem(world.as_(PAVEL).post("/v1/agents/invitations", body), 422, "malformed")


def test_the_token_makes_an_agent_of_its_zone_with_a_short_life(world: World) -> None:
    token = world.invite()
    world.told()
    identity = good(world.bearer(token).post(ENROL, body_for(world, token)))
    key = tokens.public_key(identity["token_key"])
    claims = tokens.read(identity["token"], key, audience="khatim", at=world.clock(), kind="agent")
    [event] = world.told()

    assert (identity["zone"], claims["zone"], claims["sub"]) == (ZONE, ZONE, identity["agent"])
    assert claims["exp"] - claims["iat"] == 900
    assert identity["trusted_root"]["mediaType"].startswith("application/vnd.dev.sigstore.trustedroot")
    assert event["kind"] == "agent.enrolled"
    assert event["resource"] == identity["agent"]
    assert event["actor"].startswith("enrolment:")


def test_a_token_is_redeemed_once(world: World) -> None:
    token = world.invite()
    good(world.bearer(token).post(ENROL, body_for(world, token)))
    body = problem(world.bearer(token).post(ENROL, body_for(world, token)), 401, "link-used")

    assert "tell your platform engineer" in body["advice"]
    assert world.sql("SELECT count(*) FROM agents") == [(1,)]


def test_a_token_is_redeemed_once_also_when_used_at_once(world: World) -> None:
    token = world.invite()
    api, body = world.bearer(token), body_for(world, token)
    answers = world.together(*[lambda: api.post(ENROL, body)] * 5)

    assert sorted(answer.status_code for answer in answers) == [201, 401, 401, 401, 401]
    assert world.sql("SELECT count(*) FROM agents") == [(1,)]


def test_a_lost_answer_does_not_lose_the_agent(world: World) -> None:
    token = world.invite()
    api, body = world.bearer(token), body_for(world, token)
    first = good(api.post(ENROL, body, key="k"))
    again = good(api.post(ENROL, body, key="k"))

    assert first["agent"] == again["agent"]


def test_a_token_that_has_expired_makes_no_agent(world: World) -> None:
    token = world.invite(ttl_s=60)
    world.clock.forward(seconds=70)
    body = problem(world.bearer(token).post(ENROL, BODY), 401, "token-expired")

    assert "Ask for a new one" in body["advice"]


def test_a_zone_in_the_body_does_not_change_the_zone_of_the_token(world: World) -> None:
    body = problem(world.bearer(world.invite()).post(ENROL, {**BODY, "zone": ABROAD}), 422, "malformed")

    assert "body.zone" in body["detail"]


@pytest.mark.parametrize(
    "door", ["", "ftp://x", "http://", "http://a b", "javascript:alert(1)", "http://a/b", "x" * 301]
)
def test_a_door_that_is_no_address_is_refused(world: World, door: str) -> None:
    problem(world.bearer(world.invite()).post(ENROL, {**BODY, "door": door}), 422, "malformed")


def test_a_person_or_an_agent_cannot_enrol(enrolled: World) -> None:
    for api in (enrolled.as_(PAVEL), enrolled.agent.api):
        problem(api.post(ENROL, BODY), 401, "unauthenticated")


def test_an_identity_is_renewed_while_it_holds(enrolled: World) -> None:
    enrolled.clock.forward(minutes=10)
    renewed = good(enrolled.agent.api.post("/v1/agent/identity", RENEW))

    assert renewed["agent"] == enrolled.memory.agent
    assert datetime.fromisoformat(renewed["expires_at"]) > enrolled.clock() + timedelta(minutes=14)


def test_an_identity_that_has_expired_is_not_renewed(enrolled: World) -> None:
    token = enrolled.agent_token(enrolled.memory.agent)
    enrolled.clock.forward(minutes=16)

    problem(enrolled.bearer(token).post("/v1/agent/identity", RENEW), 401, "token-expired")


def returning(world: World, *, key: Ed25519PrivateKey, at: datetime | None = None, other: str = "") -> httpx.Response:
    """Ask for a new identity with one that ended an hour ago, by the proof of *key*."""
    token = world.agent_token(world.memory.agent, seconds=-3600)
    proof = possession.prove_renewal(key, other or token, world.parts.issuer.issuer, at or world.clock())
    return world.bearer(token).call("POST", "/v1/agent/identity", RENEW, headers={possession.HEADER: proof})


def test_an_agent_that_was_away_comes_back_by_its_own_key(enrolled: World) -> None:
    renewed = good(returning(enrolled, key=enrolled.agent.key))

    assert renewed["agent"] == enrolled.memory.agent
    good(enrolled.bearer(renewed["token"]).get("/v1/agent/orders"))


def test_by_another_key_an_old_proof_or_one_for_another_token_nobody_comes_back(enrolled: World) -> None:
    own = enrolled.agent.key
    problem(returning(enrolled, key=Ed25519PrivateKey.generate()), 401, "unauthenticated")
    problem(returning(enrolled, key=own, at=enrolled.clock() - timedelta(minutes=5)), 401, "unauthenticated")
    problem(returning(enrolled, key=own, other=enrolled.agent_token(enrolled.memory.agent)), 401, "unauthenticated")


def test_the_proof_opens_nothing_but_the_renewal(enrolled: World) -> None:
    token = enrolled.agent_token(enrolled.memory.agent, seconds=-3600)
    proof = possession.prove_renewal(enrolled.agent.key, token, enrolled.parts.issuer.issuer, enrolled.clock())
    answer = enrolled.bearer(token).call("GET", "/v1/agent/orders", headers={possession.HEADER: proof})

    problem(answer, 401, "token-expired")


def test_a_retired_agent_and_one_that_was_away_too_long_do_not_come_back(enrolled: World) -> None:
    token = enrolled.agent_token(enrolled.memory.agent)
    enrolled.clock.forward(days=31)
    proof = possession.prove_renewal(enrolled.agent.key, token, enrolled.parts.issuer.issuer, enrolled.clock())
    answer = enrolled.bearer(token).call("POST", "/v1/agent/identity", RENEW, headers={possession.HEADER: proof})
    problem(answer, 401, "token-expired")
    good(enrolled.as_(PAVEL).post(f"/v1/agents/{enrolled.memory.agent.removeprefix('agent:')}/retirement", BECAUSE))

    problem(returning(enrolled, key=enrolled.agent.key), 403, "forbidden")


def test_an_agent_whose_key_is_not_known_enrols_anew(enrolled: World) -> None:
    enrolled.sql("UPDATE agents SET key = ''")
    body = problem(returning(enrolled, key=enrolled.agent.key), 401, "unauthenticated")

    assert "Enrol it anew" in body["advice"]


def test_a_zone_that_the_agent_was_not_enrolled_in_is_refused(enrolled: World) -> None:
    # Signed by the registry's own key, but not what stands in its tables.
    elsewhere = enrolled.agent_of(enrolled.memory.agent, ONSHORE)

    problem(elsewhere.api.post("/v1/agent/jobs/claim"), 403, "forbidden")


def test_an_agent_that_never_was_is_refused(enrolled: World) -> None:
    for ref in ("agent:00000000-0000-0000-0000-000000000000", "agent:x", "agent:"):
        problem(enrolled.agent_of(ref).api.post("/v1/agent/jobs/claim"), 403, "forbidden")


# -- people see them, and end them --


def test_agents_are_listed_with_when_they_were_heard_of(enrolled: World) -> None:
    enrolled.agent.claim()
    [agent] = good(enrolled.as_(ADEL).get("/v1/agents"))["items"]

    assert (agent["zone"], agent["state"], agent["door"]) == (ZONE, "active", "http://127.0.0.1:9")
    assert datetime.fromisoformat(agent["seen_at"]) <= enrolled.clock()


def test_a_retired_agent_is_refused_from_that_moment_on(enrolled: World) -> None:
    name = enrolled.memory.agent.removeprefix("agent:")
    enrolled.told()
    retired = good(enrolled.as_(PAVEL).post(f"/v1/agents/{name}/retirement", BECAUSE))

    assert retired["state"] == "retired"
    [event] = enrolled.told()
    assert (event["kind"], event["payload"]) == ("agent.retired", BECAUSE)
    for path in ("/v1/agent/jobs/claim", "/v1/agent/identity"):
        problem(enrolled.agent.api.post(path, RENEW), 403, "forbidden")
    problem(enrolled.agent.api.get("/v1/agent/orders"), 403, "forbidden")
    problem(enrolled.as_(PAVEL).post(f"/v1/agents/{name}/retirement", BECAUSE), 409, "conflict")


def test_those_who_run_no_machines_retire_none(enrolled: World) -> None:
    name = enrolled.memory.agent.removeprefix("agent:")

    problem(enrolled.as_(DANA).post(f"/v1/agents/{name}/retirement", BECAUSE), 403, "forbidden")


@pytest.mark.parametrize("name", ["x", "00000000-0000-0000-0000-000000000000", "%00", "agent:1"])
def test_an_agent_that_is_not_there_is_not_found(enrolled: World, name: str) -> None:
    problem(enrolled.as_(PAVEL).post(f"/v1/agents/{name}/retirement", BECAUSE), 404, "not-found")


def test_uploads_go_to_the_newest_active_agent_of_the_zone(enrolled: World) -> None:
    second = enrolled.enrol()
    enrolled.sql("UPDATE agents SET door = 'http://second:9' WHERE id = %s", second.ref.removeprefix("agent:"))
    body = {"zone": ZONE, "digest": "sha256:" + "0" * 64, "size": 1, "tags": ["health.ae"]}
    assert good(enrolled.as_(DANA).post("/v1/uploads", body))["door"] == "http://second:9"
    name = second.ref.removeprefix("agent:")
    good(enrolled.as_(PAVEL).post(f"/v1/agents/{name}/retirement", BECAUSE))

    assert good(enrolled.as_(DANA).post("/v1/uploads", body))["door"] == "http://127.0.0.1:9"


def test_an_expired_token_says_so_and_a_bent_one_does_not(world: World) -> None:
    token = world.invite()
    key = world.parts.issuer.key.public_key()
    with pytest.raises(TokenExpired):
        tokens.read(token, key, audience="khatim", at=world.clock() + timedelta(hours=1), kind="enrolment")
