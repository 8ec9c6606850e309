# SPDX-License-Identifier: Apache-2.0
"""Erasing a person: two people, a ground to refuse, a destroyed key, a tombstone, and no way back by a restore."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from audit.transaction import Reader
from audit.verify_database import verify_database
from gateway import composition
from khatim.errors import Erased, ErasureHeld, Misconfigured, SeparationOfDuties
from khatim.vocabulary import Actor, ActorKind, Role
from registry import erasure, people
from registry.erasure import Eraser, Hold
from registry.personal_keys import KeyFolder, SecretWrap
from registry.tombstones import Graveyard, Tombstone
from registry.vault import Vault
from tests.support.http import good, problem
from tests.support.people import ADEL, DANA, MONA, PETRA, SAMI
from tests.support.world import Step, World, Worlds

ASKED = {"legal_basis": "PDPL Art 15", "because": "left the hospital and asked for it"}
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def here(world: World, tmp_path: Path) -> World:
    """Give a world with a vault of its own (tests share the folder of the others) in which Dana is known."""
    vault = Vault(KeyFolder(tmp_path / "keys", SecretWrap(bytes(32))), Graveyard([tmp_path / "a", tmp_path / "b"]))
    world.parts = replace(world.parts, eraser=Eraser(vault))
    with world.parts.ledger.transaction(DANA.actor) as tx:
        people.know(tx, DANA.ref, DANA.name, vault=vault, email="dana@hospital.example")
    return world


def ask(world: World) -> str:
    """Ask for Dana's erasure as the privacy officer."""
    with world.parts.ledger.transaction(PETRA.actor) as tx:
        return str(erasure.request(tx, DANA.ref, **ASKED).id)


def approve(world: World, name: str, actor: Actor = MONA.actor) -> None:
    """Approve it."""
    with world.parts.ledger.transaction(actor) as tx:
        erasure.approve(tx, name, eraser=world.parts.eraser)


def name_of(world: World, ref: str = DANA.ref) -> str:
    """Return the display name that pages would show."""
    with world.parts.ledger.reading(SAMI.actor) as reader:
        return people.names(reader, [ref], world.parts.vault).get(ref, "")


# -- asked for, approved, done --


def test_an_erasure_deletes_the_record_destroys_the_key_and_leaves_a_tombstone(here: World) -> None:
    assert name_of(here) == DANA.name
    approve(here, ask(here))

    assert name_of(here) == ""
    assert here.sql("SELECT count(*) FROM people") == [(0,)]
    assert here.parts.vault.keys.find(DANA.ref) is None
    assert list(here.parts.vault.graves.read()) == [DANA.ref]
    event = here.told()[-1]
    assert (event["kind"], event["actor"], event["resource"]) == ("person.erased", MONA.ref, f"person:{DANA.ref}")
    assert event["payload"] == {**ASKED, "requested_by": PETRA.ref, "approved_by": MONA.ref, "repeated": False}


def test_the_tombstone_holds_no_personal_data_and_the_chain_still_verifies(here: World) -> None:
    approve(here, ask(here))
    here.sequence()
    signer = composition.ledger_signer(here.parts.settings, here.parts.instance)
    with psycopg.connect(here.url(), autocommit=True) as connection:
        report = verify_database(connection, signer.verifier)
    ledger = b"".join(bytes(row[0]) for row in here.sql("SELECT entry FROM ledger_entries"))

    assert report.kinds["person.erased"] == 1
    assert b"Dana" not in ledger
    assert b"hospital.example" not in ledger
    for path in here.parts.vault.graves.paths:
        assert "Dana" not in path.read_text()


def test_who_asked_cannot_approve_and_neither_can_the_person(here: World) -> None:
    name = ask(here)
    for actor in (PETRA.actor, Actor(DANA.ref, ActorKind.PERSON, frozenset({Role.PRIVACY_OFFICER}))):
        with pytest.raises(SeparationOfDuties):
            approve(here, name, actor)

    assert name_of(here) == DANA.name
    assert [event["payload"]["error"] for event in here.refusals()] == ["separation-of-duties"] * 2
    with pytest.raises(psycopg.errors.CheckViolation):
        here.sql("UPDATE erasures SET state = 'done', approved_by = requested_by, approved_at = now()")


