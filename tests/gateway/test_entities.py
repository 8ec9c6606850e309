# SPDX-License-Identifier: Apache-2.0
"""Two legal entities: a member of one reads, searches, counts and guesses through every route, and finds nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime

import pytest

from khatim.vocabulary import Access, Action, Actor, Decision, Resource, Role
from policies.loading import PolicyBundle
from tests.gateway.test_routes import ROUTES, Ask, Caller, Scene, filled, scene
from tests.support.http import problem
from tests.support.people import person
from tests.support.world import World

__all__ = ["scene"]  # a fixture: one of everything, all of it the clinic's
ENTITIES = """
entities:
  clinic: {name: The Clinic LLC, namespaces: [oncology, cardio*], members: [group:clinic]}
  lab: {name: The Laboratory PJSC, namespaces: [research*], members: ["person:p-lina"]}
everywhere: [group:group-risk]
"""
# The auditor is left out: that role forbids changes, and it is the entity that must keep them away here.
LINA = person("Lina", *(role for role in Role if role not in {Role.AGENT, Role.AUDITOR}))
GETS = {route: asked for route, asked in ROUTES.items() if route.startswith("GET ")}
ASKS = {"POST /v1/transfers/question", "POST /v1/policy/simulation"}  # they change nothing, and anybody may ask
CHANGES = [route for route in ROUTES if route not in {*GETS, *ASKS}]
# A ticket names bytes in a zone, whosever they are: the rules alone say who gets one.
TICKETS = ("/v1/uploads", "/v1/downloads")
# What belongs to the whole installation has no rows of an entity to hide: the rules alone keep it.
WHOLE = (
    "/ledger", "/v1/ledger", "/v1/access", "/v1/people", "/v1/revocations", "/v1/agents", "/v1/sinks", "/v1/policy",
    "/v1/holds", "/v1/erasures", "/v1/waiting", "/v1/service-accounts",
)  # fmt: skip
TABLES = (
    "models", "model_versions", "dataset_versions", "feature_view_versions", "deployments", "findings", "waivers",
    "jobs", "incidents", "approvals", "evidence", "training_authorisations", "transfer_authorisations", "monitor_runs",
)  # fmt: skip


class Forgetful:
    """The rules, if somebody had forgotten to ask them: everything is allowed."""

    def __init__(self, rules: Access) -> None:
        self._rules = rules

    def decide(self, actor: Actor, action: Action, resource: Resource, at: datetime | None = None) -> Decision:
        """Allow."""
        del actor, action, resource, at
        return Decision(allowed=True, rule="test:1", reason="nobody asked")

    def placed(self, actor: Actor) -> Actor:
        """Know the entities."""
        return self._rules.placed(actor)

    def entity_of(self, namespace: str) -> str:
        """Know the entities."""
        return self._rules.entity_of(namespace)


@pytest.fixture(scope="module")
def rules() -> Access:
    """Return access by the rules of an organisation with two entities."""
    return PolicyBundle.of_files({"entities.yaml": ENTITIES}).access


@pytest.fixture(params=["by the rules", "by the database alone"])
def locked(scene: Scene, rules: Access, request: pytest.FixtureRequest) -> Iterator[str]:
    """Put the entities in force; once with both locks, once without the first."""
    ledger = scene.world.parts.ledger
    ledger.judge_by(rules if request.param == "by the rules" else Forgetful(rules))
    yield request.param
    ledger.judge_by(scene.world.parts.rules.access)


def secrets_of(world: World) -> set[str]:
    """Return ids and digests that stand in the clinic's rows."""
    found = {str(row[0]) for table in TABLES for row in world.sql(f"SELECT id FROM {table}")}
    for table in ("model_versions", "dataset_versions", "feature_view_versions", "evidence"):
        found |= {str(row[0]) for row in world.sql(f"SELECT digest FROM {table}")}
    return found


