# SPDX-License-Identifier: Apache-2.0
"""How full a disk is and what goes on: thresholds that do not flap, ballast that buys time but lets no write in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.reserve import (
    GOES_ON,
    MARGIN,
    Ballast,
    Limits,
    Pressure,
    Volume,
    goes_on,
    pressure,
    steps_to_hold,
    volume_of,
)
from audit.reserve_watch import Reserve
from khatim.errors import RegistryFull, Unavailable
from khatim.vocabulary import Action

shares = st.floats(0, 1)
limits = st.tuples(st.floats(0.05, 1), st.floats(0.05, 1)).map(lambda two: Limits(min(two), max(two)))
before = st.sampled_from(Pressure)
MIB = 1 << 20


# -- the decision --


@pytest.mark.parametrize(
    ("used", "expected"),
    [(0.0, "room"), (0.899, "room"), (0.9, "alarm"), (0.949, "alarm"), (0.95, "full"), (1.0, "full")],
)
def test_the_thresholds_are_ninety_and_ninety_five_percent(used: float, expected: str) -> None:
    assert pressure(used, Limits()) == expected


@given(shares, shares, limits, before)
def test_more_in_use_never_means_less_pressure(one: float, other: float, of: Limits, was: Pressure) -> None:
    order = list(Pressure)
    low, high = sorted((one, other))

    assert order.index(pressure(low, of, was)) <= order.index(pressure(high, of, was))


@given(shares, limits, before)
def test_the_same_look_twice_says_the_same(used: float, of: Limits, was: Pressure) -> None:
    first = pressure(used, of, was)

    assert pressure(used, of, first) is first


@given(shares, limits, before)
def test_what_is_over_a_threshold_is_never_let_through(used: float, of: Limits, was: Pressure) -> None:
    if used >= of.refuse:
        assert pressure(used, of, was) is Pressure.FULL
    if used < of.refuse - MARGIN:
        assert pressure(used, of, was) is not Pressure.FULL


def test_a_full_disk_is_left_behind_only_a_margin_below_its_threshold() -> None:
    assert pressure(0.949, Limits(), Pressure.FULL) is Pressure.FULL
    assert pressure(0.939, Limits(), Pressure.FULL) is Pressure.ALARM
    assert pressure(0.899, Limits(), Pressure.ALARM) is Pressure.ALARM
    assert pressure(0.889, Limits(), Pressure.ALARM) is Pressure.ROOM


@pytest.mark.parametrize("action", Action)
def test_on_a_full_disk_reading_and_taking_power_away_go_on_and_nothing_else(action: Action) -> None:
    gives_power = not (
        action in {Action.READ, Action.LEDGER_READ, Action.PERSON_IDENTIFY, Action.PERSON_ERASE}
        or action in {Action.ARTIFACT_DOWNLOAD, Action.ENGAGEMENT_EXPORT, Action.DEPLOYMENT_STOP, Action.AGENT_RETIRE}
        or action in {Action.JOB_CLAIM, Action.JOB_REPORT}  # a zone goes on serving, and tells what it was handed
        or action.value.endswith(".revoke")
        or action.value.startswith("revocation.record")
    )

    assert goes_on(action, Pressure.FULL) is not gives_power
    assert goes_on(action, Pressure.ALARM)


def test_everything_that_goes_on_is_an_action() -> None:
    assert {action.value for action in Action} >= GOES_ON


# -- bytes --


@given(st.integers(1, 1 << 50), st.integers(0, 1 << 50), st.integers(0, 1 << 40), shares)
def test_given_up_ballast_counts_as_used(size: int, free: int, given_up: int, numbers: float) -> None:
    volume = Volume(size, min(free, size), numbers)

    assert 0 <= volume.used() <= volume.used(given_up) <= 1
    assert volume.used() >= numbers
    if given_up <= volume.free:
        assert volume.used(given_up) == pytest.approx(Volume(size, volume.free - given_up, numbers).used())


def test_a_volume_that_has_no_file_numbers_left_is_full() -> None:
    assert pressure(Volume(100, 90, 1.0).used(), Limits()) is Pressure.FULL


def test_a_real_volume_has_a_size(tmp_path: Path) -> None:
    found = volume_of(tmp_path)

    assert 0 < found.free < found.size
    assert 0 <= found.used() <= 1


# -- ballast --


@given(st.integers(0, 8), st.integers(1, 8), st.integers(1, 100), st.integers(0, 2000))
def test_ballast_is_given_up_before_the_disk_is_and_never_taken_from_it(
    held: int, whole: int, step: int, free: int
) -> None:
    held = min(held, whole)
    wanted = steps_to_hold(held, whole, step, free)
    left = free + (held - wanted) * step

    assert 0 <= wanted <= whole
    assert wanted == 0 or left >= step  # something is free, or nothing is left to give
    assert wanted <= held or left >= 2 * step  # taking it back leaves room beside it
    assert steps_to_hold(wanted, whole, step, left) == wanted  # and then nothing moves


def test_ballast_is_really_allocated_and_really_given_up(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path / "ballast", MIB, 3)

    assert (ballast.held(), ballast.given_up()) == (0, 3 * MIB)
    assert ballast.hold(3) == 3
    assert [path.stat().st_blocks * 512 for path in sorted((tmp_path / "ballast").iterdir())] == [MIB] * 3
    assert ballast.hold(1) == 1
    assert (ballast.held(), ballast.given_up()) == (1, 2 * MIB)
    assert ballast.hold(0) == 0
    assert list((tmp_path / "ballast").iterdir()) == []


def test_a_disk_that_does_not_give_the_ballast_is_told_as_it_is(tmp_path: Path) -> None:
    room = os.statvfs(tmp_path)
    ballast = Ballast(tmp_path / "ballast", room.f_blocks * room.f_frsize * 2, 2)

    assert ballast.hold(2) == 0
    assert list((tmp_path / "ballast").iterdir()) == []


# -- what looks --


def test_who_watches_nothing_refuses_nothing() -> None:
    for action in Action:
        Reserve().admit(action)


def test_a_write_on_a_full_disk_is_refused_with_advice_and_a_revocation_is_not() -> None:
    reserve = Reserve(ask=lambda: 0.97)

    with pytest.raises(RegistryFull, match=r"97% full: no version.promote") as raised:
        reserve.admit(Action.VERSION_PROMOTE)
    reserve.admit(Action.VERSION_REVOKE)
    problem = raised.value.as_problem()
    assert (problem["status"], problem["type"]) == (507, "https://khatim.dev/problems/registry-full")
    assert (problem["used"], problem["refused_from"]) == (0.97, 0.95)
    assert "revoking" in problem["advice"]


def test_the_fullest_volume_decides(tmp_path: Path) -> None:
    reserve = Reserve([tmp_path], ask=lambda: 0.999)

    assert (reserve.look().pressure, reserve.look().where) == (Pressure.FULL, "the database's own volume")


def test_a_database_that_does_not_tell_its_disk_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def silent() -> float:
        raise Unavailable("no answer")

    assert Reserve(ask=silent).look().pressure is Pressure.ROOM
    assert "no answer" in caplog.text


def test_a_volume_that_is_gone_is_told_and_does_not_stop_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reserve = Reserve([tmp_path / "gone"], ask=lambda: 0.91)

    assert reserve.look().pressure is Pressure.ALARM
    assert "gone" in caplog.text


def test_the_alarm_is_told_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "khatim.disk")
    told = iter([0.91, 0.92, 0.96, 0.5])
    reserve = Reserve(ask=lambda: next(told))
    for _ in range(4):
        reserve._take(reserve._asked[0] + 10)  # ten seconds later each time

    assert [(record.levelname, record.message.split(" (")[0]) for record in caplog.records] == [
        ("WARNING", "disk: alarm"),
        ("ERROR", "disk: full"),
        ("ERROR", "disk: room"),
    ]


def test_tending_takes_the_ballast_where_there_is_room(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path / "ballast", MIB, 4)
    Reserve([tmp_path], ballast).tend()

    assert ballast.held() == 4
