# SPDX-License-Identifier: Apache-2.0
"""Programs: what they hold was given by two people, what they do counts as their sponsor's, and they decide nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from gateway.programs import Program, _both
from khatim.errors import Misconfigured
from khatim.vocabulary import EVERYWHERE, Actor, ActorKind, Assignment, Role, matches
from policies.loading import PolicyBundle
from registry.service_accounts import PREFIX
from registry.signing.published_keys import PublishedKeys
from tests.registry.test_accounts import YES
from tests.support.http import Api, good, problem
from tests.support.people import ADEL, MONA, NOUR, OMAR, PAVEL, SAMI, VERA, Person, person
from tests.support.world import MODEL, VERSION, ZONE, World

ACCOUNTS = "/v1/service-accounts"
CI = f"{ACCOUNTS}/ci-oncology"
BECAUSE = {"because": "the pipeline needs it"}
BODY = {"name": "ci-oncology", "sponsor": VERA.ref, "purpose": "registers what the pipeline built"}
ISSUER = "https://gitlab.example"
ALL = person("All", *(role for role in Role if role not in {Role.AGENT, Role.AUDITOR}))


def opened(world: World, **changes: Any) -> str:
    """Open the account; return its reference."""
    good(world.as_(VERA).get("/v1/whoami"))  # whom nobody knows answers for nothing
    return str(good(world.as_(NOUR).post(ACCOUNTS, {**BODY, **changes}))["ref"])


def gave(world: World, ref: str, role: str = "data-scientist", **scope: str) -> None:
    """Let a program hold a role on record, by two people."""
    asked = good(
        world.as_(NOUR).post("/v1/access/roles", {"subject": ref, "role": role, "days": 30, **BECAUSE, **scope})
    )
    good(world.as_(OMAR).post(f"/v1/access/roles/{asked['id']}/approval", BECAUSE))
    world.clock.forward(seconds=3)


def token(world: World, by: Person = VERA, **body: Any) -> str:
    """Issue a token and return it."""
    return str(good(world.as_(by).post(f"{CI}/tokens", body))["token"])


def program(world: World, **scope: Any) -> Api:
    """Return the API as a program sees it that may do what data scientists do."""
    gave(world, opened(world))
    return world.bearer(token(world, **scope))


def test_a_program_holds_nothing_until_two_people_gave_it_something(evaluated: World) -> None:
    ref = opened(evaluated)
    evaluated.told()
    api = evaluated.bearer(token(evaluated))
    me = good(api.get("/v1/whoami"))

    assert (me["ref"], me["kind"], me["roles"]) == ("service-account:ci-oncology", "service-account", [])
    problem(api.get(VERSION), 404, "not-found")
    gave(evaluated, ref)
    assert good(api.get(VERSION))["number"] == 1
    kinds = [one["kind"] for one in evaluated.told()]
    assert kinds[:1] == ["service_token.issued"]
    assert {"role.requested", "role.approved"} <= set(kinds)


def test_what_it_does_stands_under_its_own_name_and_its_sponsor_does_not_approve_it(evaluated: World) -> None:
    api = program(evaluated)
    good(api.put(f"/v1/models/{MODEL}/aliases/candidate", {"number": 1}))
    assert evaluated.told()[-1]["actor"] == "service-account:ci-oncology"
    good(evaluated.as_(VERA).post(f"{VERSION}/approvals", YES))  # nothing of this version is the program's
    evaluated.sql("UPDATE model_versions SET registered_by = 'service-account:ci-oncology'")

    refused = problem(evaluated.as_(VERA).post(f"{VERSION}/approvals", {**YES, "meaning": "again"}), 403)
    assert refused["rule"] == "separation/requester"
    good(evaluated.as_(NOUR).post(f"{CI}/closure", BECAUSE))
    problem(evaluated.as_(VERA).post(f"{VERSION}/approvals", {**YES, "meaning": "again"}), 403, "separation-of-duties")


@pytest.mark.parametrize("role", ["validator", "privacy-officer", "model-risk-approver", "access-administrator"])
def test_what_people_decide_no_program_holds(world: World, role: str) -> None:
    ref = opened(world)
    body = {"subject": ref, "role": role, "days": 3, **BECAUSE}

    refused = problem(world.as_(NOUR).post("/v1/access/roles", body), 403, "assignment-refused")
    assert refused["rule"] == "assignments/program"
    with pytest.raises(Misconfigured, match="never a program"):
        PolicyBundle.of_files({"assignments.yaml": f"service_accounts: [{role}]\n"})


def test_nothing_is_signed_in_the_name_of_a_program(evaluated: World) -> None:
    ref = opened(evaluated)
    evaluated.parts.authenticator.standings._known[ref, frozenset()] = (
        evaluated.clock(), frozenset({Assignment(Role.VALIDATOR, evaluated.clock.far())})
    )  # fmt: skip
    refused = problem(evaluated.bearer(token(evaluated)).post(f"{VERSION}/approvals", YES), 403, "separation-of-duties")

    assert refused["rule"] == "service-accounts/people-decide"


def test_its_sponsor_does_not_give_it_a_role(world: World) -> None:
    good(world.as_(OMAR).get("/v1/whoami"))
    ref = opened(world, sponsor=OMAR.ref)
    asked = good(world.as_(NOUR).post("/v1/access/roles", {"subject": ref, "role": "auditor", "days": 3, **BECAUSE}))

    refused = problem(world.as_(OMAR).post(f"/v1/access/roles/{asked['id']}/approval", BECAUSE), 403)
    assert refused["rule"] == "assignments/beneficiary"


@pytest.mark.parametrize("who", [SAMI, PAVEL, ADEL, MONA])
def test_who_neither_answers_for_it_nor_manages_accounts_gets_no_token(world: World, who: Person) -> None:
    opened(world)

    problem(world.as_(who).post(ACCOUNTS, {**BODY, "name": "mine"}), 403, "forbidden")
    problem(world.as_(who).post(f"{CI}/tokens", {}), 403, "forbidden")
    problem(world.as_(who).post(f"{CI}/closure", BECAUSE), 403, "forbidden")
    good(world.as_(NOUR).post(f"{CI}/tokens", {}))


def test_a_token_is_shown_once_and_only_its_hash_is_kept(world: World) -> None:
    opened(world)
    shown = world.as_(VERA).call("POST", f"{CI}/tokens", {}, key="again").json()["token"]
    listed = good(world.as_(VERA).get(f"{CI}/tokens"))["items"]

    assert shown.startswith(PREFIX)
    assert "token" not in listed[0]
    assert shown[-64:] not in str(world.sql("SELECT * FROM service_tokens"))
    assert shown[-64:].encode() not in b"".join(row[0] or b"" for row in world.sql("SELECT body FROM answers"))
    assert shown[-64:] not in str(world.told())


def test_a_token_ends_by_time_by_hand_with_its_account_and_with_its_sponsor(world: World) -> None:
    def refused(given: str) -> None:
        world.clock.forward(seconds=3)
        problem(world.bearer(given).get("/v1/whoami"), 401, "unauthenticated")

    opened(world)
    short, by_hand, other = token(world, days=1), token(world), token(world)
    ids = {one["expires_at"]: one["id"] for one in good(world.as_(VERA).get(f"{CI}/tokens"))["items"]}
    world.clock.forward(days=1)
    refused(short)
    good(world.bearer(by_hand).get("/v1/whoami"))
    for name in ids.values():
        if by_hand[len(PREFIX) :].startswith(name.replace("-", "")):
            good(world.as_(VERA).post(f"{CI}/tokens/{name}/revocation", BECAUSE))
    refused(by_hand)
    good(world.as_(NOUR).post(f"/v1/people/{VERA.ref}/suspension", BECAUSE))
    refused(other)
    good(world.as_(OMAR).post(f"/v1/people/{VERA.ref}/restoration", BECAUSE))
    world.clock.forward(seconds=3)
    good(world.bearer(other).get("/v1/whoami"))
    good(world.as_(NOUR).post(f"{CI}/closure", BECAUSE))
    refused(other)
    problem(world.as_(NOUR).post(ACCOUNTS, BODY), 409, "conflict")


SPOILT: dict[str, Callable[[str], str]] = {
    "another secret": lambda one: one[:-1] + ("0" if one[-1] != "0" else "1"),
    "cut short": lambda one: one[:60],
    "nothing": lambda _: PREFIX,
    "no digits": lambda _: f"{PREFIX}zz",
    "capitals": lambda one: one.upper(),
}


@pytest.mark.parametrize("spoil", SPOILT)
def test_a_token_that_is_not_right_opens_nothing(world: World, spoil: str) -> None:
    opened(world)

    problem(world.bearer(SPOILT[spoil](token(world))).get("/v1/whoami"), 401, "unauthenticated")


def test_a_token_reaches_no_further_than_it_was_kept_to(evaluated: World) -> None:
    ref = opened(evaluated)
    gave(evaluated, ref, "data-scientist")
    gave(evaluated, ref, "platform-engineer")

    def may(role: str, **scope: Any) -> bool:
        api = evaluated.bearer(token(evaluated, **scope))
        if role == "data-scientist":
            return bool(api.put(f"/v1/models/{MODEL}/aliases/candidate", {"number": 1}).is_success)
        return bool(api.post("/v1/agents/invitations", {"zone": ZONE}).is_success)

    assert may("data-scientist")
    assert may("platform-engineer")
    assert may("data-scientist", roles=["data-scientist"])
    assert not may("platform-engineer", roles=["data-scientist"])
    assert may("data-scientist", namespaces=["onco*"])
    assert not may("data-scientist", namespaces=["lab*"])
    assert not may("data-scientist", namespaces=["onco"])


@given(*[st.sampled_from(["*", "a*", "ab*", "ab", "a", "abc", "b", "b*"])] * 2, st.text("abc", min_size=1, max_size=4))
def test_two_patterns_together_mean_what_both_mean(one: str, other: str, name: str) -> None:
    both = _both(one, other)

    assert (both is not None and matches(name, both)) == (matches(name, one) and matches(name, other))


def test_a_token_that_is_kept_to_nothing_held_holds_nothing(world: World) -> None:
    held = {Assignment(Role.AUDITOR, world.clock.far(), namespace="lab")}

    assert Program("x", "p", namespaces=frozenset({"onco*"})).keeps(held) == frozenset()
    assert Actor("x", ActorKind.SERVICE_ACCOUNT).reach(world.clock()) == frozenset()
    assert Actor("x", ActorKind.SERVICE).reach(world.clock()) == EVERYWHERE


def test_a_sponsor_is_somebody_who_is_known(world: World) -> None:
    problem(world.as_(NOUR).post(ACCOUNTS, {**BODY, "sponsor": "p-stranger"}), 404, "not-found")


# -- pipelines --


@pytest.fixture
def pipeline(evaluated: World) -> World:
    """Return a world where an issuer's tokens may open an account, which they are told apart for by two claims."""
    evaluated.parts.authenticator.rules = PolicyBundle.of_files({"sign_in.yaml": f"pipelines: [{ISSUER}]\n"}).sign_in
    key = rsa.generate_private_key(65537, 2048)
    evaluated.key = key  # type: ignore[attr-defined]  # for this module's own use
    public = {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())), "kid": "one", "use": "sig"}

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("openid-configuration"):
            return httpx.Response(200, json={"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys"})
        return httpx.Response(200, json={"keys": [public]})

    http = httpx.Client(transport=httpx.MockTransport(handle))
    evaluated.parts.authenticator.programs._keys[ISSUER] = PublishedKeys(ISSUER, http)
    return evaluated


