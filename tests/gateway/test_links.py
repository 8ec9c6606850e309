# SPDX-License-Identifier: Apache-2.0
"""Links, sessions and forms: a link becomes one session, here, in its time; a form is its own session's or nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import quote

import httpx
import pytest
from anyio.from_thread import BlockingPortal

from gateway import app
from gateway.sign_in import COOKIE, LINK_LIFE, LINK_TTL
from khatim import tokens
from runners.agents import AUDIENCE
from tests.support.http import BASE, InProcess, good, problem
from tests.support.people import PAVEL, SAMI
from tests.support.sessions import session
from tests.support.world import MODEL, ZONE, World

FORWARDED = {"X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1", "X-Real-Ip": "127.0.0.1"}


def link(world: World, ttl: timedelta = LINK_TTL) -> str:
    """Return a one-time link's token for the data scientist."""
    return world.parts.local_tokens.link(SAMI.ref, SAMI.name, SAMI.roles, at=world.clock(), ttl=ttl)


def redeem(http: httpx.Client, given: str, **headers: str) -> httpx.Response:
    """Use a link up, as the page's form does; the client keeps no cookie."""
    answer = http.post("/sign-in", data={"link": given}, headers=headers)
    http.cookies.clear()
    return answer


def token(world: World, kind: str) -> str:
    """Return a token of another kind under the installation's own key, with all that a link says."""
    return tokens.issue(
        world.parts.issuer.key, kind=kind, subject=SAMI.ref, audience=AUDIENCE, issuer=world.parts.issuer.issuer,
        at=world.clock(), ttl=LINK_TTL, name=SAMI.name, roles=["data-scientist"],
    )  # fmt: skip


@pytest.fixture
def console(world: World) -> Iterator[httpx.Client]:
    """Yield a browser that is signed in."""
    session = str(world.http.post("/sign-in", data={"link": link(world)}).cookies[COOKIE])
    world.http.cookies.clear()
    world.http.cookies.set(COOKIE, session)
    world.told()
    yield world.http
    world.http.cookies.clear()


# -- links --


def test_a_link_becomes_a_session_that_the_ledger_knows_of(world: World) -> None:
    assert redeem(world.http, link(world)).headers["location"] == "/console/models"

    known, signed_in = world.told()
    assert (known["kind"], signed_in["kind"]) == ("person.known", "person.signed_in")
    assert signed_in["actor"] == SAMI.ref
    assert SAMI.name not in json.dumps([known, signed_in])


def test_a_second_use_is_told_as_such(world: World) -> None:
    given = link(world)
    redeem(world.http, given)

    assert "platform engineer" in problem(redeem(world.http, given), 401, "link-used")["advice"]


def test_a_link_that_is_used_twice_at_once_becomes_one_session(world: World) -> None:
    given = link(world)
    answers = world.together(*[lambda: world.http.post("/sign-in", data={"link": given})] * 4)
    world.http.cookies.clear()

    assert sorted(answer.status_code for answer in answers) == [303, 401, 401, 401]
    assert world.kinds().count("person.signed_in") == 1


def test_looking_at_a_link_does_not_use_it_up(world: World) -> None:
    given = link(world)
    for _ in range(2):
        page = world.http.get(f"/sign-in?link={quote(given)}")
        assert page.status_code == 200
        assert SAMI.name in page.text
        assert COOKIE not in page.headers.get("set-cookie", "")

    assert redeem(world.http, given).status_code == 303


def test_a_link_ends(world: World) -> None:
    given = link(world)
    world.clock.forward(minutes=31)

    problem(redeem(world.http, given), 401, "token-expired")
    assert world.told() == []


def test_a_link_that_would_outlive_the_memory_of_its_use_is_refused(world: World) -> None:
    given = link(world, LINK_LIFE + timedelta(hours=1))

    assert "too long" in problem(redeem(world.http, given), 401, "unauthenticated")["detail"]


