# SPDX-License-Identifier: Apache-2.0
"""Errors: one shape everywhere, what is wrong at its place, and nothing of the inside for strangers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import APIRouter
from hypothesis import given, settings

from audit.canonical import canonical
from gateway import app
from khatim import contracts
from khatim.errors import KhatimError, Malformed, from_problem
from tests.strategies import json_values
from tests.support.http import BASE, HERE, InProcess, problem
from tests.support.people import DANA, SAMI
from tests.support.world import VERSION, ZONE, Step, World, Worlds

SECRET = "postgresql://khatim_service:hunter2@db/khatim"
CREATE = "/v1/models/oncology/malignancy"


@pytest.fixture(scope="module")
def shared(worlds: Worlds) -> Iterator[World]:
    """Yield one world for tests that change nothing."""
    with worlds.at(Step.READY) as opened:
        yield opened


def send(world: World, path: str, content: Any, **headers: str) -> httpx.Response:
    """Send raw bytes as the data scientist."""
    sent = {"Authorization": f"Bearer {world.token(SAMI)}", "Content-Type": "application/json", **headers}
    return world.http.post(path, content=content, headers=sent)


# One example of each family of routes and of each status.
FAMILIES = {
    "registry 404": ("GET", "/v1/models/oncology/none", None, 404),
    "registry 409": ("POST", CREATE, {}, 409),
    "registry 422": ("POST", CREATE, {"tier": 9}, 422),
    "governance 403": ("POST", f"{VERSION}/promotions", {"to": "production", "because": "because"}, 403),
    "governance 404": ("GET", "/v1/jobs/none", None, 404),
    "governance 422": ("POST", f"{VERSION}/promotions", {"to": "production"}, 422),
    "runners 403": ("POST", "/v1/agents/invitations", {"zone": ZONE}, 403),
    "runners 422": ("POST", "/v1/uploads", {}, 422),
    "ledger 403": ("GET", "/v1/ledger/entries", None, 403),
    "ledger 422": ("GET", "/v1/ledger/entries?limit=x", None, 422),
    "signing 422": ("POST", "/api/v2/log/entries", {}, 422),
    "nowhere 404": ("GET", "/v1/nowhere", None, 404),
    "another method 405": ("DELETE", CREATE, None, 405),
}


@pytest.mark.parametrize(("method", "path", "body", "status"), FAMILIES.values(), ids=list(FAMILIES))
def test_every_family_of_routes_has_the_same_shape_of_errors(
    shared: World, method: str, path: str, body: object, status: int
) -> None:
    found = problem(shared.as_(SAMI).call(method, path, body), status)

    assert isinstance(from_problem(found, status), KhatimError)


def test_every_answer_carries_a_request_id_of_its_own_and_headers_that_browsers_obey(shared: World) -> None:
    answers = [shared.nobody().get("/health"), shared.nobody().get("/v1/models"), shared.as_(SAMI).get("/v1/models")]

    assert len({answer.headers["x-request-id"] for answer in answers}) == 3
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'self'" in answer.headers["content-security-policy"]


def test_what_is_wrong_in_a_body_is_said_at_its_place(shared: World) -> None:
    body = {"zone": ZONE, "digest": "x", "size": -1, "colour": "blue"}
    found = problem(shared.as_(DANA).post("/v1/uploads", body), 422, "malformed")

    assert {one["at"] for one in found["places"]} == {"body.digest", "body.size", "body.colour"}
    assert all(one["says"] for one in found["places"])


MALFORMED: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{",
    "half of it": b'{"description": "a',
    "a list": b"[]",
    "a text": b'"a"',
    "null": b"null",
    "no UTF-8": b'{"description": "\xff\xfe"}',
    "a NUL": b'{"description": "a\\u0000b"}',
    "half a character": b'{"description": "\\ud800"}',
    "half a character as name": b'{"\\ud800": 1}',
    "NaN": b'{"tier": NaN}',
    "infinity": b'{"tier": 1e999}',
    "a very long number": b'{"tier": ' + b"9" * 5000 + b"}",
    "very deep": b'{"description": ' + b"[" * 20_000,
    "very deep and closed": b'{"description": ' + b"[" * 900 + b"]" * 900 + b"}",
    "two bodies": b"{}{}",
}


@pytest.mark.parametrize("content", MALFORMED.values(), ids=list(MALFORMED))
def test_a_body_that_cannot_be_read_is_refused_in_words(shared: World, content: bytes) -> None:
    found = problem(send(shared, "/v1/models/oncology/new", content), 422, "malformed")

    assert "Traceback" not in found["detail"]
    assert shared.sql("SELECT count(*) FROM models") == [(1,)]


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "application/x-www-form-urlencoded", "nonsense", ""])
def test_a_body_of_another_type_is_refused(shared: World, kind: str) -> None:
    problem(send(shared, "/v1/models/oncology/new", b'{"tier": 1}', **{"Content-Type": kind}), 422, "malformed")


def test_a_body_over_the_limit_is_refused_before_it_is_read(shared: World) -> None:
    limit = shared.parts.settings.max_body
    found = problem(send(shared, CREATE, b"x" * (limit + 1)), 413, "too-large")

    assert "zone door" in found["advice"]


def test_a_body_over_the_limit_that_does_not_say_its_length_is_refused(shared: World) -> None:
    limit = shared.parts.settings.max_body

    def pieces() -> Iterator[bytes]:
        for _ in range(limit // 100_000 + 2):
            yield b"x" * 100_000

    for path in (CREATE, "/api/v1/timestamp"):
        problem(send(shared, path, pieces()), 413, "too-large")


def test_a_body_that_lies_about_its_length_is_refused(shared: World) -> None:
    limit = shared.parts.settings.max_body

    problem(send(shared, CREATE, b"x" * (limit + 1), **{"Content-Length": "10"}), 413, "too-large")


def test_a_limit_is_a_setting(worlds: Worlds) -> None:
    with worlds.at(Step.EMPTY, max_body=10_000) as world:
        problem(send(world, CREATE, json.dumps({"description": "x" * 10_000}).encode()), 413, "too-large")


def test_an_unknown_error_is_a_number_for_strangers_and_a_text_for_the_log(
    shared: World, caplog: pytest.LogCaptureFixture
) -> None:
    router = APIRouter()

    @router.get("/v1/broken")
    def _broken() -> None:
        raise RuntimeError(SECRET)

    made = app.create(shared.parts)
    made.include_router(router)
    with httpx.Client(transport=InProcess(made, _portal_of(shared), HERE), base_url=BASE) as http:
        answer = http.get("/v1/broken")
    found = problem(answer, 500, "internal")

    assert SECRET not in answer.text
    assert "RuntimeError" not in answer.text
    assert found["request_id"] in caplog.text
    assert SECRET in caplog.text


def _portal_of(world: World) -> Any:
    transport = world.http._transport
    assert isinstance(transport, InProcess)
    return transport._portal


def test_a_browser_gets_a_page_and_a_program_gets_json(shared: World) -> None:
    page = shared.http.get("/console/nowhere", headers={"accept": "text/html"})
    program = shared.http.get("/v1/nowhere", headers={"accept": "text/html"})

    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "nowhere" in page.text
    assert page.text.count("<script") == page.text.count('<script type="module" src="/console/static/')
    problem(program, 404, "not-found")


@pytest.mark.parametrize(
    "path", ["/console/<script>alert(1)</script>", "/console/%00", "/%F0%9F%92%A3", "/..//..", "//x"]
)
def test_a_hostile_address_is_not_found_and_not_repeated_unescaped(shared: World, path: str) -> None:
    for accept in ("text/html", "application/json"):
        answer = shared.http.get(path, headers={"accept": accept})
        assert answer.status_code in (303, 307, 404), answer.text
        assert "<script>alert" not in answer.text or accept == "application/json"


# -- what a vendor raises does not come through --


@settings(max_examples=200)
@given(json_values)
def test_a_contract_of_anything_is_read_or_refused(value: Any) -> None:
    for read in (contracts.contract_of, contracts.feature_view_of):
        try:
            read(value if isinstance(value, dict) else json.dumps(value))
        except Malformed:
            continue


@settings(max_examples=200)
@given(json_values)
def test_any_value_has_canonical_json_or_is_refused(value: Any) -> None:
    try:
        once = canonical(value)
    except Malformed:
        return
    # A whole float is written like an integer, which JSON readers may take for one that is too large.
    assert canonical(json.loads(once, parse_int=float)) == once
