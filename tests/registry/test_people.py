# SPDX-License-Identifier: Apache-2.0
"""People: a reference in the ledger, an encrypted record beside it, and a recorded look at who that is."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khatim.errors import Forbidden, NotFound, VerificationFailed
from registry import people
from registry.personal_keys import KeyFolder, SecretWrap, opened, sealed
from registry.tombstones import Graveyard
from registry.vault import Vault
from tests.support.http import good, problem
from tests.support.people import ADEL, DANA, PETRA, SAMI
from tests.support.world import World

REF, NAME, EMAIL = "p-0123456789", "Zubaida Al Farsi", "zubaida.alfarsi@hospital.example"
WHY = {"because": "a regulator asked who approved this"}


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """Give a vault of its own."""
    return Vault(KeyFolder(tmp_path / "keys", SecretWrap(bytes(32))), Graveyard([tmp_path / "erasures.jsonl"]))


def know(world: World) -> None:
    """Note a person with name and address."""
    with world.parts.ledger.transaction(SAMI.actor) as tx:
        people.know(tx, REF, NAME, vault=world.parts.vault, email=EMAIL)


# -- the record --


def test_no_name_and_no_address_stands_in_the_database(world: World) -> None:
    know(world)
    [(record,)] = world.sql("SELECT record FROM people WHERE ref = %s", REF)
    dump = "\n".join(str(row) for row in world.sql("SELECT people::text FROM people"))

    assert NAME.encode() not in bytes(record)
    assert EMAIL.encode() not in bytes(record)
    assert NAME not in dump
    assert world.kinds() == ["person.known"]


def test_who_is_known_is_not_noted_twice(world: World) -> None:
    know(world)
    know(world)

    assert world.kinds() == ["person.known"]


def test_who_lost_their_key_is_noted_anew(world: World) -> None:
    know(world)
    world.parts.vault.keys.destroy(REF)
    with world.parts.ledger.reading(SAMI.actor) as reader:
        assert people.names(reader, [REF], world.parts.vault) == {}
    know(world)
    with world.parts.ledger.reading(SAMI.actor) as reader:
        assert people.names(reader, [REF], world.parts.vault) == {REF: NAME}

    assert world.kinds() == ["person.known", "person.known"]


# -- looking at who that is --


def test_who_stands_behind_a_reference_is_told_to_a_privacy_officer_and_recorded_with_the_reason(world: World) -> None:
    know(world)
    told = good(world.as_(PETRA).post(f"/v1/people/{REF}/identity", WHY))

    assert (told["display_name"], told["email"], told["erased"]) == (NAME, EMAIL, False)
    [event] = [one for one in world.told() if one["kind"] == "person.identified"]
    assert (event["actor"], event["resource"]) == (PETRA.ref, f"person:{REF}")
    assert event["payload"] == WHY


@pytest.mark.parametrize("who", [DANA, ADEL], ids=["data engineer", "auditor"])
def test_nobody_else_is_told_and_the_attempt_is_recorded(world: World, who: object) -> None:
    know(world)
    told = problem(world.as_(who).post(f"/v1/people/{REF}/identity", WHY), 403, "forbidden")  # type: ignore[arg-type]  # a person

    assert NAME not in str(told)
    assert [one["payload"]["action"] for one in world.refusals()] == ["person.identify"]


def test_an_identity_that_cannot_be_recorded_is_not_told(world: World) -> None:
    know(world)
    good(world.as_(PETRA).get("/v1/whoami"))
    world.sql("REVOKE INSERT ON ledger_outbox FROM khatim_service")
    answer = world.as_(PETRA).post(f"/v1/people/{REF}/identity", WHY)
    world.sql("GRANT INSERT ON ledger_outbox TO khatim_service")

    assert answer.status_code == 500
    assert NAME not in answer.text


def test_a_retry_with_the_same_key_is_recorded_again_and_nothing_of_the_answer_is_kept(world: World) -> None:
    know(world)
    for _ in range(2):
        told = good(world.as_(PETRA).post(f"/v1/people/{REF}/identity", WHY, key="once"))
        assert told["display_name"] == NAME

    assert world.kinds().count("person.identified") == 2
    assert world.sql("SELECT body FROM answers") == []


def test_nobody_known_is_not_there(world: World) -> None:
    problem(world.as_(PETRA).post("/v1/people/p-nobody/identity", WHY), 404)
    with pytest.raises(NotFound), world.parts.ledger.transaction(PETRA.actor) as tx:
        people.identify(tx, "p-nobody", because="a reason", vault=world.parts.vault)
    with pytest.raises(Forbidden), world.parts.ledger.transaction(SAMI.actor) as tx:
        people.identify(tx, "p-nobody", because="a reason", vault=world.parts.vault)


# -- keys and records --


@given(st.text(), st.text(), st.binary(min_size=32, max_size=32))
def test_what_is_sealed_opens_with_its_key_for_its_subject_only(text: str, about: str, key: bytes) -> None:
    box = sealed(key, text.encode(), about)

    assert opened(key, box, about) == text.encode()
    for with_key, what, whose in (
        (bytes(b ^ 1 for b in key), box, about),
        (key, box, about + "x"),
        (key, box[:-1] + bytes([box[-1] ^ 1]), about),
        (key, b"", about),
    ):
        with pytest.raises(VerificationFailed):
            opened(with_key, what, whose)


def test_a_record_opens_while_its_key_is_there_and_never_again(vault: Vault) -> None:
    box = vault.seal(REF, {"display_name": NAME})

    assert vault.open(REF, box) == {"display_name": NAME}
    assert vault.open("p-another", box) is None
    assert vault.open(REF, None) is None
    assert vault.keys.destroy(REF)
    assert vault.open(REF, box) is None
    assert not vault.keys.destroy(REF)
    vault.seal(REF, {"display_name": "somebody else"})
    assert vault.open(REF, box) is None  # a new key does not open what the old one sealed


def test_a_key_file_is_wrapped_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    keys = KeyFolder(tmp_path / "keys", SecretWrap(bytes(32)))
    key = keys.make(REF)
    [file] = (tmp_path / "keys").iterdir()

    assert key not in file.read_bytes()
    assert REF not in file.name
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    with pytest.raises(VerificationFailed):
        KeyFolder(tmp_path / "keys", SecretWrap(bytes(31) + b"1")).find(REF)


def test_makers_at_the_same_time_get_one_key(tmp_path: Path) -> None:
    keys, gate, made = KeyFolder(tmp_path / "keys", SecretWrap(bytes(32))), threading.Barrier(8), []

    def make() -> None:
        gate.wait()
        made.append(keys.make(REF))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(made)) == 1
    assert len(list((tmp_path / "keys").iterdir())) == 1
