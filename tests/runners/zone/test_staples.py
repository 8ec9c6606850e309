# SPDX-License-Identifier: Apache-2.0
"""By what an agent lets its endpoints answer: the signed status, its terms, and a time that nobody can set."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from khatim.errors import SignatureInvalid
from khatim.vocabulary import Digest
from khatim.wire import work
from policies.loading import PolicyBundle
from registry.signing import endpoint_status, statements
from runners.zone.staples import FILE, Staples
from tests.support.world import ZONE, Step, World, Worlds

START = datetime(2026, 11, 23, 12, tzinfo=UTC)
NAME = "0192f0c1-0000-7000-8000-000000000001"


@pytest.fixture(scope="module")
def enrolled(worlds: Worlds) -> Iterator[World]:
    """Yield one world whose pen signs every status here; nothing changes it."""
    with worlds.at(Step.ENROLLED) as opened:
        yield opened


@pytest.fixture(scope="module")
def terms() -> dict[str, Any]:
    return PolicyBundle.load().runtime.terms(2).as_members()


class Machine:
    """One host over its reboots: its folder, its clock, and the time that really passes."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.folder = world, folder
        self.real = START
        self.wrong = timedelta(0)  # by how much somebody set its clock
        self.staples = self._start()

    def _start(self) -> Staples:
        booted = self.real
        notary = self.world.parts.notary
        return Staples(
            self.folder, lambda: notary.root, instance=notary.instance, zone=ZONE,
            wall=lambda: self.real + self.wrong, passed=lambda: (self.real - booted) / timedelta(seconds=1),
        )  # fmt: skip

    def reboot(self) -> None:
        self.staples = self._start()

    def wait(self, **by: float) -> None:
        self.real += timedelta(**by)
        self.staples.remember()

    def sign(self, runtime: dict[str, Any], *, at: datetime | None = None, zone: str = ZONE, **changes: Any) -> str:
        endpoint = {
            "deployment": NAME, "version": "version:a/b@1", "digest": "sha256:" + "1" * 64, "state": "serving",
            "approvedUntil": None, "runtime": runtime, **changes,
        }  # fmt: skip
        notary = self.world.parts.notary
        statement = endpoint_status.statement_of(zone, [endpoint], at=at or self.real)
        return notary.signer_for(notary.service()).sign(statement)

    def hear(self, runtime: dict[str, Any], **changes: Any) -> None:
        self.staples.take(work.SignedStatus(mark="1", bundle=self.sign(runtime, **changes)))
        self.staples.hear(self.real)


@pytest.fixture
def machine(enrolled: World, tmp_path: Path) -> Machine:
    return Machine(enrolled, tmp_path)


def test_what_was_verified_goes_on_for_the_agreed_hours_and_not_longer(machine: Machine, terms: dict[str, Any]) -> None:
    machine.hear(terms)
    machine.wait(hours=23, minutes=59)
    assert machine.staples.why_silent(NAME, terms) == ""
    machine.wait(minutes=1)

    assert "the registry does not answer" in machine.staples.why_silent(NAME, terms)
    machine.hear(terms)
    assert machine.staples.why_silent(NAME, terms) == ""


def test_a_reboot_neither_stops_it_before_nor_starts_it_after(machine: Machine, terms: dict[str, Any]) -> None:
    machine.hear(terms)
    machine.wait(hours=20)
    machine.reboot()
    assert machine.staples.was_serving(NAME)
    assert machine.staples.why_silent(NAME, terms) == ""
    machine.wait(hours=4)
    machine.reboot()

    assert "the registry does not answer" in machine.staples.why_silent(NAME, terms)


@pytest.mark.parametrize(
    ("tier", "is_airgapped", "hours"), [(1, False, 4), (2, False, 24), (3, False, 24), (1, True, 720)]
)
def test_the_shipped_hours_by_tier_and_zone(machine: Machine, tier: int, *, is_airgapped: bool, hours: float) -> None:
    agreed = PolicyBundle.load().runtime.terms(tier, is_airgapped=is_airgapped).as_members()
    machine.hear(agreed)
    machine.wait(hours=hours - 0.01)
    assert machine.staples.why_silent(NAME, agreed) == ""
    machine.wait(hours=0.01)

    assert machine.staples.why_silent(NAME, agreed)


def test_a_clock_that_is_set_back_gives_no_time(machine: Machine, terms: dict[str, Any]) -> None:
    machine.hear(terms)
    machine.wait(hours=20)
    machine.wrong = -timedelta(hours=20)
    machine.wait(hours=4)
    assert "the registry does not answer" in machine.staples.why_silent(NAME, terms)
    machine.reboot()

    assert "clock" in machine.staples.why_silent(NAME, terms)


