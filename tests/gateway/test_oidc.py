# SPDX-License-Identifier: Apache-2.0
"""Signing in with a real, certified identity provider: what it brings, and everything that must not let anybody in."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi import Request

from gateway.console import sessions
from gateway.oidc import LOGOUT_EVENT
from gateway.sign_in import COOKIE
from khatim import tokens
from khatim.settings import AuthoritySettings
from registry.signing.published_keys import AGAIN_S
from runners.agents import AUDIENCE
from tests.support.http import good, problem
from tests.support.provider import CONSOLE, IdentityProvider, path_of, running
from tests.support.world import Step, World, Worlds

RULES = """
roles:
  data-scientist: [ds]
  access-administrator: [iam]
"""


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IdentityProvider]:
    with running(Path(tmp_path_factory.mktemp("provider"))) as started:
        yield started


@pytest.fixture(scope="module")
def overlay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(tmp_path_factory.mktemp("overlay")) / "ours"
    folder.mkdir()
    (folder / "sign_in.yaml").write_text(RULES)
    return folder


@pytest.fixture
def world(worlds: Worlds, provider: IdentityProvider, overlay: Path) -> Iterator[World]:
    provider.tell(deny=False)
    with worlds.at(Step.EMPTY, overlay, oidc=provider.settings, authority=AuthoritySettings(process=False)) as opened:
        yield opened


@pytest.fixture
def browser(world: World) -> Iterator[httpx.Client]:
    """Yield a browser that holds the console's cookies, over TLS as in life."""
    with httpx.Client(transport=world.http._transport, base_url=CONSOLE, headers={"Accept": "text/html"}) as http:
        yield http


def signed_in(
    provider: IdentityProvider, browser: httpx.Client, subject: str = "sami", **claims: Any
) -> httpx.Response:
    """Sign *subject* in; return the console's answer to the provider's."""
    provider.account(subject, **{"groups": ["ds"], **claims})
    sent = browser.get("/sign-in/begin")
    assert sent.status_code == 303, sent.text
    return browser.get(path_of(provider.answer(sent.headers["location"])))


def test_whom_the_provider_knows_is_signed_in_with_what_its_groups_bring(
    world: World, provider: IdentityProvider, browser: httpx.Client
) -> None:
    answer = signed_in(provider, browser, amr=["pwd", "mfa"])
    me = good(browser.get("/v1/whoami"))

    assert (answer.status_code, answer.headers["location"]) == (303, "/console/models")
    cookies = answer.headers.get_list("set-cookie")
    assert all({"HttpOnly", "SameSite=lax", "Secure"} <= set(one.split("; ")) for one in cookies if COOKIE in one)
    assert (me["roles"], me["display_name"], me["local_mode"]) == (["data-scientist"], "Sami", False)
    assert me["ref"].startswith("p-")
    told = world.told()
    assert [one["kind"] for one in told] == ["person.signed_in", "person.known"]
    assert (told[0]["payload"]["by"], told[0]["payload"]["strength"]) == ("identity provider", 2)
    assert "sami" not in str(told).lower()
    assert browser.get("/console/models").status_code == 200


def test_the_same_person_is_the_same_reference_and_groups_bring_roles_by_the_file_only(
    world: World, provider: IdentityProvider, browser: httpx.Client
) -> None:
    signed_in(provider, browser)
    first = good(browser.get("/v1/whoami"))
    browser.cookies.clear()
    signed_in(provider, browser, groups=["iam", "validator", "wizards"])
    second = good(browser.get("/v1/whoami"))
    browser.cookies.clear()
    signed_in(provider, browser, "mona", groups=[])
    other = good(browser.get("/v1/whoami"))

    assert (first["ref"], first["roles"]) == (second["ref"], ["data-scientist"])
    assert second["roles"] == ["access-administrator"]
    assert (other["roles"], other["ref"] == first["ref"]) == ([], False)
    assert browser.get("/console/models").status_code == 200


def test_whoever_wanted_to_go_somewhere_comes_there_and_to_no_other_site(
    world: World, provider: IdentityProvider, browser: httpx.Client
) -> None:
    lost = browser.get("/console/ledger?kind=person.known")
    assert lost.headers["location"] == "/sign-in?then=%2Fconsole%2Fledger%3Fkind%3Dperson.known"
    assert (
        'href="/sign-in/begin?then=%2Fconsole%2Fledger%3Fkind%3Dperson.known"'
        in browser.get(lost.headers["location"]).text
    )
    for then, there in [
        ("/console/ledger?kind=x", "/console/ledger?kind=x"),
        ("https://evil.example/console/", "/console/models"),
        ("//evil.example/console/", "/console/models"),
        ("/console/\\evil", "/console/models"),
        ("/sign-out", "/console/models"),
    ]:
        provider.account("sami")
        sent = browser.get("/sign-in/begin", params={"then": then})
        back = browser.get(path_of(provider.answer(sent.headers["location"])))
        assert back.headers["location"] == there


