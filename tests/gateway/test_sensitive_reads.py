# SPDX-License-Identifier: Apache-2.0
"""Reads that show what ordinary reading does not leave their entry before a byte leaves, and are refused without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute, iter_route_contexts

from gateway import app, housekeeping
from registry import people
from tests.support.http import Api
from tests.support.people import ADEL, DANA, MONA, PAVEL, PETRA, SAMI, Person
from tests.support.world import MODEL, ZONE, Step, World, Worlds

WHO, WHY = "p-somebody", {"because": "a regulator asked"}


@dataclass(frozen=True)
class Sensitive:
    """One sensitive route: how it is asked, by whom, what it leaves, and who may not."""

    ask: Callable[[World, Api], httpx.Response]
    by: Person
    kind: str
    about: str
    not_by: Person
    refused: str


def model_file(world: World) -> str:
    """Return the digest of the model's file, which stands in the zone."""
    return str(world.sql("SELECT digest FROM placements ORDER BY digest LIMIT 1")[0][0])


def download(world: World, api: Api) -> httpx.Response:
    """Ask for a ticket to take a file out."""
    return api.post("/v1/downloads", {"zone": ZONE, "digest": model_file(world), "to_zone": ZONE})


def export(world: World, api: Api) -> httpx.Response:
    """Export an engagement."""
    with world.sequencing():
        namespace, name = MODEL.split("/")
        return api.call("POST", f"/v1/engagements?namespace={namespace}&name={name}&number=1")


SENSITIVE = {
    "POST /v1/downloads": Sensitive(
        download, SAMI, "artifact.download_authorised", "artifact:", PAVEL, "artifact.refused"
    ),
    "POST /v1/engagements": Sensitive(export, ADEL, "engagement.exported", "", DANA, "engagement.refused"),
    "POST /v1/people/{ref}/identity": Sensitive(
        lambda _, api: api.post(f"/v1/people/{WHO}/identity", WHY), PETRA, "person.identified", f"person:{WHO}",
        SAMI, "person.refused",
    ),
    "GET /ledger/tile/{path:path}": Sensitive(
        lambda _, api: api.get("/ledger/tile/entries/000.p/1"), ADEL, "ledger.copied", "ledger:ledger",
        DANA, "ledger.refused",
    ),
    "GET /ledger/payload/{digest}": Sensitive(
        lambda _, api: api.get("/ledger/payload/sha256:" + "0" * 64), MONA, "ledger.copied", "ledger:ledger",
        DANA, "ledger.refused",
    ),
}  # fmt: skip
# Every other route whose answer is neither JSON nor a page, and why it is none of them.
OTHER_BYTES = {
    "GET /ledger/checkpoint": "a signed root: made to be shown to everybody",
    "GET /ledger/endorsed": "the same root with what others put under it",
    "GET /v1/policy": "the policy: it is signed and holds no data",
    "POST /api/v1/timestamp": "a timestamp over a digest that the caller brought",
}


@pytest.fixture
def ready(worlds: Worlds) -> Iterator[World]:
    """Give a world with a version, a person of its own, and something in the ledger."""
    with worlds.at(Step.READY) as world:
        with world.parts.ledger.transaction(SAMI.actor) as tx:
            people.know(tx, WHO, "Somebody", vault=world.parts.vault)
        world.sequence()
        for person in (SAMI, ADEL, PETRA, MONA, DANA, PAVEL):  # known, so that nothing else is told below
            world.as_(person).get("/v1/whoami")
        world.told()
        yield world


def routes(world: World) -> dict[str, APIRoute]:
    """Return every route of the server."""
    found: dict[str, Any] = {}
    for context in iter_route_contexts(app.create(world.parts).routes):
        if isinstance(route := context.original_route, APIRoute):
            found.update({f"{method} {context.path}": route for method in route.methods or ()})
    return found


def test_every_route_that_hands_out_bytes_is_sensitive_or_says_why_not(world: World) -> None:
    ours = {"application/json", "text/html", "text/plain; charset=utf-8"}
    bytes_out = {
        name
        for name, route in routes(world).items()
        for content in (answer.get("content", {}) for answer in route.responses.values())
        if set(content) - ours - {"application/problem+json"}
    }

    assert bytes_out - SENSITIVE.keys() - OTHER_BYTES.keys() == set()


def test_every_sensitive_route_is_there(world: World) -> None:
    assert SENSITIVE.keys() <= routes(world).keys()


@pytest.mark.parametrize("name", SENSITIVE)
def test_a_sensitive_read_leaves_its_entry(ready: World, name: str) -> None:
    one = SENSITIVE[name]
    one.ask(ready, ready.as_(one.by))

    [event] = [event for event in ready.told() if not event["kind"].startswith(("statement.", "person.known"))]
    assert (event["kind"], event["actor"]) == (one.kind, one.by.ref)
    assert event["resource"].startswith(one.about)


@pytest.mark.parametrize("name", SENSITIVE)
def test_somebody_who_may_not_leaves_a_refusal(ready: World, name: str) -> None:
    one = SENSITIVE[name]
    answer = one.ask(ready, ready.as_(one.not_by))

    assert answer.status_code in {403, 404}
    [event] = ready.told()
    assert (event["kind"], event["actor"]) == (one.refused, one.not_by.ref)


@pytest.mark.parametrize("name", SENSITIVE)
def test_nobody_leaves_a_count(ready: World, name: str) -> None:
    one = SENSITIVE[name]
    answer = one.ask(ready, ready.nobody())
    housekeeping.tell_counts(ready.parts.ledger, is_end=True)

    assert answer.status_code == 401
    [event] = ready.told()
    assert (event["kind"], event["payload"]["count"]) == ("refusals.counted", 1)


@pytest.mark.parametrize("name", SENSITIVE)
def test_a_sensitive_read_that_cannot_be_recorded_shows_nothing(ready: World, name: str) -> None:
    one = SENSITIVE[name]
    ready.sql("CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$")
    ready.sql("CREATE TRIGGER no BEFORE INSERT ON ledger_outbox FOR EACH ROW EXECUTE FUNCTION no()")
    answer = one.ask(ready, ready.as_(one.by))

    assert answer.status_code == 500
    assert set(answer.json()) == {"type", "title", "status", "detail", "request_id"}
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_copy_of_the_ledger_is_recorded_once_an_hour_and_not_once_a_tile(ready: World) -> None:
    api = ready.as_(ADEL)
    for _ in range(3):
        assert api.get("/ledger/tile/entries/000.p/1").is_success
    assert ready.kinds() == ["ledger.copied"]
    ready.clock.forward(hours=1)
    assert api.get("/ledger/tile/0/000.p/1").is_success
    assert ready.kinds() == ["ledger.copied"]