def test_a_clock_that_ran_ahead_stops_nothing_once_the_registry_was_heard(
    machine: Machine, terms: dict[str, Any]
) -> None:
    machine.hear(terms)
    machine.wrong = timedelta(days=30)
    machine.reboot()
    machine.wait(hours=1)
    assert "the registry does not answer" in machine.staples.why_silent(NAME, terms)
    machine.wrong = timedelta(0)
    machine.reboot()
    assert "clock" in machine.staples.why_silent(NAME, terms)  # it saw a later time: which of both is right?
    machine.hear(terms)
    machine.wait(minutes=2)
    machine.reboot()

    assert machine.staples.why_silent(NAME, terms) == ""


def test_a_clock_that_differs_from_the_registry_s_is_told_for_an_hour_then_it_stops(
    machine: Machine, terms: dict[str, Any]
) -> None:
    machine.wrong = timedelta(minutes=5)
    machine.hear(terms)
    for _ in range(59):
        machine.wait(minutes=1)
        machine.hear(terms)
        assert machine.staples.why_silent(NAME, terms) == ""
    machine.wait(minutes=1)
    machine.hear(terms)
    assert "clock of this machine" in machine.staples.why_silent(NAME, terms)
    machine.wrong = timedelta(0)
    machine.hear(terms)

    assert machine.staples.why_silent(NAME, terms) == ""


def test_approvals_end_for_the_agent_too_after_the_agreed_grace(machine: Machine, terms: dict[str, Any]) -> None:
    until = START + timedelta(hours=1)
    strict = PolicyBundle.load().runtime.terms(1).as_members()
    machine.hear(terms, approvedUntil=until.isoformat())
    machine.wait(hours=2)
    machine.hear(terms, approvedUntil=until.isoformat())
    assert machine.staples.why_silent(NAME, terms) == ""
    machine.wait(days=14)
    machine.hear(terms, approvedUntil=until.isoformat())
    assert "approvals ran until 2026-11-23 13:00" in machine.staples.why_silent(NAME, terms)
    machine.hear(strict, approvedUntil=(machine.real - timedelta(seconds=1)).isoformat())

    assert "approvals ran until" in machine.staples.why_silent(NAME, strict)


def test_terms_that_somebody_changed_in_the_database_stop_it(machine: Machine, terms: dict[str, Any]) -> None:
    lax = {**terms, "unreachable": {**terms["unreachable"], "hours": 99_999.0}}
    machine.hear(lax)

    assert "other terms" in machine.staples.why_silent(NAME, terms)
    assert machine.staples.why_silent(NAME, lax) == ""


def test_what_is_not_in_the_status_answers_while_the_registry_does(machine: Machine, terms: dict[str, Any]) -> None:
    machine.staples.hear(machine.real)
    assert machine.staples.why_silent(NAME, terms) == ""
    machine.wait(seconds=11)

    assert "nothing signed" in machine.staples.why_silent(NAME, terms)


def test_terms_that_cannot_be_read_stop_at_the_first_event(machine: Machine) -> None:
    machine.hear({})
    assert machine.staples.why_silent(NAME, {}) == ""
    machine.wait(seconds=11)

    assert machine.staples.why_silent(NAME, {})


def test_an_older_status_is_not_taken_back(machine: Machine, terms: dict[str, Any]) -> None:
    old = machine.sign(terms)
    machine.wait(minutes=5)
    machine.hear(terms, state="suspended")
    machine.staples.take(work.SignedStatus(mark="0", bundle=old))

    assert not machine.staples.was_serving(NAME)
    machine.reboot()
    assert not machine.staples.was_serving(NAME)


def test_what_does_not_verify_counts_as_nothing(machine: Machine, terms: dict[str, Any]) -> None:
    machine.hear(terms)
    file = machine.folder / FILE
    file.write_text(file.read_text().replace('"sig":"M', '"sig":"N'))
    machine.reboot()

    assert not machine.staples.was_serving(NAME)
    assert machine.staples.why_silent(NAME, terms)
    assert file.stat().st_mode & 0o777 == 0o600


def test_nobody_else_s_and_no_other_zone_s_status_counts(
    machine: Machine, terms: dict[str, Any], enrolled: World
) -> None:
    with pytest.raises(SignatureInvalid, match="zone"):
        machine.hear(terms, zone="ext-de")
    pen = enrolled.parts.notary.signer_for(enrolled.parts.notary.agent(ZONE, "agent-1"))
    statement = endpoint_status.statement_of(ZONE, [], at=START)
    with pytest.raises(SignatureInvalid):
        machine.staples.take(work.SignedStatus(mark="1", bundle=pen.sign(statement)))
    notary = enrolled.parts.notary
    other = statements.statement([("x", Digest.of(b"x"))], statements.ENGAGEMENT, {"zone": ZONE})
    with pytest.raises(SignatureInvalid, match="not the registry's status"):
        machine.staples.take(work.SignedStatus(mark="1", bundle=notary.signer_for(notary.service()).sign(other)))