RULE = {"issuer": ISSUER, "audience": "khatim-ci", "claims": {"project_path": "health/onco*", "ref_protected": "true"}}


def open_pipeline(world: World, name: str = "ci-oncology", **changes: Any) -> str:
    """Open an account for a pipeline, past the policy that the routes ask (which names no issuer)."""
    ref = opened(world, name=name)
    said = {**RULE, **changes}
    world.sql(
        "UPDATE service_accounts SET issuer = %s, audience = %s, claims = %s::jsonb WHERE name = %s",
        said["issuer"], said["audience"], json.dumps(said["claims"]), name,
    )  # fmt: skip
    world.clock.forward(seconds=3)
    return ref


def ci(world: World, **changes: Any) -> Api:
    """Return the API for a pipeline's own token."""
    at = int(world.clock().timestamp())
    body = {"iss": ISSUER, "aud": "khatim-ci", "sub": "project_path:health/oncology", "iat": at, "exp": at + 300,
            "project_path": "health/oncology", "ref_protected": True, **changes}  # fmt: skip
    said = {name: value for name, value in body.items() if value is not None}
    return world.bearer(jwt.encode(said, world.key, "RS256", headers={"kid": "one"}))  # type: ignore[attr-defined]


def test_a_pipeline_shows_its_own_token_and_no_secret_is_kept_anywhere(pipeline: World) -> None:
    gave(pipeline, open_pipeline(pipeline))
    me = good(ci(pipeline).get("/v1/whoami"))

    assert (me["ref"], me["kind"]) == ("service-account:ci-oncology", "service-account")
    good(ci(pipeline).put(f"/v1/models/{MODEL}/aliases/candidate", {"number": 1}))