def test_what_is_asked_of_the_provider_is_bound_to_this_browser_and_this_code(
    browser: httpx.Client, world: World
) -> None:
    asked = [parse_qs(urlsplit(browser.get("/sign-in/begin").headers["location"]).query) for _ in range(2)]

    assert asked[0]["code_challenge_method"] == ["S256"]
    assert asked[0]["redirect_uri"] == [f"{CONSOLE}/sign-in/callback"]
    for name in ("state", "nonce", "code_challenge"):
        assert asked[0][name] != asked[1][name]


def refusal(answer: httpx.Response, browser: httpx.Client) -> str:
    """Return what a page says of a sign-in that was refused; nobody is signed in by it."""
    assert answer.status_code == 401, answer.text
    assert COOKIE not in answer.cookies
    assert "You were not signed in." in answer.text
    browser.cookies.delete("khatim_sign_in")
    assert browser.get("/v1/whoami").status_code == 401
    return answer.text


def test_a_code_is_good_once(world: World, provider: IdentityProvider, browser: httpx.Client) -> None:
    provider.account("sami")
    sent = browser.get("/sign-in/begin")
    kept = dict(browser.cookies)
    back = path_of(provider.answer(sent.headers["location"]))
    assert browser.get(back).status_code == 303
    browser.cookies.clear()
    for name, value in kept.items():
        browser.cookies.set(name, value)

    assert "invalid_grant" in refusal(browser.get(back), browser)


def test_a_browser_that_began_nothing_is_not_signed_in(
    world: World, provider: IdentityProvider, browser: httpx.Client
) -> None:
    provider.account("sami")
    back = path_of(provider.answer(browser.get("/sign-in/begin").headers["location"]))
    browser.cookies.clear()

    assert "did not begin" in refusal(browser.get(back), browser)


def test_the_answer_to_another_browsers_sign_in_is_refused(
    world: World, provider: IdentityProvider, browser: httpx.Client
) -> None:
    provider.account("mallory")
    theirs = path_of(provider.answer(browser.get("/sign-in/begin").headers["location"]))
    browser.get("/sign-in/begin")  # mine, which the answer does not belong to

    assert "mismatching_state" in refusal(browser.get(theirs), browser)


@pytest.mark.parametrize("spoilt", ["nonce", "verifier"])
def test_a_sign_in_whose_parts_do_not_fit_is_refused(
    world: World, provider: IdentityProvider, browser: httpx.Client, spoilt: str
) -> None:
    provider.account("sami")
    sent = browser.get("/sign-in/begin")
    key, now = world.parts.issuer.key, world.clock()
    begun = dict(
        tokens.read(browser.cookies["khatim_sign_in"], key.public_key(), audience=AUDIENCE, at=now, kind="sign-in")
    )
    begun[spoilt] = "x" * 64
    said = {name: begun[name] for name in ("state", "nonce", "verifier", "then")}
    browser.cookies.clear()
    forged = tokens.issue(key, kind="sign-in", subject="sign-in", audience=AUDIENCE, issuer="x", at=now,
                          ttl=timedelta(minutes=1), **said)  # fmt: skip
    browser.cookies.set("khatim_sign_in", forged)
    told = refusal(browser.get(path_of(provider.answer(sent.headers["location"]))), browser)

    assert {"nonce": "another sign-in", "verifier": "invalid_grant"}[spoilt] in told


def test_a_sign_in_that_takes_too_long_is_begun_anew(
    world: World, provider: IdentityProvider, browser: httpx.Client
) -> None:
    provider.account("sami")
    back = path_of(provider.answer(browser.get("/sign-in/begin").headers["location"]))
    world.clock.forward(minutes=11)

    assert "expired" in refusal(browser.get(back), browser)


def test_what_the_provider_denies_is_told(world: World, provider: IdentityProvider, browser: httpx.Client) -> None:
    provider.tell(deny=True)
    back = path_of(provider.answer(browser.get("/sign-in/begin").headers["location"]))

    assert "access_denied" in refusal(browser.get(back), browser)


