# SPDX-License-Identifier: Apache-2.0
"""What answers hide and what they tell: members of an error, nothing of a vendor's, limits that no header opens."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from anyio.from_thread import BlockingPortal
from sqlalchemy.exc import OperationalError

from gateway import app
from gateway.middleware import HEADERS
from khatim.errors import GateNotSatisfied, Suspended
from tests.support.http import BASE, Api, InProcess, problem
from tests.support.people import ADEL, DANA, SAMI
from tests.support.world import MODEL, Step, World, Worlds

LIMIT = 10_000
NOBODYS = "0199aaaa-0000-7000-8000-000000000000"
# What is not there, in each family of routes.
ABSENT = (
    "/v1/ledger/entries/999999", "/ledger/tile/0/x999/999", "/v1/datasets/oncology/none/versions/1",
    "/v1/features/oncology/none/versions/1", f"/v1/models/{MODEL}/versions/99",
    f"/v1/models/{MODEL}/versions/99/evidence", f"/v1/deployments/{NOBODYS}", f"/v1/findings/{NOBODYS}",
    f"/v1/jobs/{NOBODYS}", "/v9/models", "/api/v9/none", "/console/none",
)  # fmt: skip


@pytest.fixture(scope="module")
def small(worlds: Worlds) -> Iterator[World]:
    """Yield a world with a low limit that no test of this module changes."""
    with worlds.at(Step.EMPTY, max_body=LIMIT) as opened:
        yield opened


@pytest.fixture(scope="module")
def broken(small: World, portal: BlockingPortal) -> Iterator[Api]:
    """Yield an application with routes that fail."""
    application = app.create(small.parts)

    @application.get("/v1/database")
    def database() -> None:
        raise OperationalError("SELECT secret FROM vault", {}, Exception("host db.internal is away"))

    @application.get("/v1/suspended")
    def suspended() -> None:
        raise Suspended("drift was found", advice="Read the finding.", finding="7", rule="runtime/drift")

    @application.get("/v1/gate")
    def gate() -> None:
        raise GateNotSatisfied("two requirements are unmet", unmet=[{"requirement": "evaluated"}])

    with httpx.Client(transport=InProcess(application, portal), base_url=BASE) as http:
        yield Api(http, lambda: small.token(SAMI))


def pieces(number: int) -> Iterator[bytes]:
    """Yield *number* kilobytes piece by piece, without saying how many will come."""
    for _ in range(number):
        yield b" " * 1000


def send(world: World, number: int, **headers: str) -> httpx.Response:
    """Send *number* kilobytes in pieces."""
    sent = {"Authorization": f"Bearer {world.token(DANA)}", "Content-Type": "application/json", **headers}
    return world.http.post("/v1/uploads", content=pieces(number), headers=sent)


@pytest.mark.parametrize("path", ABSENT)
def test_what_is_not_there_is_told_alike_in_every_family(small: World, path: str) -> None:
    answer = small.as_(ADEL).get(path)

    problem(answer, 404, "not-found")
    assert {name.decode() for name in HEADERS} <= set(answer.headers)


def test_what_an_error_knows_is_told_as_members(broken: Api) -> None:
    suspended = problem(broken.get("/v1/suspended"), 423, "suspended")
    gate = problem(broken.get("/v1/gate"), 403, "gate-not-satisfied")

    assert (suspended["finding"], suspended["rule"], suspended["advice"]) == ("7", "runtime/drift", "Read the finding.")
    assert gate["unmet"] == [{"requirement": "evaluated"}]


def test_a_vendors_error_does_not_tell_what_was_asked_of_it(broken: Api) -> None:
    answer = broken.get("/v1/database")
    problem(answer, 500, "internal")

    assert not any(inside in answer.text for inside in ("vault", "db.internal", "Operational", "psycopg"))
    assert {name.decode() for name in HEADERS} <= set(answer.headers)


def test_what_was_sent_is_not_repeated(small: World) -> None:
    body = {"zone": "NO", "digest": "my-secret", "size": -1, "surprise": True}
    told = problem(small.as_(DANA).post("/v1/uploads", body), 422, "malformed")

    assert {place["at"] for place in told["places"]} == {"body.zone", "body.digest", "body.size", "body.surprise"}
    assert "my-secret" not in json.dumps(told)


def test_nobody_chooses_the_id_of_a_request(small: World) -> None:
    answer = small.as_(SAMI).call("GET", "/v1/models", headers={"X-Request-Id": "forged", "X-Correlation-Id": "forged"})

    assert answer.headers["x-request-id"] != "forged"


def test_a_body_in_pieces_is_read_up_to_the_limit_and_not_beyond(small: World) -> None:
    problem(send(small, LIMIT // 1000), 422, "malformed")
    told = problem(send(small, LIMIT // 1000 + 1), 413, "too-large")

    assert str(LIMIT) in told["detail"]
    assert "upload ticket" in told["advice"]


@pytest.mark.parametrize("declared", ["0", "1", "-1", "x", "1e3", "+5", " "])
def test_a_length_that_is_not_true_does_not_open_the_door_to_more(small: World, declared: str) -> None:
    problem(send(small, LIMIT // 1000 + 1, **{"Content-Length": declared}), 413, "too-large")


def test_no_answer_invites_other_origins_or_inline_scripts(small: World) -> None:
    for method in ("GET", "OPTIONS"):
        answer = small.http.request(method, "/v1/models", headers={"Origin": "https://elsewhere.example"})
        assert "access-control-allow-origin" not in answer.headers
        assert not any(weak in answer.headers["content-security-policy"] for weak in ("unsafe", "*", "http:"))
