# SPDX-License-Identifier: Apache-2.0
"""Who asks: only what the installation's own key signed, for this audience, of this kind, in its time."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from anyio.from_thread import BlockingPortal
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import app, local_tokens
from khatim import settings as khatim_settings
from khatim import tokens
from khatim.errors import KhatimError, Malformed, Misconfigured, TokenExpired, Unauthenticated
from khatim.settings import AuthoritySettings
from khatim.sign_in_settings import OidcSettings
from khatim.vocabulary import Role
from tests.support.http import BASE, InProcess, good, problem
from tests.support.people import ADEL, SAMI
from tests.support.sessions import session
from tests.support.world import Step, World, Worlds

OIDC = OidcSettings(issuer="https://login.example.org", audience="khatim")
CONSOLE = {
    "issuer": "https://login.example.org", "audience": "khatim", "client_id": "console",
    "public_url": "https://khatim.example",
}  # fmt: skip
COOKIE = {"accept": "text/html"}


def claims(world: World, **changes: Any) -> dict[str, Any]:
    """Return the claims of a good access token of the data scientist."""
    now = int(world.clock().timestamp())
    body = {
        "sub": SAMI.ref, "name": "Sami", "roles": ["data-scientist"], "kind": "access", "aud": "khatim",
        "iss": "https://test", "iat": now, "exp": now + 600, "jti": "1",
    }  # fmt: skip
    return {key: value for key, value in {**body, **changes}.items() if value is not None}


def signed(world: World, **changes: Any) -> str:
    """Sign claims with the installation's own key."""
    return jwt.encode(claims(world, **changes), world.parts.issuer.key, algorithm="EdDSA")


def refused(world: World, token: str, slug: str = "unauthenticated") -> str:
    """Return why a token is refused."""
    return str(problem(world.bearer(token).get("/v1/whoami"), 401, slug)["detail"])


def b64(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


# -- who I am --


def test_a_person_is_known_by_an_opaque_reference_and_a_name_beside_it(world: World) -> None:
    me = good(world.as_(SAMI).get("/v1/whoami"))

    assert (me["ref"], me["kind"], me["roles"], me["zone"]) == (SAMI.ref, "person", ["data-scientist"], None)
    assert (me["display_name"], me["local_mode"]) == ("Sami", True)
    [event] = world.told()
    assert (event["kind"], event["resource"]) == ("person.known", f"person:{SAMI.ref}")
    assert "Sami" not in json.dumps(event)


def test_a_person_is_noted_once_also_when_seen_at_once(world: World) -> None:
    api = world.as_(SAMI)
    answers = world.together(*[lambda: api.get("/v1/whoami")] * 6)

    assert {answer.status_code for answer in answers} == {200}
    assert world.kinds() == ["person.known"]


def test_an_agent_knows_who_it_is(enrolled: World) -> None:
    me = good(enrolled.agent.api.get("/v1/whoami"))

    assert (me["kind"], me["zone"], me["roles"]) == ("agent", "ae-health", ["agent"])


# -- tokens --


def test_a_token_ends(world: World) -> None:
    token = world.token(SAMI, minutes=1)
    good(world.bearer(token).get("/v1/whoami"))
    world.clock.forward(seconds=70)

    assert "expired" in refused(world, token, "token-expired")


def test_a_token_does_not_begin_early(world: World) -> None:
    now = int(world.clock().timestamp())

    assert "clocks" in refused(world, signed(world, iat=now + 60, exp=now + 600))


WRONG: dict[str, dict[str, Any]] = {
    "another audience": {"aud": "elsewhere"},
    "no audience": {"aud": None},
    "a zone's audience": {"aud": "zone:ae-health"},
    "another kind": {"kind": "ticket"},
    "a link's kind": {"kind": "link"},
    "a session's kind": {"kind": "session"},
    "no kind": {"kind": None},
    "no end": {"exp": None},
    "no beginning": {"iat": None},
    "no subject": {"sub": None},
    "no id": {"jti": None},
    "an end in letters": {"exp": "tomorrow"},
    "an end beyond time": {"exp": 10**20},
    "a beginning beyond time": {"iat": -(10**20)},
    "an agent's kind for a person": {"kind": "agent", "zone": "ae-health"},
    "an enrolment's kind for a person": {"kind": "enrolment", "zone": "ae-health"},
}


@pytest.mark.parametrize("change", WRONG.values(), ids=list(WRONG))
def test_a_token_of_our_own_key_that_is_not_for_this_is_refused(world: World, change: dict[str, Any]) -> None:
    refused(world, signed(world, **change))

    assert world.told() == []


def test_a_token_without_a_signature_is_refused(world: World) -> None:
    head, body = b64(b'{"alg":"none","typ":"JWT"}'), b64(json.dumps(claims(world)).encode())

    for token in (f"{head}.{body}.", f"{head}.{body}", f"{head}.{body}.x"):
        refused(world, token)


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER, Encoding.Raw])
def test_a_token_signed_with_the_public_key_as_a_secret_is_refused(world: World, encoding: Encoding) -> None:
    public = world.parts.issuer.key.public_key()
    kind = PublicFormat.Raw if encoding is Encoding.Raw else PublicFormat.SubjectPublicKeyInfo
    secret = public.public_bytes(encoding, kind)
    head, body = b64(b'{"alg":"HS256","typ":"JWT"}'), b64(json.dumps(claims(world)).encode())
    mac = hmac.new(secret, f"{head}.{body}".encode(), hashlib.sha256).digest()

    refused(world, f"{head}.{body}.{b64(mac)}")