def test_nobody_without_the_role_asks_or_approves(here: World) -> None:
    problem(here.as_(SAMI).post(f"/v1/people/{DANA.ref}/erasure", ASKED), 403)
    problem(here.as_(ADEL).post(f"/v1/people/{DANA.ref}/erasure", ASKED), 403)
    name = ask(here)
    problem(here.as_(ADEL).post(f"/v1/erasures/{name}/approval"), 403)
    problem(here.as_(SAMI).get("/v1/erasures"), 403)

    assert name_of(here) == DANA.name
    assert [event["payload"]["action"] for event in here.refusals()] == ["person.erase"] * 4


def test_an_obligation_to_keep_is_a_ground_that_is_told_and_recorded(here: World) -> None:
    asked: list[str] = []

    def holds(_: Reader, person: str) -> Sequence[Hold]:
        asked.append(person)
        return [Hold("retention/staff", "approvals are kept for five years", "CBUAE MMS 3.9", NOON)]

    here.parts = replace(here.parts, eraser=Eraser(here.parts.vault, holds))
    with pytest.raises(ErasureHeld, match="five years") as raised:
        approve(here, ask(here))

    assert asked == [DANA.ref]
    assert raised.value.members["holds"][0]["until"] == NOON.isoformat()
    [event] = here.refusals()
    assert event["payload"]["members"]["rule"] == "retention/staff"
    assert name_of(here) == DANA.name


def test_an_erasure_is_asked_for_once_and_done_once(here: World) -> None:
    name = ask(here)
    problem(here.as_(PETRA).post(f"/v1/people/{DANA.ref}/erasure", ASKED), 409)
    approve(here, name)
    problem(here.as_(MONA).post(f"/v1/erasures/{name}/approval"), 409)
    problem(here.as_(PETRA).post(f"/v1/people/{DANA.ref}/erasure", ASKED), 409)
    problem(here.as_(PETRA).post("/v1/people/p-nobody/erasure", ASKED), 404)
    problem(here.as_(MONA).post("/v1/erasures/nonsense/approval"), 404)

    assert here.kinds().count("person.erased") == 1


def test_a_reason_that_names_somebody_is_not_taken(here: World) -> None:
    told = problem(
        here.as_(PETRA).post(
            f"/v1/people/{DANA.ref}/erasure", {**ASKED, "because": "asked by dana@hospital.example"}
        ),
        422, "personal-data",
    )  # fmt: skip

    assert "e-mail address" in told["detail"]
    assert "hospital" not in json.dumps(told)


def test_an_erased_person_is_not_learnt_again_by_signing_in(world: World) -> None:
    good(world.as_(DANA).get("/v1/whoami"))
    name = good(world.as_(PETRA).post(f"/v1/people/{DANA.ref}/erasure", ASKED))["id"]
    try:
        done = good(world.as_(MONA).post(f"/v1/erasures/{name}/approval"))
        listed = good(world.as_(PETRA).get("/v1/erasures"))["items"]
        shown = good(world.as_(PETRA).post(f"/v1/people/{DANA.ref}/identity", {"because": "who was that?"}))
        world.clock.forward(minutes=2)  # every worker asks again after a minute
        problem(world.as_(DANA).get("/v1/models"), 403, "erased")
        with pytest.raises(Erased), world.parts.ledger.transaction(DANA.actor) as tx:
            people.know(tx, DANA.ref, DANA.name, vault=world.parts.vault)
    finally:
        for path in world.parts.vault.graves.paths:  # other worlds share this folder
            path.unlink(missing_ok=True)

    assert (done["state"], done["approved_by"]) == ("done", MONA.ref)
    assert listed == [done]
    assert (shown["display_name"], shown["erased"]) == ("", True)


# -- restored --


def test_a_restore_from_before_the_erasure_shows_nobody_and_is_mended_at_the_start(here: World, worlds: Worlds) -> None:
    rows = here.sql("SELECT ref, record, first_seen FROM people")
    box = bytes(rows[0][1])
    approve(here, ask(here))
    # What an older dump brings back: the person's row, no erasure, no ledger entry about it.
    with worlds.at(Step.EMPTY) as older:
        older.parts = replace(older.parts, eraser=here.parts.eraser)
        for row in rows:
            older.sql("INSERT INTO people (ref, record, first_seen) VALUES (%s, %s, %s)", *row)

        assert name_of(older) == ""  # the key is not in any dump
        assert here.parts.vault.open(DANA.ref, box) is None
        assert erasure.repeat(older.parts.ledger, older.parts.vault) == [DANA.ref]
        assert older.sql("SELECT count(*) FROM people") == [(0,)]
        [event] = older.told()
        assert (event["kind"], event["actor"]) == ("person.erased", "service:khatim")
        assert event["payload"] == {**ASKED, "requested_by": PETRA.ref, "approved_by": MONA.ref, "repeated": True}
        with pytest.raises(Erased), older.parts.ledger.transaction(DANA.actor) as tx:
            people.know(tx, DANA.ref, DANA.name, vault=older.parts.vault)
        older.told()
        assert erasure.repeat(older.parts.ledger, older.parts.vault) == []
        assert older.told() == []


