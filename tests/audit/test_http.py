# SPDX-License-Identifier: Apache-2.0
"""How HTTP meets the mechanism: an answer leaves after its commit, and no route gets around a transaction."""

from __future__ import annotations

import inspect

import psycopg

from audit.http import open_bulk_reader, open_reader, open_shown, open_snapshot, open_transaction
from gateway import app
from tests.support.http import Route, problem, routes_of
from tests.support.people import SAMI
from tests.support.world import World

CREATE = "/v1/models/oncology/malignancy"
OPENERS = {open_reader, open_bulk_reader, open_shown, open_transaction, open_snapshot}
DEFERRED = """
CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'inner words' USING ERRCODE = '23514'; END $$;
CREATE CONSTRAINT TRIGGER no AFTER INSERT ON models DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION no()
"""


def routes(world: World) -> list[Route]:
    """Return every route of the application."""
    found = routes_of(app.create(world.parts))
    assert len(found) > 60
    return found


def test_every_dependency_that_yields_ends_before_the_answer_leaves(world: World) -> None:
    late = [
        f"{route}: {part.call}"
        for route in routes(world)
        for part in route.parts
        if (inspect.isgeneratorfunction(part.call) or inspect.isasyncgenfunction(part.call))
        and part.scope != "function"
    ]

    assert late == []


def test_every_route_that_reads_or_writes_does_so_in_a_transaction_of_ours(world: World) -> None:
    outside = {str(route) for route in routes(world) if not route.calls & OPENERS}

    assert outside == {
        "GET /v1/waiting",  # a reader for each look: none is held open while it waits
        "GET /v1/waiting/events",  # likewise
        "GET /health",
        # The authority asks by rules of its own: a token for a certificate, nobody for a timestamp or a log entry.
        "GET /.well-known/openid-configuration",
        "POST /api/v2/signingCert",
        "GET /api/v2/trustBundle",
        "POST /api/v1/timestamp",
        "POST /api/v2/log/entries",
        "GET /",
        "GET /console",
        "GET /console/static/{path:path}",
        "GET /sign-in",
        "GET /sign-in/begin",
        "GET /sign-in/callback",  # as the redeeming of a link, and so does the provider's word that a session ended
        "POST /sign-in/back-channel-logout",
        "GET /v1/sign-in",
        "POST /sign-in",  # redeems the link in a transaction of its own
        "POST /sign-out",  # forgets a cookie
    }


def test_every_route_of_the_api_that_writes_remembers_its_answer(world: World) -> None:
    forgetful = [
        str(route)
        for route in routes(world)
        if open_transaction in route.calls and route.path.startswith("/v1/")
        if not getattr(route.endpoint, "__remembers__", False)
    ]

    assert forgetful == []


def test_reading_routes_do_not_open_a_writing_transaction(world: World) -> None:
    writing = [str(route) for route in routes(world) if route.method == "GET" and open_transaction in route.calls]

    assert writing == []


def test_a_commit_that_fails_is_never_answered_with_success(world: World) -> None:
    with psycopg.connect(world.url("khatim_owner"), autocommit=True) as connection:
        connection.execute(DEFERRED.encode())
    answer = world.as_(SAMI).post(CREATE)

    body = problem(answer, 500, "internal")
    assert "inner words" not in answer.text
    assert "models" not in body["detail"]
    assert world.kinds() == ["person.known"]
    assert world.sql("SELECT count(*) FROM models") == [(0,)]


def test_a_commit_that_fails_is_not_remembered_as_an_answer(world: World) -> None:
    with psycopg.connect(world.url("khatim_owner"), autocommit=True) as connection:
        connection.execute(DEFERRED.encode())
        problem(world.as_(SAMI).post(CREATE, key="once"), 500)
        connection.execute(b"DROP TRIGGER no ON models")
    answer = world.as_(SAMI).post(CREATE, key="once")

    assert answer.status_code == 201
    assert "idempotency-replayed" not in answer.headers


def test_a_database_that_hangs_up_gets_a_plain_answer_and_the_next_request_works(world: World) -> None:
    api = world.as_(SAMI)
    assert api.get("/v1/models").status_code == 200
    world.postgres.hang_up(world.database)

    assert api.get("/v1/models").status_code in (200, 503)
    assert api.post(CREATE).status_code == 201


def test_a_database_that_is_gone_is_unavailable_and_no_refusal(world: World) -> None:
    api = world.as_(SAMI)
    api.get("/v1/models")
    world.postgres.close_down(world.database)

    for answer in (api.get("/v1/models"), api.post(CREATE), world.nobody().get("/health")):
        body = problem(answer, 503, "unavailable")
        assert world.database not in answer.text
        assert body["advice"]


def test_nobody_gets_no_transaction(world: World) -> None:
    body = problem(world.nobody().post(CREATE), 401, "unauthenticated")

    assert "bearer token" in body["advice"]
    assert world.told() == []