def test_a_token_of_another_key_is_refused(world: World) -> None:
    body = claims(world)

    refused(world, jwt.encode(body, Ed25519PrivateKey.generate(), algorithm="EdDSA"))
    refused(world, jwt.encode(body, generate_private_key(SECP256R1()), algorithm="ES256"))
    refused(world, jwt.encode(body, generate_rsa(65537, 2048), algorithm="RS256"))


def test_a_key_that_the_token_brings_along_is_not_used(world: World) -> None:
    own = Ed25519PrivateKey.generate()
    public = own.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    head = {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": b64(public)}, "kid": "../../etc/passwd", "jku": "https://x"}

    refused(world, jwt.encode(claims(world), own, algorithm="EdDSA", headers=head))


@pytest.mark.parametrize("header", ["Basic dTpw", "Bearer", "Bearer ", "bearer  x y", "Token x", "x"])
def test_another_way_of_saying_who_one_is_is_refused(world: World, header: str) -> None:
    problem(world.http.get("/v1/whoami", headers={"Authorization": header}), 401, "unauthenticated")


def test_a_role_that_is_unknown_or_not_for_people_gives_nothing(world: World) -> None:
    problem(world.bearer(signed(world, roles=["king"])).get("/v1/models"), 422, "malformed")
    body = {"to": "production", "because": "because"}
    assert world.bearer(signed(world, roles=["agent"])).post("/v1/agent/jobs/claim", body).status_code in (403, 404)
    with pytest.raises(Misconfigured, match="cannot be an agent"):
        world.parts.local_tokens.access("p-x", "X", frozenset({Role.AGENT}), at=world.clock(), ttl=timedelta(hours=1))


# -- hostile input never becomes a stranger's exception --


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text() | st.binary().map(lambda data: base64.urlsafe_b64encode(data).decode()))
def test_any_text_is_no_token(world: World, text: str) -> None:
    key = world.parts.issuer.key.public_key()
    for token in (text, f"{text}.{text}.{text}", f"{b64(b'{}')}.{text}.x"):
        with pytest.raises(Unauthenticated):
            tokens.kind_of(token)
            tokens.read(token, key, audience="khatim", at=world.clock(), kind="access")


@settings(max_examples=100)
@given(st.text())
def test_any_text_is_no_key(text: str) -> None:
    with pytest.raises(KhatimError):
        tokens.public_key(text)