def asked_with(scene: Scene, route: str, asked: Ask) -> str:
    """Return everything that the caller says, and so knows already."""
    path = asked.path or route.partition(" ")[2]
    return str(filled(path, scene.names)) + json.dumps(filled(asked.body or {}, scene.names))


@pytest.fixture(scope="module", autouse=True)
def _known(scene: Scene) -> None:
    """Let Lina have been seen before."""
    scene.world.as_(LINA).get("/v1/whoami")


def lina(scene: Scene) -> Caller:
    """Return the member of the laboratory, who has every role there."""
    return Caller("lina", scene.world.as_(LINA), LINA.roles)


def test_there_is_something_to_find(scene: Scene) -> None:
    assert len(secrets_of(scene.world)) > 20
    assert all(scene.world.sql(f"SELECT count(*) FROM {table}")[0][0] for table in TABLES)


@pytest.mark.parametrize("route", GETS)
def test_no_look_shows_anything_of_another_entity(scene: Scene, locked: str, route: str) -> None:
    asked = GETS[route]
    if locked != "by the rules" and route.removeprefix("GET ").startswith(WHOLE):
        return
    answer = scene.call(lina(scene), route, asked)

    known = asked_with(scene, route, asked)
    assert answer.status_code < 500, answer.text
    assert [one for one in secrets_of(scene.world) if one in answer.text and one not in known] == []


@pytest.mark.parametrize("route", CHANGES)
def test_no_change_reaches_another_entity(scene: Scene, rules: Access, route: str) -> None:
    world = scene.world
    world.parts.ledger.judge_by(rules)
    world.told()
    answer = scene.call(lina(scene), route, ROUTES[route])
    world.parts.ledger.judge_by(world.parts.rules.access)

    assert answer.status_code in (403, 404), answer.text
    assert [one["kind"] for one in world.told() if not one["kind"].endswith(".refused")] == []


@pytest.mark.parametrize(
    "route", [route for route in CHANGES if not route.partition(" ")[2].startswith(WHOLE + TICKETS)]
)
def test_the_database_alone_keeps_changes_from_another_entity(scene: Scene, rules: Access, route: str) -> None:
    world = scene.world
    before = counted(world)
    world.parts.ledger.judge_by(Forgetful(rules))
    answer = scene.call(lina(scene), route, ROUTES[route])
    world.parts.ledger.judge_by(world.parts.rules.access)

    assert answer.status_code >= 400, answer.text
    assert counted(world) == before


def counted(world: World) -> dict[str, str]:
    """Return a digest of every row of the clinic."""
    return {
        table: str(world.sql(f"SELECT md5(string_agg(row(one.*)::text, ',' ORDER BY id)) FROM {table} one")[0][0])
        for table in TABLES
    }


def test_a_member_brings_bytes_for_their_own_namespace_and_takes_only_what_is_theirs(
    scene: Scene, rules: Access
) -> None:
    world, api = scene.world, scene.world.as_(LINA)
    world.parts.ledger.judge_by(rules)
    own = world.as_(LINA).post("/v1/uploads", {**ROUTES["POST /v1/uploads"].body, "namespace": "research"})
    other = api.post("/v1/uploads", {**ROUTES["POST /v1/uploads"].body, "namespace": "oncology"})
    known = api.get(f"/v1/artifacts/{filled(ROUTES['POST /v1/downloads'].body, scene.names)['digest']}/placements")
    world.parts.ledger.judge_by(world.parts.rules.access)

    assert own.status_code == 201, own.text
    problem(other, 404)
    problem(known, 404)


def test_the_ledger_names_the_entity_of_the_namespace(scene: Scene, rules: Access) -> None:
    world = scene.world
    world.parts.ledger.judge_by(rules)
    world.told()
    world.as_(LINA).post("/v1/models/research/first", {})
    world.as_(LINA).post("/v1/models/oncology/first", {})
    world.parts.ledger.judge_by(world.parts.rules.access)

    assert [(one["kind"], one["entity"]) for one in world.told()] == [
        ("model.created", "lab"), ("version.refused", "clinic")
    ]  # fmt: skip
