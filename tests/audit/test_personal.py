# SPDX-License-Identifier: Apache-2.0
"""What gives a person away is not taken into the ledger, and what merely looks like it is."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import personal
from audit.events import Event
from khatim.errors import GateNotSatisfied, PersonalData
from khatim.vocabulary import Resource
from registry.events import VersionRevoked
from tests.strategies import json_values
from tests.support.people import PETRA, SAMI
from tests.support.world import MODEL, VERSION, Step, World, Worlds

GIVEN_AWAY = {
    "plain": ("asked by dana@hospital.ae", "an e-mail address"),
    "with dots and a plus": ("see Dana.Al-Farsi+khatim@mail.hospital.gov.ae, please", "an e-mail address"),
    "in brackets": ("<DANA@HOSPITAL.AE>", "an e-mail address"),
    "identity with dashes": ("id 784-1985-1234567-1 was shown", "an Emirates identity number"),
    "identity without": ("784198512345671", "an Emirates identity number"),
    "identity with blanks": ("784 1985 1234567 1", "an Emirates identity number"),
    "mobile": ("call +971 50 123 4567", "a telephone number"),
    "mobile without blanks": ("call +971501234567.", "a telephone number"),
    "written with zeros": ("00971 4 123 4567", "a telephone number"),
}
INNOCENT = [
    "oncology/malignancy@1",
    "version:oncology/malignancy@12 and dataset:oncology/wdbc@1.",
    "features cell-shape@1",
    "sha256:784" + "0123456789abcdef" * 3 + "0123456789abc",
    "sha256:" + "7841985123456710" * 4,
    "urn:uuid:01890a5d-ac96-774b-bcce-784198512345",
    "2026-03-01T12:00:00.784000Z",
    "roc_auc 0.7841985123456710 at 1e+9710",
    "spiffe://khatim.test/agent/ae-health/01890a5d",
    "kept under PDPL Art 15, see p-0123456789abcdef0123",
    "a price of 784 and a rate of 00.971",
    "two @ signs @ nowhere",
]


@pytest.mark.parametrize(("text", "what"), GIVEN_AWAY.values(), ids=list(GIVEN_AWAY))
def test_what_gives_a_person_away_is_found_refused_and_redacted(text: str, what: str) -> None:
    assert personal.found_in(text) == what
    with pytest.raises(PersonalData, match=f"members.reason holds {what}"):
        personal.refuse({"members": {"reason": [text]}})
    clean = personal.redacted({"detail": text, "n": 1})["detail"]
    assert personal.found_in(clean) == ""
    assert personal.REDACTED in clean


@pytest.mark.parametrize("text", INNOCENT)
def test_what_only_looks_like_it_is_taken(text: str) -> None:
    assert personal.found_in(text) == ""
    personal.refuse({"because": text})
    assert personal.redacted(text) == text


def test_a_key_gives_a_person_away_as_well() -> None:
    with pytest.raises(PersonalData, match="a key of members"):
        personal.refuse({"members": {"dana@hospital.ae": 1}})


@given(json_values)
def test_what_was_redacted_is_taken(value: object) -> None:
    clean = personal.redacted({"value": value})

    personal.refuse(clean)
    assert personal.redacted(clean) == clean


@given(st.text(max_size=5000))
def test_a_long_text_is_looked_at_in_little_time(text: str) -> None:
    personal.found_in("@" + text + "a" * 5000 + "@" + "00" * 2000)


def test_the_refusal_tells_what_to_write_instead_and_does_not_repeat_it(world: World) -> None:
    with pytest.raises(PersonalData) as raised, world.parts.ledger.transaction(SAMI.actor) as tx:
        tx.record(VersionRevoked(about="version:oncology/malignancy@1", because="ask dana@hospital.ae"))

    told = raised.value.as_problem()
    assert (told["status"], told["place"]) == (422, "because")
    assert "business reasons" in told["advice"]
    assert "dana" not in str(told)
    assert world.told() == []


def test_a_refusal_is_told_whatever_was_written_into_it(world: World) -> None:
    with pytest.raises(GateNotSatisfied), world.parts.ledger.transaction(SAMI.actor):
        raise GateNotSatisfied("asked by dana@hospital.ae", reason="784-1985-1234567-1")

    [event] = world.refusals()
    assert event["payload"]["detail"] == f"asked by {personal.REDACTED}"
    assert event["payload"]["members"] == {"reason": personal.REDACTED}


# -- the ledger as a whole --

FLOORS = ("audit.events", "registry.events", "governance.events", "runners.events", "registry.session_events")
NAMES_OF_PEOPLE = {"name", "display_name", "full_name", "email", "address", "phone", "ip", "printed_name"}
# The names of a zone's agent and of a stream's receiver, given by those who run the machines.
OF_MACHINES = {"AgentEnrolled.name", "SinkAdded.name", "SinkChanged.name", "SinkTested.name"}


def kinds_of(cls: type[Event]) -> Iterator[type[Event]]:
    """Yield an event type and all that derive from it."""
    yield cls
    for child in cls.__subclasses__():
        yield from kinds_of(child)


def test_no_type_of_event_has_a_field_for_personal_data() -> None:
    for module in FLOORS:
        importlib.import_module(module)
    fields = {
        f"{kind.__name__}.{one.name}"
        for kind in kinds_of(Event)
        for one in dataclasses.fields(kind)
        if one.name in NAMES_OF_PEOPLE and kind.__module__.split(".")[0] != "tests"
    }

    assert fields - OF_MACHINES == set()


def test_no_name_and_no_address_of_anybody_stands_in_the_ledger_of_a_whole_story(worlds: Worlds) -> None:
    from tests.support.people import EVERYBODY  # noqa: PLC0415 - beside its only use

    with worlds.at(Step.SERVING) as world:
        assert world.as_(PETRA).post(f"{VERSION}/revocation", {"because": "the story ends"}).is_success
        world.as_(SAMI).post(f"/v1/models/{MODEL}")  # exists: a conflict
        world.as_(SAMI).post(f"{VERSION}/approvals", {"role": "validator", "meaning": "refused"})
        world.sequence()
        ledger = b"\n".join(
            bytes(row[0])
            for row in world.sql("SELECT entry FROM ledger_entries UNION ALL SELECT body FROM ledger_payloads")
        )
    text = ledger.decode()

    assert len(text) > 10_000
    assert [one.name for one in EVERYBODY if one.name in text] == []  # references are in lower case
    assert all(one.ref in text for one in EVERYBODY)
    assert "@hospital" not in text
    assert all(personal.found_in(line) == "" for line in text.splitlines())


def test_a_resource_is_no_place_for_a_person_either() -> None:
    """Names of things are checked where they are made, so that a reference cannot carry an address."""
    from khatim.vocabulary import is_name  # noqa: PLC0415 - beside its only use

    assert not is_name("dana@hospital.ae")
    assert str(Resource("model", "malignancy", "oncology")) == f"model:{MODEL}"
