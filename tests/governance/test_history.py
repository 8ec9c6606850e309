# SPDX-License-Identifier: Apache-2.0
"""What was in production, when, by whom; and aliases that move only to what may be served."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from khatim.vocabulary import JobKind
from tests.support.http import good, problem
from tests.support.people import ADEL, DANA, MONA, PAVEL, PETRA, SAMI
from tests.support.world import MODEL, VERSION, World

ON_MODEL = f"/v1/models/{MODEL}"


def periods(world: World, **asked: str) -> list[dict[str, Any]]:
    query = "&".join(f"{key}={value}" for key, value in asked.items())
    items: list[dict[str, Any]] = good(world.as_(ADEL).get(f"{ON_MODEL}/history?{query}"))["items"]
    return items


def second(world: World) -> str:
    """Bring a second version into production; return its route."""
    good(world.as_(SAMI).post("/v1/trainings", world.training()))
    world.agent.do(JobKind.TRAIN)
    world.agent.do(JobKind.SCAN)
    path = f"{ON_MODEL}/versions/2"
    world.evaluate(path)
    world.approve(path)
    world.promote(path)
    return path


def test_one_query_says_what_was_in_production_when_and_by_whom(production: World) -> None:
    world = production
    between = world.clock()
    world.clock.forward(days=1)
    second(world)
    world.clock.forward(days=1)
    good(world.as_(SAMI).post(f"{VERSION}/promotions", {"to": "archived", "because": "the second is better"}))
    newer, older = periods(world)

    assert (newer["version"], newer["until"], newer["by"]) == (f"{MODEL}@2", None, SAMI.ref)
    assert (older["version"], older["ended_to"], older["ended_by"]) == (f"{MODEL}@1", "archived", SAMI.ref)
    assert {one["role"] for one in older["approvals"]} == {"validator", "privacy-officer", "model-risk-approver"}
    at = (between + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert [one["version"] for one in periods(world, at=at)] == [f"{MODEL}@1"]
    now = (world.clock() + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert [one["version"] for one in periods(world, at=now)] == [f"{MODEL}@2"]
    assert periods(world, stage="staging") == []


def test_a_revocation_ends_what_was_in_production(production: World) -> None:
    good(production.as_(PETRA).post(f"{VERSION}/revocation", {"because": "the data was wrong"}))
    [period] = periods(production)

    assert (period["ended_to"], period["ended_because"]) == ("revoked", "the data was wrong")
    assert period["until"] is not None


def test_nobody_changes_history_not_even_the_service(production: World) -> None:
    with psycopg.connect(production.url("khatim_service")) as connection:
        for statement in ("UPDATE stage_changes SET stage = 'none'", "DELETE FROM stage_changes"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                connection.execute(statement.encode())

    assert len(periods(production)) == 1


def test_a_protected_alias_moves_only_to_what_may_be_served(evaluated: World) -> None:
    champion = f"{ON_MODEL}/aliases/champion"
    refused = problem(evaluated.as_(PAVEL).put(champion, {"number": 1}), 403, "gate-not-satisfied")
    assert "deploy/stage" in {one["rule"] for one in refused["unmet"]}
    evaluated.approve()
    evaluated.promote()
    evaluated.told()
    for who in (SAMI, DANA, ADEL):  # whoever may move other aliases may not move this one
        problem(evaluated.as_(who).put(champion, {"number": 1}), 403, "forbidden")
    good(evaluated.as_(PAVEL).put(champion, {"number": 1, "because": "it beats the old one"}))
    [told] = [one for one in evaluated.told() if one["kind"] == "alias.moved"]

    assert told["payload"]["protected_by"] == ["champion"]
    assert told["payload"]["policy"] == str(evaluated.parts.rules.digest)
    good(evaluated.as_(SAMI).put(f"{ON_MODEL}/aliases/candidate", {"number": 1}))


def test_a_protected_alias_does_not_move_to_what_is_suspended_or_revoked(production: World) -> None:
    world = production
    body = {"about": f"version:{MODEL}@1", "severity": "high", "summary": "it is unfair", "suspend": True}
    name = good(world.as_(PETRA).post("/v1/findings", body))["id"]
    path = f"{ON_MODEL}/aliases/production-eu"
    problem(world.as_(MONA).put(path, {"number": 1}), 403, "gate-not-satisfied")
    good(world.as_(MONA).post(f"/v1/findings/{name}/resolution", {"because": "it is fair"}))
    good(world.as_(MONA).put(path, {"number": 1}))
    good(world.as_(PETRA).post(f"{VERSION}/revocation", {"because": "the data was wrong"}))

    problem(world.as_(MONA).put(path, {"number": 1}), 403, "gate-not-satisfied")


def test_where_an_alias_pointed_is_kept(production: World) -> None:
    second(production)
    for number, because in ((1, "first"), (2, "better"), (1, "no, worse")):
        body = {"number": number, "because": because}
        good(production.as_(PAVEL).put(f"{ON_MODEL}/aliases/champion", body))
    moves = good(production.as_(ADEL).get(f"{ON_MODEL}/aliases/champion/history"))["items"]

    assert [(one["number"], one["because"]) for one in moves] == [(1, "no, worse"), (2, "better"), (1, "first")]
    assert {one["moved_by"] for one in moves} == {PAVEL.ref}