@pytest.mark.parametrize("client", ["192.0.2.7", "10.0.0.1", "2001:db8::1", "testclient", "::ffff:192.0.2.7"])
def test_a_link_works_on_this_machine_only_whatever_headers_say(
    world: World, portal: BlockingPortal, client: str
) -> None:
    elsewhere = InProcess(app.create(world.parts), portal, client=(client, 5000))
    given = link(world)
    with httpx.Client(transport=elsewhere, base_url=BASE, headers=FORWARDED) as http:
        assert problem(redeem(http, given), 403, "forbidden")["rule"] == "local/loopback"
        problem(http.get(f"/sign-in?link={quote(given)}"), 403, "forbidden")

    assert redeem(world.http, given).status_code == 303


def test_a_form_of_another_site_signs_nobody_in(world: World) -> None:
    given = link(world)
    answer = redeem(world.http, given, **{"Sec-Fetch-Site": "cross-site"})

    assert problem(answer, 403, "forbidden")["rule"] == "csrf/origin"
    assert redeem(world.http, given).status_code == 303


@pytest.mark.parametrize("kind", sorted(tokens.KINDS - {"link"}))
def test_another_token_is_no_link(world: World, kind: str) -> None:
    problem(redeem(world.http, token(world, kind)), 401, "unauthenticated")


@pytest.mark.parametrize("kind", sorted(tokens.KINDS - {"access"}))
def test_another_token_is_no_persons_bearer_token(world: World, kind: str) -> None:
    problem(world.bearer(token(world, kind)).get("/v1/whoami"), 401, "unauthenticated")


@pytest.mark.parametrize("kind", sorted(tokens.KINDS - {"session"}))
def test_another_token_is_no_session(world: World, kind: str) -> None:
    headers = {"Cookie": f"{COOKIE}={token(world, kind)}"}

    problem(world.http.get("/v1/whoami", headers=headers), 401, "unauthenticated")


# -- sessions --


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_no_method_changes_anything_with_a_cookie(world: World, console: httpx.Client, method: str) -> None:
    mounted = {"POST": f"/v1/models/{MODEL}", "PUT": f"/v1/models/{MODEL}/aliases/champion"}
    answer = console.request(method, mounted.get(method, f"/v1/models/{MODEL}"), json={"number": 1})

    if method in mounted:
        assert problem(answer, 403, "forbidden")["rule"] == "csrf/bearer-only"
    else:
        problem(answer, 405)
    assert world.sql("SELECT count(*) FROM models") == [(0,)]


def test_a_bearer_token_beside_a_cookie_is_who_acts(world: World, console: httpx.Client) -> None:
    good(world.as_(PAVEL).post("/v1/agents/invitations", {"zone": ZONE}))

    assert world.told()[-1]["actor"] == PAVEL.ref


@pytest.mark.parametrize("given", ["", "nonsense", "0" * 64])
def test_a_form_needs_the_token_of_its_session(console: httpx.Client, given: str) -> None:
    assert problem(console.post("/sign-out", data={"csrf": given}), 403, "forbidden")["rule"] == "csrf/token"


def test_the_token_of_another_session_makes_no_form(world: World, console: httpx.Client) -> None:
    other = session(world, SAMI)
    key = world.parts.issuer.key.public_key()
    read = tokens.read(other, key, audience=AUDIENCE, at=world.clock(), kind="session")
    answer = console.post("/sign-out", data={"csrf": world.parts.authenticator.csrf_token(read)})

    assert problem(answer, 403, "forbidden")["rule"] == "csrf/token"


def test_a_session_ends(world: World, console: httpx.Client) -> None:
    assert console.get("/v1/whoami").json()["ref"] == SAMI.ref
    world.clock.forward(hours=9)

    problem(console.get("/v1/whoami"), 401, "token-expired")


# -- people --


def test_a_persons_roles_are_what_their_token_says_each_time(world: World) -> None:
    good(world.as_(SAMI).post(f"/v1/models/{MODEL}"))
    demoted = world.bearer(
        world.parts.local_tokens.access(SAMI.ref, SAMI.name, PAVEL.roles, at=world.clock(), ttl=LINK_TTL)
    )

    assert good(demoted.get("/v1/whoami"))["roles"] == ["platform-engineer"]
    problem(demoted.post("/v1/models/oncology/another"), 403, "forbidden")
    assert world.kinds().count("person.known") == 1