def test_new_keys_of_the_provider_are_found_and_old_ones_count_no_more(
    world: World, provider: IdentityProvider, browser: httpx.Client
) -> None:
    guard = world.parts.authenticator.provider
    assert guard is not None
    old = device_token(provider)
    good(world.bearer(old).get("/v1/whoami"))
    provider.tell(rotate=True)
    new = device_token(provider)
    problem(world.bearer(new).get("/v1/whoami"), 401, "unauthenticated")  # asked a moment ago: not again at once
    guard.keys.monotonic = lambda: time.monotonic() + AGAIN_S
    try:
        good(world.bearer(new).get("/v1/whoami"))
        problem(world.bearer(old).get("/v1/whoami"), 401, "unauthenticated")
        assert signed_in(provider, browser).status_code == 303
    finally:
        guard.keys.monotonic = time.monotonic


def device_token(provider: IdentityProvider, subject: str = "sami", **claims: Any) -> str:
    """Return an access token for the API, as the command line gets it (RFC 8628)."""
    provider.account(subject, **{"groups": ["ds"], **claims})
    asked = {"client_id": "cli", "scope": "openid profile", "resource": provider.settings.audience}
    begun = provider.http.post("/device/auth", data=asked).raise_for_status().json()
    provider.approve_device(begun["verification_uri_complete"])
    grant = "urn:ietf:params:oauth:grant-type:device_code"
    body = {"client_id": "cli", "grant_type": grant, "device_code": begun["device_code"]}
    return str(provider.http.post("/token", data=body).raise_for_status().json()["access_token"])


# -- tokens for the API --


def test_an_access_token_opens_the_api_with_what_its_groups_bring(world: World, provider: IdentityProvider) -> None:
    api = world.bearer(device_token(provider, amr=["hwk"]))
    me = good(api.get("/v1/whoami"))

    assert (me["roles"], me["display_name"]) == (["data-scientist"], "Sami")
    problem(api.post(f"/v1/people/{me['ref']}/suspension", {"because": "it is me"}), 403, "forbidden")


def test_a_program_is_no_person(world: World, provider: IdentityProvider) -> None:
    refused = problem(world.bearer(provider.robot()).get("/v1/whoami"), 401, "unauthenticated")

    assert "a program" in refused["detail"]


def test_an_id_token_and_a_token_for_another_audience_open_nothing(
    world: World, provider: IdentityProvider, browser: httpx.Client
) -> None:
    kept: list[str] = []
    guard = world.parts.authenticator.provider
    assert guard is not None
    provider.account("sami")
    sent = browser.get("/sign-in/begin")
    begun = sessions.under_way(httpx_request(browser), world.parts)
    back = provider.answer(sent.headers["location"])
    kept.append(guard.finish(back, begun, world.clock())[1])
    asked = {"grant_type": "client_credentials", "resource": "https://other.example", "scope": "khatim"}
    kept.append(provider.http.post("/token", data=asked, auth=("robot", "beep")).json()["access_token"])

    for token in kept:
        assert "audience" in problem(world.bearer(token).get("/v1/whoami"), 401, "unauthenticated")["detail"]


def httpx_request(browser: httpx.Client) -> Any:
    """Return a request with the cookies of *browser*."""
    header = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    return Request({"type": "http", "headers": [(b"cookie", header.encode())]})


# -- the end of a session --


def test_a_session_ends_when_its_owner_signs_out_also_for_a_copy_of_its_cookie(
    world: World, provider: IdentityProvider, browser: httpx.Client
) -> None:
    signed_in(provider, browser)
    copy = browser.cookies[COOKIE]
    page = browser.get("/console/models").text
    csrf = re.search(r'name="csrf" value="([0-9a-f]+)"', page)
    assert csrf is not None
    answer = browser.post("/sign-out", data={"csrf": csrf[1]})

    assert answer.headers["location"] == "/sign-in?out=1"
    told = browser.get("/sign-in?out=1").text
    assert "You are signed out of Khatim." in told
    assert f"{provider.issuer}/session/end" in told
    browser.cookies.set(COOKIE, copy)
    problem(browser.get("/v1/whoami"), 401, "unauthenticated")
    assert world.told()[-1]["kind"] == "person.signed_out"


