# SPDX-License-Identifier: Apache-2.0
"""Legal holds: placed by one, released by two, recorded, and asked before a person is erased."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from governance import holds
from khatim.errors import ErasureHeld
from policies.retention import Record
from registry import erasure, people
from tests.support.http import good, problem
from tests.support.people import ADEL, DANA, MONA, PAVEL, PETRA, SAMI
from tests.support.world import World

REVIEW = "2027-06-01T00:00:00Z"


def asked(**scope: Any) -> dict[str, Any]:
    return {"because": "a claim was filed", "legal_basis": "Civil Procedure Law", "review_due": REVIEW, **scope}


def place(world: World, **scope: Any) -> str:
    return str(good(world.as_(PETRA).post("/v1/holds", asked(**scope)))["id"])


def release(world: World, name: str, who: Any) -> Any:
    return world.as_(who).post(f"/v1/holds/{name}/release", {"because": "the claim was settled"})


def test_a_hold_is_placed_by_an_officer_and_the_ledger_says_what_and_why(world: World) -> None:
    name = place(world, namespace="oncology", since="2026-01-01T00:00:00Z")
    [event] = [one for one in world.told() if one["kind"].startswith("hold.")]
    [row] = good(world.as_(ADEL).get("/v1/holds"))["items"]

    assert (event["kind"], event["resource"], event["actor"]) == ("hold.placed", f"hold:{name}", PETRA.ref)
    assert event["payload"]["scope"] == {"namespace": "oncology", "since": "2026-01-01T00:00:00.000000Z"}
    assert (row["state"], row["placed_by"]) == ("placed", PETRA.ref)


def test_a_hold_without_scope_or_backwards_is_not_taken(world: World) -> None:
    problem(world.as_(PETRA).post("/v1/holds", asked()), 422)
    backwards = asked(since="2026-02-01T00:00:00Z", until="2026-01-01T00:00:00Z")
    problem(world.as_(PETRA).post("/v1/holds", backwards), 422)


def test_a_hold_is_released_by_two_people_and_stands_until_then(world: World) -> None:
    name = place(world, namespace="oncology")
    world.told()
    assert good(release(world, name, PETRA))["state"] == "releasing"
    with world.parts.ledger.reading(ADEL.actor) as reader:
        assert len(holds.in_force(reader)) == 1
    assert problem(release(world, name, PETRA), 403)["rule"] == "holds/two-people"
    assert good(release(world, name, MONA))["released_by"] == MONA.ref
    with world.parts.ledger.reading(ADEL.actor) as reader:
        assert holds.in_force(reader) == []

    assert [kind for kind in world.kinds() if kind.startswith("hold.")] == [
        "hold.release_asked",
        "hold.refused",
        "hold.released",
    ]
    problem(release(world, name, MONA), 409)
    problem(release(world, "nonsense", MONA), 404)


def test_the_database_wants_two_people_as_well(world: World) -> None:
    place(world, namespace="oncology")
    with pytest.raises(psycopg.errors.CheckViolation):
        world.sql("UPDATE legal_holds SET state = 'released', release_asked_by = 'x', released_by = 'x'")


def test_nobody_else_places_or_releases(world: World) -> None:
    name = place(world, namespace="oncology")
    world.told()
    for who in (SAMI, PAVEL, ADEL):
        problem(world.as_(who).post("/v1/holds", asked(namespace="oncology")), 403)
        problem(release(world, name, who), 403)

    assert {event["payload"]["action"] for event in world.refusals()} == {"hold.place", "hold.release"}


def test_a_person_under_hold_is_not_erased_and_the_refusal_names_the_hold(world: World) -> None:
    with world.parts.ledger.transaction(DANA.actor) as tx:
        people.know(tx, DANA.ref, DANA.name, vault=world.parts.vault)
    held = place(world, person=DANA.ref)
    with world.parts.ledger.transaction(PETRA.actor) as tx:
        name = str(erasure.request(tx, DANA.ref, legal_basis="PDPL Art 15", because="asked for it").id)
    world.told()
    with pytest.raises(ErasureHeld), world.parts.ledger.transaction(MONA.actor) as tx:
        erasure.approve(tx, name, eraser=world.parts.eraser)
    [event] = world.refusals()

    assert event["payload"]["members"]["rule"] == f"hold/{held}"
    release(world, held, PETRA)
    release(world, held, MONA)
    with world.parts.ledger.reading(MONA.actor) as reader:
        assert holds.holds_of(world.parts.rules)(reader, DANA.ref) == []


def test_whoever_acted_stays_known_for_as_long_as_the_acts_are_kept(world: World) -> None:
    place(world, namespace="oncology")
    world.sequence()
    with world.parts.ledger.reading(MONA.actor) as reader:
        [hold] = holds.holds_of(world.parts.rules)(reader, PETRA.ref)
        assert hold.rule == "house/identity"
        assert hold.until is not None
        assert hold.until > reader.now + timedelta(days=4 * 365)
        assert holds.holds_of(world.parts.rules)(reader, "p-never-acted") == []


def test_disposal_is_refused_and_recorded_while_a_hold_or_a_period_stands(world: World) -> None:
    place(world, zone="ae-health")
    world.told()
    rules = world.parts.rules.retention
    old, new = world.clock() - timedelta(days=800), world.clock()
    for record, rule in (
        (Record("entries 0 to 255", "ledger-online", old, old, zones=frozenset({"ae-health"})), "hold/"),
        (Record("entries 0 to 255", "ledger-online", old, new), "house/online"),
    ):
        with pytest.raises(ErasureHeld), world.parts.ledger.transaction(PETRA.actor) as tx:
            holds.require_disposable(tx, record, rules=rules)
        [event] = world.refusals()
        assert event["payload"]["members"]["rule"].startswith(rule)
    with world.parts.ledger.reading(PETRA.actor) as reader:
        free = Record("entries 0 to 255", "ledger-online", old, old, zones=frozenset({"ae-onshore"}))
        assert holds.may_dispose(reader, free, rules=rules)
