# SPDX-License-Identifier: Apache-2.0
"""Refusals in masses: counted by source and minute, rate-limited by actor, in bounded memory, and nothing lost."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.events import Event
from audit.floods import MINUTE, OTHERS, Count, Floods
from audit.floods_telling import Refusals, RefusalsCounted, RefusalsSuppressed
from audit.quota import ACTORS, Bucket, Quota, taken
from khatim.errors import Forbidden, Unavailable
from khatim.vocabulary import Action, Resource
from tests.support.people import DANA, SAMI
from tests.support.world import World

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LEDGER = Resource("ledger", "ledger")
hits = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["forbidden", "unauthenticated"]), st.integers(0, 900)),
    max_size=200,
)


def later(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


# -- counting --


def test_each_source_is_told_once_a_minute_with_its_count_and_reasons() -> None:
    floods = Floods()
    for second in (0, 1, 59, 60):
        floods.count("s-1", "unauthenticated", later(second))
    floods.count("s-1", "token-expired", later(2))
    floods.count("s-2", "unauthenticated", later(3))

    assert floods.take(later(59)) == []
    assert floods.take(later(60)) == [
        Count("s-1", NOON, {"unauthenticated": 3, "token-expired": 1}),
        Count("s-2", NOON, {"unauthenticated": 1}),
    ]
    assert floods.take(later(61)) == []
    assert floods.take(None) == [Count("s-1", later(60), {"unauthenticated": 1})]


@given(hits, st.integers(1, 4), st.integers(1, 4), st.integers(2, 3))
def test_the_sum_of_the_counts_is_the_number_of_refusals(
    refused: list[tuple[str, str, int]], room: int, entries: int, minutes: int
) -> None:
    floods = Floods(room=room, entries=entries, minutes=minutes)
    for source, reason, second in refused:
        floods.count(source, reason, later(second))
        assert len(floods) <= room * minutes
    told = floods.take(None)

    assert sum(one.total for one in told) == len(refused)
    assert sum((Counter(one.reasons) for one in told), Counter()) == Counter(reason for _, reason, _ in refused)
    by_minute = Counter(one.minute for one in told)
    assert all(number <= entries + 1 for number in by_minute.values())


@given(hits)
def test_while_there_is_room_every_source_is_told_exactly(refused: list[tuple[str, str, int]]) -> None:
    floods = Floods(minutes=100)
    for source, reason, second in refused:
        floods.count(source, reason, later(second))
    told = {(one.source, one.minute): one.total for one in floods.take(None)}

    assert told == Counter((source, later(second // 60 * 60)) for source, _, second in refused)


@given(hits, st.integers(1, 4))
def test_what_could_not_be_told_is_kept(refused: list[tuple[str, str, int]], room: int) -> None:
    floods = Floods(room=room)
    for source, reason, second in refused:
        floods.count(source, reason, later(second))
    floods.give_back(floods.take(None))

    assert sum(one.total for one in floods.take(None)) == len(refused)


def test_a_million_sources_take_bounded_memory_and_hide_no_heavy_one() -> None:
    floods = Floods(room=1000, entries=10)
    for number in range(1_000_000):
        floods.count(f"s-{number}", "unauthenticated", NOON)
        if number % 10 == 0:
            floods.count("s-heavy", "unauthenticated", NOON)
        if number % 250_000 == 0:
            assert len(floods) <= 1000
    told = floods.take(None)

    assert len(floods) == 0
    assert len(told) == 11
    assert told[0] == Count("s-heavy", NOON, {"unauthenticated": 100_000})
    assert told[-1].source == OTHERS
    assert sum(one.total for one in told) == 1_100_000


def test_threads_lose_no_count() -> None:
    floods, gate = Floods(room=3, minutes=2), threading.Barrier(8)

    def refuse(number: int) -> None:
        gate.wait()
        for step in range(2000):
            floods.count(f"s-{(number + step) % 9}", "forbidden", later(step % 200))

    threads = [threading.Thread(target=refuse, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(one.total for one in floods.take(None)) == 16_000


# -- the bucket --


@given(st.lists(st.floats(0, 300), min_size=1, max_size=300), st.integers(1, 60))
def test_no_window_takes_more_than_a_bucket_and_what_flowed_in(moments: list[float], per_minute: int) -> None:
    bucket, told = Bucket(per_minute, NOON), []
    for moment in sorted(moments):
        had, bucket = taken(bucket, per_minute, later(moment))
        told += [moment] if had else []
    for start, end in itertools.combinations_with_replacement(range(len(told)), 2):
        seconds = told[end] - told[start]
        assert end - start + 1 <= per_minute + seconds * per_minute / 60 + 1e-6


@given(st.integers(1, 60), st.floats(-1000, 1000))
def test_a_bucket_is_never_over_full_nor_in_debt_whatever_the_clock_does(per_minute: int, seconds: float) -> None:
    _, bucket = taken(Bucket(per_minute, NOON), per_minute, later(seconds))

    assert 0 <= bucket.tokens <= per_minute


def test_one_actor_does_not_use_up_the_tokens_of_another() -> None:
    quota = Quota(2)

    assert [quota.take("a", NOON) for _ in range(3)] == [True, True, False]
    assert quota.take("b", NOON)
    assert quota.take("a", later(30))  # half a minute gives one back
    assert not quota.take("a", later(30))


def test_the_memory_of_actors_is_bounded() -> None:
    quota = Quota(1)
    for number in range(ACTORS + 500):
        quota.take(f"p-{number}", NOON)

    assert len(quota) == ACTORS


# -- what the ledger hears --


def test_an_actor_in_a_loop_is_told_sixty_times_and_then_counted(world: World) -> None:
    ledger = world.parts.ledger
    for _ in range(100):
        with pytest.raises(Forbidden), ledger.reading(DANA.actor) as reader:
            reader.require(Action.VERSION_PROMOTE, LEDGER)
    with pytest.raises(Forbidden), ledger.reading(SAMI.actor) as reader:
        reader.require(Action.FINDING_RESOLVE, LEDGER)

    refused = world.refusals()
    assert 60 <= sum(event["actor"] == DANA.ref for event in refused) <= 62  # a token comes back each second
    assert sum(event["actor"] == SAMI.ref for event in refused) == 1
    told = sum(event["actor"] == DANA.ref for event in refused)
    assert ledger.refusals.flush(ledger.tell, None) >= 1
    closing = world.told()
    assert {event["kind"] for event in closing} == {"refusals.suppressed"}
    assert {event["resource"] for event in closing} == {f"actor:{DANA.ref}"}
    assert sum(event["payload"]["count"] for event in closing) == 100 - told
    assert closing[0]["payload"]["reasons"] == {"forbidden": closing[0]["payload"]["count"]}
    assert closing[0]["actor"] == "service:khatim"
    assert closing[0]["payload"]["worker"] == ledger.refusals.worker


def test_what_nobody_in_particular_was_refused_is_told_by_source(world: World) -> None:
    ledger = world.parts.ledger
    for _ in range(3):
        ledger.refusals.strangers.count("s-0123456789abcdef", "unauthenticated", NOON)
    ledger.refusals.flush(ledger.tell, NOON + MINUTE)

    [event] = world.told()
    assert (event["kind"], event["resource"]) == ("refusals.counted", "source:s-0123456789abcdef")
    assert event["payload"] == {
        "count": 3,
        "reasons": {"unauthenticated": 3},
        "since": "2026-03-01T12:00:00.000000Z",
        "until": "2026-03-01T12:01:00.000000Z",
        "worker": ledger.refusals.worker,
    }


def test_counts_wait_for_a_ledger_that_does_not_take_them() -> None:
    refusals, heard = Refusals(per_minute=1), list[Event]()
    refusals.strangers.count("s-1", "unauthenticated", NOON)
    assert refusals.is_told("p-1", "forbidden", NOON)
    assert not refusals.is_told("p-1", "forbidden", NOON)

    def lost(_: object) -> None:
        raise Unavailable("the database does not answer")

    with pytest.raises(Unavailable):
        refusals.flush(lost, None)
    assert refusals.flush(heard.extend, None) == 2
    assert [(type(one), one.about, one.payload()["count"]) for one in heard] == [
        (RefusalsCounted, "source:s-1", 1),
        (RefusalsSuppressed, "actor:p-1", 1),
    ]


def test_each_worker_tells_its_own_share() -> None:
    one, other = Refusals(), Refusals()

    assert one.worker != other.worker
