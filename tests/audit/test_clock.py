# SPDX-License-Identifier: Apache-2.0
"""A clock that signs: behind its own signatures, off from others, set forward or back, and after a suspend."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import sntp
from audit.clock import FRESH_S, Asked, ClockGuard, ClockReading, Course
from audit.sntp import TimeServer
from khatim.errors import ClockUnreliable, Unavailable
from tests.support.postgres import Postgres
from tests.support.sntp import Server, time_server

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
moments = st.datetimes(datetime(2020, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - with a zone


@dataclass
class Machine:
    """A machine whose clocks a test moves."""

    wall: datetime = NOON
    running: float = 1000.0
    booted: float = 1000.0

    def passes(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.running += seconds
        self.booted += seconds

    def sleeps(self, seconds: float, *, wall: float | None = None) -> None:
        self.wall += timedelta(seconds=seconds if wall is None else wall)
        self.booted += seconds

    def is_set(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)

    def guard(self, *sources: Other, must_answer: bool = False) -> ClockGuard:
        return ClockGuard(
            lambda: self.wall,
            sources,
            2.0,
            must_answer=must_answer,
            running=lambda: self.running,
            booted=lambda: self.booted,
        )


@dataclass
class Other:
    """Another clock, that many seconds from ours."""

    offset: float = 0.0
    is_elsewhere: bool = True
    name: str = "ntp:other"
    is_silent: bool = False
    asked: int = field(default=0)

    def offset_s(self) -> float:
        self.asked += 1
        if self.is_silent:
            raise Unavailable("no answer")
        return self.offset


# -- the guard --


def test_a_clock_that_nobody_is_compared_with_reads_none() -> None:
    assert Machine().guard().check() == ClockReading("none", 0.0)
    assert str(ClockReading()) == "none"
    assert str(ClockReading("ntp:a", 0.0123)) == "ntp:a +0.012s"


def test_a_clock_behind_the_last_thing_signed_signs_nothing() -> None:
    machine = Machine()
    guard = machine.guard()
    guard.check(NOON + timedelta(seconds=1.9))
    with pytest.raises(ClockUnreliable, match=r"3\.0 s behind the last thing") as refused:
        guard.check(NOON + timedelta(seconds=3))
    assert refused.value.status == 503
    assert "chronyc" in refused.value.advice
    machine.passes(2)
    guard.check(NOON + timedelta(seconds=3))


@pytest.mark.parametrize(("offset", "words"), [(2.5, "2.5 s ahead of ntp:other"), (-90, "90.0 s behind ntp:other")])
def test_a_clock_that_is_off_from_a_source_signs_nothing(offset: float, words: str) -> None:
    source = Other(offset)
    guard = Machine().guard(source)
    for _ in range(2):  # it is asked again at once, and refuses for as long as it is off
        with pytest.raises(ClockUnreliable, match=words):
            guard.check()
    source.offset = 0.3
    assert guard.check() == ClockReading("ntp:other", 0.3)


def test_every_source_that_answers_must_agree() -> None:
    with pytest.raises(ClockUnreliable, match="database"):
        Machine().guard(Other(), Other(7, name="database", is_elsewhere=False)).check()


def test_a_source_that_is_silent_is_reported_and_refuses_only_where_it_must_answer() -> None:
    gone = Other(is_silent=True)
    reading = Machine().guard(gone, Other(0.1, name="database")).check()
    assert (reading.source, reading.offset_s) == ("database", 0.1)
    assert reading.silent == ("ntp:other does not tell its time: no answer",)
    with pytest.raises(ClockUnreliable, match="cannot be compared"):
        Machine().guard(gone, must_answer=True).check()


def test_sources_are_asked_now_and_then_only() -> None:
    machine, source = Machine(), Other()
    guard = machine.guard(source)
    for _ in range(100):
        guard.check()
    assert source.asked == 1
    machine.passes(FRESH_S + 1)
    guard.check()
    assert source.asked == 2


@pytest.mark.parametrize(("jump", "how"), [(3600, "forward"), (-3600, "back")])
def test_a_clock_that_was_set_signs_nothing_until_it_is_right_again(jump: float, how: str) -> None:
    machine = Machine()
    guard = machine.guard(Other(is_elsewhere=False, name="database"))  # on this machine: it was set along with us
    guard.check()
    machine.passes(10)
    machine.is_set(jump)
    for _ in range(2):
        with pytest.raises(ClockUnreliable, match=rf"set {how} by 3600\.0 s"):
            guard.check()
    machine.passes(100)
    machine.is_set(-jump)
    guard.check()


def test_a_clock_that_was_put_right_is_believed_when_one_elsewhere_agrees() -> None:
    machine, source = Machine(), Other()
    guard = machine.guard(source)
    guard.check()
    machine.is_set(20)
    guard.check()
    assert source.asked == 2, "it was asked at once"
    guard.check()
    assert source.asked == 2, "and the new time is what counts from here"


def test_after_a_suspend_the_sources_are_asked_before_anything_is_signed() -> None:
    machine, source = Machine(), Other()
    guard = machine.guard(source)
    guard.check()
    machine.sleeps(8 * 3600)
    assert guard.check().source == "ntp:other"
    assert source.asked == 2

    machine.sleeps(3600, wall=0)  # the battery clock had stopped: the machine wakes up in the past
    source.offset = -3600
    with pytest.raises(ClockUnreliable, match=r"3600\.0 s behind ntp:other"):
        guard.check()


def test_without_a_source_a_suspend_with_a_good_clock_passes_and_one_with_a_bad_clock_does_not() -> None:
    machine = Machine()
    guard = machine.guard()
    machine.sleeps(8 * 3600)
    guard.check()
    machine.sleeps(3600, wall=0)
    with pytest.raises(ClockUnreliable, match="set back"):
        guard.check()


@given(st.lists(st.tuples(st.sampled_from(["passes", "sleeps"]), st.floats(0, 1e5)), max_size=20))
def test_no_course_of_an_honest_clock_is_refused(steps: list[tuple[str, float]]) -> None:
    machine = Machine()
    guard = machine.guard()
    for step, seconds in steps:
        last = machine.wall
        getattr(machine, step)(seconds)
        assert guard.check(last) == ClockReading()


@given(st.floats(-1e6, 1e6), st.floats(0, 1e5), st.floats(0, 1e5))
def test_whatever_else_happened_the_jump_is_found(jump: float, awake: float, asleep: float) -> None:
    before = Course(0, 0, 0)
    after = Course(awake + asleep + jump, awake, awake + asleep)
    assert before.was_set(after) == pytest.approx(jump, abs=1e-6)
    assert before.slept(after) == pytest.approx(asleep, abs=1e-6)


# -- the sources --


def test_half_the_way_there_and_back_is_taken_off() -> None:
    times = iter([NOON, NOON + timedelta(seconds=0.5)])
    asked = Asked("database", lambda: NOON + timedelta(seconds=10.25), lambda: next(times))
    assert asked.offset_s() == -10.0


def test_a_clock_set_back_while_it_was_compared_is_not_an_answer() -> None:
    times = iter([NOON, NOON - timedelta(seconds=5)])
    with pytest.raises(Unavailable):
        Asked("database", lambda: NOON, lambda: next(times)).offset_s()


def test_the_database_tells_its_time(postgres: Postgres) -> None:
    with psycopg.connect(postgres.embedded.url("postgres"), autocommit=True) as connection:

        def ask() -> datetime:
            row = connection.execute("SELECT clock_timestamp()").fetchone()
            assert row is not None
            told: datetime = row[0]
            return told

        here = ClockGuard(lambda: datetime.now(UTC), [Asked("database", ask, lambda: datetime.now(UTC))], 0.5)
        assert here.check().source == "database"
        ahead = ClockGuard(lambda: later(60), [Asked("database", ask, lambda: later(60))], 0.5)
        with pytest.raises(ClockUnreliable, match="ahead of database"):
            ahead.check()


def later(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


@given(moments, st.floats(-1e8, 1e8))
def test_ntp_times_are_compared_right_also_across_2036(at: datetime, seconds: float) -> None:
    other = at + timedelta(seconds=seconds)
    apart = sntp.apart_s(sntp.stamp_of(other), sntp.stamp_of(at))
    assert apart == pytest.approx((other - at).total_seconds(), abs=2e-6)


@given(st.binary(max_size=100), st.integers(1, 2**64 - 1))
def test_no_bytes_make_the_ntp_client_say_anything_but_a_number_or_unavailable(answer: bytes, nonce: int) -> None:
    with contextlib.suppress(Unavailable):
        assert isinstance(sntp.offset_s(answer, nonce, NOON, NOON), float)


@pytest.fixture
def server() -> Iterator[Server]:
    with time_server() as running:
        yield running


def test_a_time_server_on_loopback_is_asked_over_udp(server: Server) -> None:
    server.ahead_s = -120
    source = TimeServer(server.address, lambda: datetime.now(UTC))
    assert source.offset_s() == pytest.approx(120, abs=0.2)
    with pytest.raises(ClockUnreliable, match=rf"120\.\d s ahead of ntp:{server.address}"):
        ClockGuard(lambda: datetime.now(UTC), [source]).check()
    server.ahead_s = 0
    assert ClockGuard(lambda: datetime.now(UTC), [source]).check().source == f"ntp:{server.address}"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"stratum": 0}, "it refuses: RATE"),
        ({"stratum": 16}, "not synchronised"),
        ({"leap": 3}, "not synchronised"),
        ({"spoil": lambda origin: origin ^ 1}, "not to our question"),
        ({"answers": False}, "does not answer"),
    ],
)
def test_an_answer_that_cannot_be_believed_is_none(server: Server, wrong: dict[str, object], words: str) -> None:
    for name, value in wrong.items():
        setattr(server, name, value)
    with pytest.raises(Unavailable, match=words):
        TimeServer(server.address, lambda: datetime.now(UTC), timeout_s=0.2).offset_s()
