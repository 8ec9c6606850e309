# SPDX-License-Identifier: Apache-2.0
"""Refusals at the front door: strangers are counted by a keyed source, and no address ever stands in the ledger."""

from __future__ import annotations

import ipaddress
import os
import signal
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import psycopg
import pytest
from anyio.from_thread import BlockingPortal
from hypothesis import given
from hypothesis import strategies as st

from gateway import app, housekeeping
from gateway.embedded import EmbeddedDatabase
from gateway.sources import Sources
from tests.processes.installation import Installation
from tests.support.http import BASE, InProcess, problem
from tests.support.people import DANA, SAMI, VERA
from tests.support.world import World

KEY = bytes(range(32))
ADDRESS, NEIGHBOUR = "203.0.113.7", "203.0.113.8"


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """Give an installation that is stopped at the end, whatever happened."""
    made = Installation(tmp_path)
    yield made
    made.down()


def knock(world: World, portal: BlockingPortal, address: str, times: int) -> None:
    """Ask with a wrong token from an address."""
    transport = InProcess(app.create(world.parts), portal, client=(address, 4000))
    with httpx.Client(transport=transport, base_url=BASE) as http:
        for _ in range(times):
            problem(http.get("/v1/whoami", headers={"Authorization": "Bearer nonsense"}), 401)


def told(world: World) -> list[tuple[str, int, dict[str, int]]]:
    """Tell the counts, and return what the ledger heard."""
    housekeeping.tell_counts(world.parts.ledger, is_end=True)
    return [
        (event["resource"], event["payload"]["count"], event["payload"]["reasons"])
        for event in world.told()
        if event["kind"] == "refusals.counted"
    ]


# -- who is counted --


def test_unknown_tokens_are_one_event_a_source_and_minute(world: World, portal: BlockingPortal) -> None:
    knock(world, portal, ADDRESS, 25)
    knock(world, portal, NEIGHBOUR, 3)

    sources = world.parts.sources
    assert told(world) == [
        (f"source:{sources.of(ADDRESS)}", 25, {"unauthenticated": 25}),
        (f"source:{sources.of(NEIGHBOUR)}", 3, {"unauthenticated": 3}),
    ]


def test_a_request_without_a_token_an_expired_one_and_a_wrong_link_count_as_well(world: World) -> None:
    expired = world.token(SAMI, seconds=1)
    world.clock.forward(minutes=5)
    problem(world.nobody().get("/v1/models"), 401)
    problem(world.bearer(expired).get("/v1/models"), 401, "token-expired")
    assert world.http.get("/sign-in?link=nonsense", headers={"accept": "text/html"}).status_code == 401

    assert [reasons for _, _, reasons in told(world)] == [{"token-expired": 1, "unauthenticated": 2}]


def test_somebody_who_is_refused_is_told_under_their_reference_and_not_as_a_stranger(world: World) -> None:
    problem(world.as_(DANA).post("/v1/models/oncology/malignancy"), 403)

    assert [event["actor"] for event in world.refusals()] == [DANA.ref]
    assert told(world) == []


def test_what_is_not_there_and_what_cannot_be_read_is_not_counted(world: World) -> None:
    problem(world.as_(SAMI).get("/v1/models/oncology/none"), 404)
    problem(world.as_(SAMI).post("/v1/models/oncology/malignancy", {"tier": 9}), 422)
    problem(world.nobody().get("/v1/nowhere"), 404)

    assert told(world) == []


def test_a_minute_is_told_when_it_is_over(world: World, portal: BlockingPortal) -> None:
    knock(world, portal, ADDRESS, 2)

    assert housekeeping.tell_counts(world.parts.ledger) == 0
    world.clock.forward(minutes=1)
    assert housekeeping.tell_counts(world.parts.ledger) == 1


def test_counts_that_the_database_does_not_take_wait_for_it(world: World, portal: BlockingPortal) -> None:
    knock(world, portal, ADDRESS, 2)
    world.clock.forward(minutes=1)
    world.sql("REVOKE INSERT ON ledger_outbox FROM khatim_service")
    world.sql("ALTER TABLE ledger_outbox RENAME TO hidden")
    with pytest.raises(Exception, match="ledger_outbox"):
        housekeeping.tell_counts(world.parts.ledger)
    world.sql("ALTER TABLE hidden RENAME TO ledger_outbox")
    world.sql("GRANT INSERT ON ledger_outbox TO khatim_service")

    assert [count for _, count, _ in told(world)] == [2]