def test_an_administrator_ends_every_session_and_the_person_signs_in_again(
    world: World, provider: IdentityProvider, browser: httpx.Client
) -> None:
    signed_in(provider, browser)
    ref = good(browser.get("/v1/whoami"))["ref"]
    kept = browser.cookies[COOKIE]
    browser.cookies.clear()
    signed_in(provider, browser)
    path, because = f"/v1/people/{ref}/sign-out", {"because": "the laptop was lost"}
    problem(world.bearer(device_token(provider, "dana")).post(path, because), 403, "forbidden")
    admin = world.bearer(device_token(provider, "adel", groups=["iam"]))
    assert good(admin.post(path, because)) == {"person": ref, "sessions": 2}
    told = world.told()[-1]
    assert (told["kind"], told["payload"]["because"]) == ("person.signed_out", "the laptop was lost")
    world.clock.forward(seconds=3)
    problem(browser.get("/v1/whoami"), 401, "unauthenticated")
    browser.cookies.set(COOKIE, kept)
    problem(browser.get("/v1/whoami"), 401, "unauthenticated")
    browser.cookies.clear()

    signed_in(provider, browser)
    assert good(browser.get("/v1/whoami"))["ref"] == ref
    assert good(admin.post(path, because))["sessions"] == 1
    assert good(admin.post(path, because))["sessions"] == 0


def test_who_is_cut_off_signs_in_no_more(world: World, provider: IdentityProvider, browser: httpx.Client) -> None:
    signed_in(provider, browser)
    ref = good(browser.get("/v1/whoami"))["ref"]
    admin = world.bearer(device_token(provider, "adel", groups=["iam"]))
    good(admin.post(f"/v1/people/{ref}/suspension", {"because": "left us"}))
    world.clock.forward(seconds=3)

    problem(browser.get("/v1/whoami"), 401, "unauthenticated")
    assert "suspended" in refusal(signed_in(provider, browser), browser)


def logout_token(provider: IdentityProvider, world: World, **changes: Any) -> str:
    """Return a logout token under a key of a second issuer, which this world is made to believe."""
    key = rsa.generate_private_key(65537, 2048)
    guard = world.parts.authenticator.provider
    assert guard is not None
    public = {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())), "kid": "out", "use": "sig"}
    guard.keys.metadata()
    guard.keys._keys = {**guard.keys._keys, "out": public}
    at = int(world.clock().timestamp())
    body = {
        "iss": provider.issuer, "aud": "console", "iat": at, "exp": at + 120, "jti": str(changes.pop("jti", at)),
        "events": {LOGOUT_EVENT: {}}, **changes,
    }  # fmt: skip
    said = {name: value for name, value in body.items() if value is not None}
    return jwt.encode(said, key, "RS256", headers={"kid": "out", "typ": "logout+jwt"})


def test_who_signs_out_of_the_provider_is_signed_out_here(
    world: World, provider: IdentityProvider, browser: httpx.Client
) -> None:
    provider.account("sami", groups=["ds"])
    sent = browser.get("/sign-in/begin")
    with httpx.Client(base_url=provider.issuer) as theirs:
        browser.get(path_of(provider.answer(sent.headers["location"], theirs)))
        good(browser.get("/v1/whoami"))
        provider.sign_out(theirs)
    [token] = provider.told
    provider.told.clear()

    assert world.http.post("/sign-in/back-channel-logout", data={"logout_token": token}).status_code == 200
    world.clock.forward(seconds=3)
    problem(browser.get("/v1/whoami"), 401, "unauthenticated")


def test_a_logout_token_ends_everything_of_a_person_once(
    world: World, provider: IdentityProvider, browser: httpx.Client
) -> None:
    signed_in(provider, browser)
    token = logout_token(provider, world, sub="sami")
    assert world.http.post("/sign-in/back-channel-logout", data={"logout_token": token}).status_code == 200
    world.clock.forward(seconds=3)

    problem(browser.get("/v1/whoami"), 401, "unauthenticated")
    told = world.told()[-1]
    assert (told["kind"], told["payload"]["by"]) == ("person.signed_out", "identity provider")
    problem(world.http.post("/sign-in/back-channel-logout", data={"logout_token": token}), 422, "malformed")


@pytest.mark.parametrize(
    "spoilt",
    [
        {"events": {}}, {"events": None}, {"nonce": "x"}, {"aud": "elsewhere"}, {"iss": "https://evil.example"},
        {"sub": None}, {"jti": ""}, {"exp": 1},
    ],
)  # fmt: skip
def test_what_is_no_logout_token_ends_nothing(
    world: World, provider: IdentityProvider, browser: httpx.Client, spoilt: dict[str, Any]
) -> None:
    signed_in(provider, browser)
    token = logout_token(provider, world, **{"sub": "sami", **spoilt})

    assert world.http.post("/sign-in/back-channel-logout", data={"logout_token": token}).status_code == 422
    world.clock.forward(seconds=3)
    good(browser.get("/v1/whoami"))
