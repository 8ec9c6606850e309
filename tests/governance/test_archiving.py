# SPDX-License-Identifier: Apache-2.0
"""Archiving decided: permission, residency, retention and legal holds, each refusal recorded, each crash repeatable."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from audit import archives
from audit.archives import Archive, ArchiveFolder
from audit.streams.transports import Places
from governance import archiving, streams
from governance.archiving import Archiving
from governance.streams import Streams
from khatim.errors import Conflict, EntryArchived, ErasureHeld, Forbidden, ResidencyRefused
from tests.audit.ledgers import event_body
from tests.governance.test_streams import asked
from tests.support.http import good, problem
from tests.support.people import ADEL, PAVEL, PETRA, Person
from tests.support.world import ONSHORE, ZONE, World


@pytest.fixture
def desk(world: World, tmp_path: Path) -> Archiving:
    """Fill the ledger with old and new entries; return what archives are made with."""
    world.sql("INSERT INTO ledger_outbox (body) SELECT unnest(%s::bytea[])", [event_body(at) for at in range(600)])
    world.sequence()
    world.told()
    return Archiving(world.parts.rules, ZONE, ArchiveFolder(tmp_path))


def make(world: World, desk: Archiving, first: int = 0, end: int = 256, who: Person = PAVEL) -> Archive:
    with world.parts.ledger.transaction(who.actor) as tx:
        return archiving.archive(tx, first, end, desk=desk)


def let_go(world: World, desk: Archiving, who: Person = PAVEL) -> Archive:
    with world.parts.ledger.transaction(who.actor) as tx:
        return archiving.let_go(tx, 0, desk=desk)


def remove(world: World, desk: Archiving, archive: Archive) -> int:
    with psycopg.connect(world.url("khatim_sequencer"), autocommit=True) as conn:
        return archives.remove(conn, archive, desk.folder)


def test_an_archive_is_made_recorded_and_its_rows_go_when_the_ledger_was_online_long_enough(
    world: World, desk: Archiving
) -> None:
    with world.parts.ledger.reading(PAVEL.actor) as reader:
        assert archiving.ranges(reader, before=None, below=599, tiles=1) == [(0, 256), (256, 512)]
    made = make(world, desk)
    with pytest.raises(Conflict):  # a crash between event and sequencing: the rows stay
        remove(world, desk, made)
    world.sequence()
    with pytest.raises(ErasureHeld) as held:
        let_go(world, desk)
    assert held.value.members["rule"] == "house/online"

    world.clock.forward(days=400)
    assert let_go(world, desk) == made
    kinds = [kind for kind in world.kinds() if kind.startswith("ledger.")]
    assert kinds == ["ledger.archived", "ledger.refused", "ledger.archived_removed"]
    assert remove(world, desk, made) == 255
    assert remove(world, desk, made) == 0
    problem(world.as_(ADEL).get("/v1/ledger/entries/7"), 410)
    good(world.as_(ADEL).get("/v1/ledger/entries/300"))


def stream(world: World, tmp_path: Path, start: int, name: str = "siem") -> None:
    here = Streams(world.parts.rules.residency, ONSHORE, "ledger.test.khatim", Places(tmp_path / "files", tmp_path))
    with world.parts.ledger.transaction(PAVEL.actor) as tx:
        streams.add(tx, asked(name=name, start=start), streams=here)


@pytest.mark.parametrize(("following", "waits"), [(0, True), (255, True), (1255, True), (1256, False)])
def test_what_a_stream_may_still_send_or_repeat_stays_in_the_database(
    world: World, desk: Archiving, tmp_path: Path, following: int, *, waits: bool
) -> None:
    made = make(world, desk)
    stream(world, tmp_path, 0)
    world.sql(
        "INSERT INTO sink_deliveries (sink_id, following, sent, withheld, failures, error, at) "
        "SELECT id, %s, 0, 0, 0, '', now() FROM sinks", following,
    )  # fmt: skip
    world.clock.forward(days=400)
    if not waits:
        assert let_go(world, desk) == made
        return
    with pytest.raises(Conflict, match="the stream to siem may still need entries below 256") as refused:
        let_go(world, desk)
    assert "khatim streams" in refused.value.advice
    good(world.as_(PAVEL).post("/v1/sinks/siem/removal", {"because": "it is replaced"}))
    assert let_go(world, desk) == made


def test_a_stream_does_not_begin_where_the_entries_have_left(world: World, desk: Archiving, tmp_path: Path) -> None:
    made = make(world, desk)
    world.clock.forward(days=400)
    let_go(world, desk)
    world.sequence()
    remove(world, desk, made)
    with pytest.raises(EntryArchived) as refused:
        stream(world, tmp_path, 7, "late")
    assert refused.value.members["archive"] == made.place
    stream(world, tmp_path, 256, "from-there")


def test_archives_are_listed_with_whether_their_rows_are_there(world: World, desk: Archiving) -> None:
    made, other = make(world, desk), make(world, desk, 256, 512)
    world.clock.forward(days=400)
    let_go(world, desk)
    world.sequence()
    remove(world, desk, made)
    first, second = good(world.as_(ADEL).get("/v1/ledger/archives"))["items"]

    assert (first["digest"], first["online"]) == (made.digest, False)
    assert (second["digest"], second["online"]) == (other.digest, True)
    assert (first["link"], first["root"]) == (made.link.hex(), made.root.hex())


def test_rows_younger_than_asked_are_not_removed(world: World, desk: Archiving) -> None:
    old = make(world, desk)
    world.clock.forward(days=10)
    world.sql("INSERT INTO ledger_outbox (body) SELECT unnest(%s::bytea[])", [event_body(at) for at in range(600, 900)])
    world.sequence()
    young = make(world, desk, 256, 768)
    with world.parts.ledger.reading(PAVEL.actor) as reader:
        assert archiving.removable(reader, before=None, below=768) == [old, young]
        assert archiving.removable(reader, before=None, below=767) == [old]
        assert archiving.removable(reader, before=None, below=255) == []


def test_rows_as_young_as_the_day_that_was_asked_are_not_removed(world: World, desk: Archiving) -> None:
    old, young = make(world, desk), make(world, desk, 256, 512)
    day = datetime(2026, 1, 1, tzinfo=UTC)
    # As a ledger would stand there that was begun the year before; the rows are those of a superuser.
    world.sql("ALTER TABLE ledger_entries DISABLE TRIGGER USER")
    world.sql('UPDATE ledger_entries SET "at" = %s WHERE "index" < 300', day - timedelta(seconds=1))
    with world.parts.ledger.reading(PAVEL.actor) as reader:
        assert archiving.removable(reader, before=day, below=None) == [old]
        assert archiving.removable(reader, before=day - timedelta(seconds=1), below=None) == []
        assert archiving.removable(reader, before=world.clock(), below=None) == [old, young]


def test_a_legal_hold_keeps_rows_in_the_database(world: World, desk: Archiving) -> None:
    make(world, desk)
    body = {"because": "a claim", "legal_basis": "law", "review_due": "2028-01-01T00:00:00Z", "namespace": "oncology"}
    good(world.as_(PETRA).post("/v1/holds", body))
    world.clock.forward(days=400)
    with pytest.raises(ErasureHeld) as held:
        let_go(world, desk)
    assert held.value.members["rule"].startswith("hold/")


def test_who_may_not_archive_is_refused_and_that_is_recorded(world: World, desk: Archiving) -> None:
    for who in (ADEL, PETRA):
        with pytest.raises(Forbidden):
            make(world, desk, who=who)
    assert [one["payload"]["action"] for one in world.refusals()] == ["ledger.archive"] * 2
    with world.parts.ledger.reading(ADEL.actor) as reader:
        assert archiving.listed(reader) == []


def test_without_a_declared_zone_nothing_is_archived(world: World, desk: Archiving) -> None:
    with pytest.raises(ResidencyRefused):
        make(world, replace(desk, zone=""))


def test_a_crash_between_file_and_record_leaves_a_file_that_the_next_run_makes_again(
    world: World, desk: Archiving
) -> None:
    class Crash(Exception):
        pass

    with pytest.raises(Crash), world.parts.ledger.transaction(PAVEL.actor) as tx:
        lost = archiving.archive(tx, 0, 256, desk=desk)
        raise Crash
    assert desk.folder.read(lost.place) is not None
    with world.parts.ledger.reading(ADEL.actor) as reader:
        assert archiving.listed(reader) == []
    assert make(world, desk).digest == lost.digest