# -- no address --


def test_the_ledger_holds_no_address_and_no_plain_hash_of_one(world: World, portal: BlockingPortal) -> None:
    knock(world, portal, ADDRESS, 1)
    housekeeping.tell_counts(world.parts.ledger, is_end=True)
    world.sequence()
    ledger = b"".join(bytes(row[0]) for row in world.sql("SELECT entry FROM ledger_entries"))

    assert ADDRESS.encode() not in ledger
    assert Sources(b"").of(ADDRESS).encode() not in ledger
    assert world.parts.sources.of(ADDRESS).encode() in ledger


@given(st.ip_addresses(), st.ip_addresses())
def test_a_source_is_an_ipv4_address_or_the_network_of_an_ipv6_customer(
    one: ipaddress.IPv4Address | ipaddress.IPv6Address, other: ipaddress.IPv4Address | ipaddress.IPv6Address
) -> None:
    sources = Sources(KEY)

    def network(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> object:
        if isinstance(address, ipaddress.IPv6Address):
            return address.ipv4_mapped or int(address) >> 64
        return address

    assert (sources.of(str(one)) == sources.of(str(other))) is (network(one) == network(other))
    assert sources.of(str(one)) != Sources(bytes(32)).of(str(one))
    assert str(one) not in sources.of(str(one))


def test_a_source_without_an_address_is_unknown() -> None:
    assert Sources(KEY).of("") == "unknown"


# -- the counts end with the process, not in it --


def counted(data: Path) -> list[tuple[str, int]]:
    """Return worker and count of every event of counted refusals, sequenced or not."""
    query = (
        "SELECT convert_from(entry, 'UTF8')::json -> 'event' FROM ledger_entries UNION ALL "
        "SELECT convert_from(body, 'UTF8')::json FROM ledger_outbox"
    )
    database = EmbeddedDatabase(data / "postgres")
    database.start()
    try:
        with psycopg.connect(database.url("postgres")) as connection:
            events = [row[0] for row in connection.execute(query.encode())]
    finally:
        database.stop()
    counts = [event["payload"] for event in events if event["kind"] == "refusals.counted"]
    return [(payload["worker"], payload["count"]) for payload in counts]


def test_a_server_that_is_stopped_tells_the_open_minute_of_every_worker(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KHATIM_WORKERS", "2")
    installation.up()
    for _ in range(60):
        assert httpx.get(f"{installation.url}/v1/models").status_code == 401
    installation.down()
    told = counted(installation.data)

    assert sum(count for _, count in told) == 60
    assert 1 <= len({worker for worker, _ in told}) <= 2
    assert len(told) <= 2 * len({worker for worker, _ in told})  # one for each worker and minute


def test_a_server_that_is_killed_loses_the_open_minute_and_no_other(installation: Installation) -> None:
    installation.up()
    assert httpx.get(f"{installation.url}/v1/models").status_code == 401
    os.kill(installation.pid(), signal.SIGKILL)
    time.sleep(0.5)

    assert counted(installation.data) == []


# -- a flood --


def test_a_flood_of_refusals_does_not_fill_the_ledger(world: World, portal: BlockingPortal) -> None:
    began = world.clock()
    knock(world, portal, ADDRESS, 500)
    for _ in range(200):
        world.as_(VERA).post("/v1/models/oncology/malignancy")
    took = world.clock() - began
    housekeeping.tell_counts(world.parts.ledger, is_end=True)
    events = world.told()

    assert len(events) <= 60 + took / timedelta(seconds=1) + 2 * (took / timedelta(minutes=1) + 2) + 1
    one_by_one = sum(event["kind"] == "version.refused" for event in events)
    in_masses = sum(event["payload"]["count"] for event in events if event["kind"].startswith("refusals."))
    assert one_by_one + in_masses == 700
