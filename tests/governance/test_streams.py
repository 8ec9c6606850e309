# SPDX-License-Identifier: Apache-2.0
"""Sinks as data: who may add one, in which zone, what is recorded, and what of the ledger goes there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from audit.streams.check import check
from audit.streams.transports import Places
from gateway import streaming
from governance import streams
from governance.streams import Streams, judge
from khatim.errors import AlreadyExists, Conflict, ResidencyRefused
from khatim.wire.streams import AddSink, Target
from tests.support.http import good, problem
from tests.support.people import ADEL, DANA, PAVEL, SAMI
from tests.support.world import ABROAD, ONSHORE, ZONE, World

ORIGIN = "ledger.test.khatim"


@pytest.fixture
def here(world: World, tmp_path: Path) -> Streams:
    """Return what streams are judged with in an installation that stands onshore."""
    return Streams(world.parts.rules.residency, ONSHORE, ORIGIN, Places(tmp_path / "files", tmp_path))


def asked(zone: str = ONSHORE, **more: Any) -> AddSink:
    given: dict[str, Any] = {"name": "siem", "zone": zone, "format": "ecs", "transport": "file"}
    return AddSink(**{**given, "target": Target(file="siem.ndjson"), "because": "the SOC asked", **more})


def add(world: World, here: Streams, body: AddSink | None = None, who: Any = PAVEL) -> str:
    with world.parts.ledger.transaction(who.actor) as tx:
        return str(streams.add(tx, body or asked(), streams=here).id)


def test_a_platform_engineer_adds_a_sink_in_the_registrys_own_zone_and_it_is_told(world: World, here: Streams) -> None:
    name = add(world, here)
    [event] = [one for one in world.told() if one["kind"].startswith("sink.")]
    [row] = good(world.as_(ADEL).get("/v1/sinks"))["items"]

    assert (event["kind"], event["actor"], event["zone"]) == ("sink.added", PAVEL.ref, ONSHORE)
    assert event["payload"]["rule"]
    assert event["payload"]["target"] == {"file": "siem.ndjson"}
    assert (row["id"], row["state"], row["withheld"], row["error"]) == (name, "active", 0, "")


@pytest.mark.parametrize("zone", [ABROAD, "nowhere"])
def test_a_sink_where_the_registrys_metadata_may_not_be_is_refused_with_rule_and_basis_and_recorded(
    world: World, here: Streams, zone: str
) -> None:
    with pytest.raises(ResidencyRefused) as raised:
        add(world, here, asked(zone))
    [event] = world.refusals()

    assert raised.value.members["rule"]
    if zone == ABROAD:
        assert raised.value.members["legal_basis"]
        assert raised.value.members["certainty"]
    assert (event["kind"], event["payload"]["action"]) == ("stream.refused", "stream.manage")
    assert event["payload"]["members"]["rule"] == raised.value.members["rule"]
    assert world.sql("SELECT count(*) FROM sinks") == [(0,)]


def test_without_a_declared_zone_of_the_registry_nothing_is_streamed(world: World, here: Streams) -> None:
    with pytest.raises(ResidencyRefused, match="which zone the registry itself"):
        add(world, replace(here, home=""))
    body = asked().model_dump(mode="json")
    assert problem(world.as_(PAVEL).post("/v1/sinks", body), 403)["rule"] == "streams/no-home"


def test_nobody_else_manages_streams(world: World, here: Streams) -> None:
    add(world, here)
    for who in (DANA, SAMI, ADEL):
        problem(world.as_(who).post("/v1/sinks", asked(name="other").model_dump(mode="json")), 403)
        problem(world.as_(who).post("/v1/sinks/siem/pause", {"because": "no reason"}), 403)

    assert {event["payload"]["action"] for event in world.refusals()} == {"stream.manage"}
    problem(world.as_(DANA).get("/v1/sinks"), 403)
    assert world.sql("SELECT state FROM sinks") == [("active",)]


def test_a_sink_is_paused_resumed_and_removed_and_each_is_told(world: World, here: Streams) -> None:
    add(world, here)
    world.told()
    paused = good(world.as_(PAVEL).post("/v1/sinks/siem/pause", {"because": "maintenance"}))
    with world.parts.ledger.transaction(PAVEL.actor) as tx:
        streams.resume(tx, "siem", because="it is over", streams=here)
    removed = good(world.as_(PAVEL).post("/v1/sinks/siem/removal", {"because": "a new SIEM"}))

    assert (paused["state"], removed["state"]) == ("paused", "removed")
    states = [
        (event["payload"]["before"], event["payload"]["state"])
        for event in world.told()
        if event["kind"].startswith("sink.")
    ]
    assert states == [("active", "paused"), ("paused", "active"), ("active", "removed")]
    problem(world.as_(PAVEL).post("/v1/sinks/siem/pause", {"because": "again"}), 409)
    problem(world.as_(PAVEL).post("/v1/sinks/none/pause", {"because": "again"}), 404)


def test_a_name_is_taken_until_its_sink_is_removed(world: World, here: Streams) -> None:
    add(world, here)
    with pytest.raises(AlreadyExists):
        add(world, here)
    with world.parts.ledger.transaction(PAVEL.actor) as tx:
        streams.remove(tx, "siem", because="a new one comes")
    with world.parts.ledger.transaction(PAVEL.actor) as tx, pytest.raises(Conflict):
        streams.pause(tx, "siem", because="too late")
    add(world, here)


def test_a_test_sends_a_heartbeat_and_says_when_nobody_is_there(world: World, here: Streams) -> None:
    add(world, here)
    gone = asked(name="gone", transport="https", target=Target(url="http://127.0.0.1:9/in"))
    add(world, here, gone)
    world.told()
    with world.parts.ledger.transaction(PAVEL.actor) as tx:
        assert streams.test(tx, "siem", streams=here).answered
        answer = streams.test(tx, "gone", streams=here)

    assert not answer.answered
    assert "does not answer" in answer.error
    assert [event["payload"]["answered"] for event in world.told() if event["kind"].startswith("sink.")] == [
        True,
        False,
    ]


def test_entries_of_other_zones_go_where_their_own_law_lets_them(world: World) -> None:
    decide = judge(lambda: world.parts.rules.residency, ONSHORE)

    assert decide("", ONSHORE)
    assert not decide("", ABROAD)
    assert decide(ZONE, ZONE)
    assert not decide(ZONE, ABROAD)
    assert decide(ZONE, ABROAD).legal_basis
    assert not judge(lambda: world.parts.rules.residency, "")("", ONSHORE)


def test_what_is_added_is_sent_by_the_senders_of_a_server(world: World, here: Streams, tmp_path: Path) -> None:
    add(world, here, asked(start=0))
    world.sequence()
    settings = world.parts.settings.model_copy(update={"data": tmp_path, "zone": ONSHORE})
    sink = world.sql("SELECT id FROM sinks")[0][0]
    sender = streaming.senders(settings, world.url("khatim_sequencer"), ORIGIN).make(sink)
    with sender._connection() as conn:
        assert sender._lead(conn)
        while sender.send_once(conn):
            pass
    found = check((tmp_path / "streams" / "siem.ndjson").read_bytes().splitlines(), start=0)
    [row] = good(world.as_(ADEL).get("/v1/sinks"))["items"]

    assert found.is_complete
    assert row["lag"] == 0
    assert row["sent"] == row["following"] == (found.last or 0) + 1