@pytest.mark.parametrize(
    "changes",
    [
        {"project_path": "finance/oncology"}, {"project_path": None}, {"project_path": ["health/oncology"]},
        {"ref_protected": False}, {"ref_protected": "True"}, {"aud": "elsewhere"}, {"exp": 1}, {"sub": None},
        {"iss": "https://evil.example"},
    ],
)  # fmt: skip
def test_a_pipeline_that_says_anything_else_opens_nothing(pipeline: World, changes: dict[str, Any]) -> None:
    gave(pipeline, open_pipeline(pipeline))

    problem(ci(pipeline, **changes).get("/v1/whoami"), 401, "unauthenticated")


def test_a_token_that_could_be_two_programs_is_nobodys(pipeline: World) -> None:
    open_pipeline(pipeline)
    open_pipeline(pipeline, "other", claims={"ref_protected": "true"})

    assert "several" in problem(ci(pipeline).get("/v1/whoami"), 401, "unauthenticated")["detail"]


def test_an_issuer_that_the_policy_does_not_name_opens_nothing(pipeline: World) -> None:
    good(pipeline.as_(VERA).get("/v1/whoami"))
    problem(pipeline.as_(NOUR).post(ACCOUNTS, {**BODY, **RULE}), 422, "malformed")
    open_pipeline(pipeline)
    pipeline.parts.authenticator.rules = pipeline.parts.rules.sign_in

    problem(ci(pipeline).get("/v1/whoami"), 401, "unauthenticated")


@pytest.mark.parametrize("left", ["issuer", "audience", "claims"])
def test_half_a_pipeline_is_refused(world: World, left: str) -> None:
    good(world.as_(VERA).get("/v1/whoami"))
    body = {name: value for name, value in {**BODY, **RULE}.items() if name != left}

    problem(world.as_(NOUR).post(ACCOUNTS, body), 422, "malformed")
