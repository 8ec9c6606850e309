# SPDX-License-Identifier: Apache-2.0
"""Archiving decided: permission, residency, retention and legal holds, each refusal recorded, each crash repeatable."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from audit import archives
from audit.archives import Archive, ArchiveFolder
from governance import archiving
from governance.archiving import Archiving
from khatim.errors import Conflict, ErasureHeld, Forbidden, ResidencyRefused
from tests.audit.ledgers import event_body
from tests.support.http import good, problem
from tests.support.people import ADEL, PAVEL, PETRA, Person
from tests.support.world import ZONE, World


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