def test_a_key_of_another_kind_is_no_token_key() -> None:
    ec = generate_private_key(SECP256R1()).public_key()
    pem = ec.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    with pytest.raises(Unauthenticated, match="Ed25519"):
        tokens.public_key(pem)
    with pytest.raises(KhatimError):
        tokens.public_key("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")


def test_a_token_says_that_it_has_expired_only_when_all_else_holds(world: World) -> None:
    key, now = world.parts.issuer.key, world.clock()
    token = tokens.issue(
        key, kind="access", subject="x", audience="khatim", issuer="https://test", at=now - timedelta(hours=2),
        ttl=timedelta(hours=1),
    )  # fmt: skip
    with pytest.raises(TokenExpired):
        tokens.read(token, key.public_key(), audience="khatim", at=now, kind="access")
    with pytest.raises(Unauthenticated) as raised:
        tokens.read(token, key.public_key(), audience="elsewhere", at=now, kind="access")
    assert not isinstance(raised.value, TokenExpired)


# -- cookies --


def test_a_cookie_reads_the_api_and_changes_nothing(world: World) -> None:
    world.http.cookies.set("khatim_session", session(world, SAMI))
    try:
        assert world.nobody().get("/v1/whoami").status_code == 200
        body = problem(world.nobody().post("/v1/models/oncology/malignancy"), 403, "forbidden")
    finally:
        world.http.cookies.clear()

    assert body["rule"] == "csrf/bearer-only"


def test_a_token_in_a_cookie_is_no_session(world: World) -> None:
    world.http.cookies.set("khatim_session", world.token(SAMI))
    try:
        problem(world.nobody().get("/v1/whoami"), 401, "unauthenticated")
    finally:
        world.http.cookies.clear()


def test_a_session_is_no_bearer_token(world: World) -> None:
    refused(world, session(world, SAMI))


# -- local mode and OIDC --


def test_with_oidc_local_tokens_sessions_and_links_are_refused(worlds: Worlds) -> None:
    with worlds.at(Step.ENROLLED, oidc=OIDC, authority=AuthoritySettings(process=False)) as world:
        assert "OIDC" in refused(world, world.token(SAMI))
        link = world.parts.local_tokens.link(SAMI.ref, "Sami", SAMI.roles, at=world.clock())
        page = world.http.post("/sign-in", data={"link": link}, headers=COOKIE)
        assert page.status_code == 401
        assert "khatim_session" not in page.cookies
        world.http.cookies.set("khatim_session", session(world, SAMI))
        problem(world.nobody().get("/v1/whoami"), 401, "unauthenticated")
        world.http.cookies.clear()
        good(world.agent.api.get("/v1/whoami"))  # agents are enrolled here, whoever signs people in


def test_with_oidc_nobody_issues_local_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    monkeypatch.setenv("KHATIM_OIDC__ISSUER", OIDC.issuer)
    monkeypatch.setenv("KHATIM_OIDC__AUDIENCE", OIDC.audience)
    for issue in (local_tokens.access, local_tokens.link):
        with pytest.raises(Misconfigured, match="OIDC"):
            issue(tmp_path, "Sami", ["data-scientist"], at=world.clock(), ttl=timedelta(hours=1))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", ""])  # noqa: S104 - refused
def test_local_mode_does_not_listen_beyond_this_machine(tmp_path: Path, host: str) -> None:
    with pytest.raises(Misconfigured, match="loopback only"):
        khatim_settings.load(data=tmp_path, host=host)

    beyond = {"host": host or "::1", "oidc": OIDC}
    assert khatim_settings.load(data=tmp_path, proxy="10.0.0.7", **beyond).is_local is False


@pytest.mark.parametrize("proxy", ["", " ", "*", "proxy.example"])
def test_nobody_listens_beyond_this_machine_in_the_clear(tmp_path: Path, proxy: str) -> None:
    with pytest.raises(Misconfigured, match=r"in the clear|proxy"):
        khatim_settings.load(data=tmp_path, host="10.0.0.5", oidc=OIDC, proxy=proxy)

    tls = {"certificate": tmp_path / "cert.pem", "key": tmp_path / "key.pem"}
    assert khatim_settings.load(data=tmp_path, host="10.0.0.5", oidc=OIDC, tls=tls).tls is not None


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_local_mode_listens_on_this_machine(tmp_path: Path, host: str) -> None:
    assert khatim_settings.load(data=tmp_path, host=host).is_local