def test_a_restore_that_brings_the_keys_back_is_mended_by_the_copy_elsewhere(here: World, worlds: Worlds) -> None:
    row = here.sql("SELECT ref, record, first_seen FROM people")[0]
    vault = here.parts.vault
    assert isinstance(vault.keys, KeyFolder)
    keys = {path: path.read_bytes() for path in vault.keys.folder.iterdir()}
    approve(here, ask(here))
    for path, wrapped in keys.items():  # the whole data folder is an older one ...
        path.write_bytes(wrapped)
    Path(vault.graves.paths[0]).unlink()  # ... and so is its list; the copy is elsewhere
    with worlds.at(Step.EMPTY) as older:
        older.parts = replace(older.parts, eraser=here.parts.eraser)
        older.sql("INSERT INTO people (ref, record, first_seen) VALUES (%s, %s, %s)", *row)
        assert name_of(older) == DANA.name  # this is why it is repeated before the first request

        erasure.repeat(older.parts.ledger, vault)

        assert name_of(older) == ""
        assert vault.keys.find(DANA.ref) is None
        assert list(Graveyard([vault.graves.paths[0]]).read()) == [DANA.ref]


def test_a_crash_between_commit_and_destruction_is_mended_at_the_start(here: World, tmp_path: Path) -> None:
    unwritable = Vault(here.parts.vault.keys, Graveyard([tmp_path]))  # a folder is no file
    here.parts = replace(here.parts, eraser=Eraser(unwritable))
    with pytest.raises(OSError, match="directory"):
        approve(here, ask(here))
    assert unwritable.keys.find(DANA.ref) is not None
    vault = replace(unwritable, graves=Graveyard([tmp_path / "a"]))

    assert erasure.repeat(here.parts.ledger, vault) == []
    assert vault.keys.find(DANA.ref) is None
    assert list(vault.graves.read()) == [DANA.ref]


def test_a_tombstone_in_the_ledger_alone_is_enough(here: World) -> None:
    approve(here, ask(here))
    here.sequence()
    for path in here.parts.vault.graves.paths:
        path.unlink()
    here.sql("DELETE FROM erasures")
    here.sql("INSERT INTO people (ref, first_seen) VALUES (%s, now())", DANA.ref)

    assert erasure.repeat(here.parts.ledger, here.parts.vault) == [DANA.ref]
    assert here.sql("SELECT count(*) FROM people") == [(0,)]
    assert list(here.parts.vault.graves.read()) == [DANA.ref]


def test_the_service_may_not_delete_an_erasure(here: World) -> None:
    with (
        psycopg.connect(here.url("khatim_service")) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("DELETE FROM erasures")


# -- the list outside --


def stone(person: str, **changes: Any) -> Tombstone:
    """Return a tombstone."""
    return replace(Tombstone(person, "PDPL Art 15", "asked for it", PETRA.ref, MONA.ref, NOON), **changes)


def test_every_copy_gets_what_it_lacks_and_nothing_twice(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "far" / "other"
    Graveyard([one]).add([stone("p-1")])
    Graveyard([one, other]).add([stone("p-1"), stone("p-2"), stone("p-2")])

    for path in (one, other):
        assert [json.loads(line)["person"] for line in path.read_text().splitlines()] == ["p-1", "p-2"]
        assert path.stat().st_mode & 0o777 == 0o600
    assert Graveyard([one, other]).read() == {"p-1": stone("p-1"), "p-2": stone("p-2")}


def test_a_line_that_a_crash_cut_short_is_written_anew_and_a_changed_one_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "stones"
    graves = Graveyard([path])
    graves.add([stone("p-1")])
    whole = path.read_text()
    path.write_text(whole + whole[:30])
    assert list(graves.read()) == ["p-1"]
    graves.add([stone("p-2")])
    assert list(graves.read()) == ["p-1", "p-2"]

    path.write_text("nonsense\n")
    with pytest.raises(Misconfigured, match="line 1"):
        graves.read()


def test_the_api_tells_nobody_else_what_was_asked(world: World) -> None:
    answer = world.nobody().get("/v1/erasures")

    assert answer.status_code == httpx.codes.UNAUTHORIZED