@pytest.mark.parametrize(
    "oidc",
    [
        {"issuer": "https://login.example.org"},
        {"issuer": "https://login.example.org", "audience": ""},
        {"audience": "khatim"},
        {"issuer": "http://login.example.org", "audience": "khatim"},
        {"issuer": "https://login.example.org", "audience": "khatim", "colour": "blue"},
        {"issuer": "https://*.example.org", "audience": "khatim"},
        {"issuer": "https://login.example.org", "audience": "khatim", "client_id": "console"},
        {"issuer": "https://login.example.org", "audience": "khatim", "public_url": "https://khatim.example"},
        {**CONSOLE, "public_url": "https://*.example"},
        {**CONSOLE, "public_url": "http://khatim.example"},
        {**CONSOLE, "public_url": "https://khatim.example/?to=x"},
        {**CONSOLE, "public_url": "https://khatim.example/console"},
        {**CONSOLE, "audience": "console"},
        {**CONSOLE, "device_client_id": "khatim"},
        {**CONSOLE, "scopes": ["profile"]},
        {"issuer": "https://login.example.org", "audience": "khatim", "client_secret_file": "/secret"},
    ],
)
def test_half_a_sign_in_refuses_to_start(tmp_path: Path, oidc: dict[str, Any]) -> None:
    with pytest.raises(Misconfigured, match="oidc"):
        khatim_settings.load(data=tmp_path, oidc=oidc)


def test_a_folder_that_is_no_installation_issues_nothing(tmp_path: Path, world: World) -> None:
    with pytest.raises(Misconfigured, match="not an installation"):
        local_tokens.access(tmp_path, "Sami", ["data-scientist"], at=world.clock(), ttl=timedelta(hours=1))


def test_an_unknown_role_is_answered_with_the_known_ones(world: World) -> None:
    data = world.parts.settings.data
    with pytest.raises(Malformed) as raised:
        local_tokens.access(data, "Sami", ["king"], at=world.clock(), ttl=timedelta(hours=1))

    assert "data-scientist" in raised.value.advice
    assert "agent" not in raised.value.advice.replace("agents", "")


def test_a_token_of_the_command_line_opens_the_api(world: World) -> None:
    data = world.parts.settings.data
    token = jwt.decode(
        local_tokens.access(data, "Adel", ["Auditor"], at=world.clock(), ttl=timedelta(hours=1)),
        options={"verify_signature": False},
    )

    assert token["roles"] == ["auditor"]
    assert token["sub"].startswith("p-")
    assert token["sub"] == world.parts.instance.person_ref("ADEL")
    assert token["sub"] != ADEL.ref


# -- links --


def test_a_link_works_once(world: World) -> None:
    link = world.parts.local_tokens.link(SAMI.ref, "Sami", SAMI.roles, at=world.clock())
    first = world.http.post("/sign-in", data={"link": link}, headers=COOKIE)
    world.http.cookies.clear()
    second = world.http.post("/sign-in", data={"link": link}, headers=COOKIE)
    world.http.cookies.clear()

    assert (first.status_code, second.status_code) == (303, 401)
    cookie = first.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite" in cookie.lower()


def test_a_link_from_another_machine_is_refused(worlds: Worlds, portal: BlockingPortal) -> None:
    with worlds.at(Step.EMPTY) as world:
        link = world.parts.local_tokens.link(SAMI.ref, "Sami", SAMI.roles, at=world.clock())
        transport = InProcess(app.create(world.parts), portal, ("203.0.113.7", 5000))
        with httpx.Client(transport=transport, base_url=BASE) as http:
            answer = http.post("/sign-in", data={"link": link}, headers=COOKIE)

        assert answer.status_code == 403
        assert "khatim_session" not in answer.cookies
