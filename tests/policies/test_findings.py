# SPDX-License-Identifier: Apache-2.0
"""Signals in the ledger: counted by person within their time, told once, and only for what they mean."""

from __future__ import annotations

from datetime import datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khatim.vocabulary import Severity
from policies.conditions import Hours
from policies.findings import Entry, FindingRules, Seen, Signal
from policies.loading import PolicyBundle
from tests.policies.examples import NOW


def rules(**signals: Signal) -> FindingRules:
    days = dict.fromkeys(Severity, 30)
    return FindingRules(due_days=days, basis="x", certainty="I", advice="x", signals=signals)  # type: ignore[arg-type]


def signal(**changes: object) -> Signal:
    given = {"title": "t", "kinds": frozenset({"role.*"}), "count": 3, "minutes": 60, "severity": Severity.LOW}
    return Signal(**{**given, **changes})  # type: ignore[arg-type]


def entry(index: int, *, minutes: float = 0, kind: str = "role.approved", actor: str = "p-1", error: str = "") -> Entry:
    return Entry(index, kind, actor, NOW - timedelta(minutes=minutes), error)


def test_as_many_as_it_takes_within_its_time_by_one_person() -> None:
    known = rules(often=signal())
    three = [entry(1, minutes=59), entry(2, minutes=30), entry(3)]

    assert known.seen(three, {}, NOW) == [Seen("often", "p-1", 3, 1, 3)]
    assert known.seen(three[1:], {}, NOW) == []
    assert known.seen([entry(0, minutes=60), *three[1:]], {}, NOW) == []
    assert known.seen([*three[1:], entry(4, actor="p-2")], {}, NOW) == []
    assert known.seen([*three[1:], entry(4, kind="version.approved")], {}, NOW) == []


def test_what_was_told_counts_no_more() -> None:
    known = rules(often=signal())
    entries = [entry(number) for number in range(1, 6)]

    assert known.seen(entries, {("often", "p-1"): 3}, NOW) == []
    assert known.seen([*entries, entry(6)], {("often", "p-1"): 3}, NOW) == [Seen("often", "p-1", 3, 4, 6)]


def test_only_refusals_for_its_reasons() -> None:
    known = rules(denied=signal(kinds=frozenset({"*"}), errors=frozenset({"forbidden"}), count=1))

    assert known.seen([entry(1), entry(2, error="not-found")], {}, NOW) == []
    assert len(known.seen([entry(3, error="forbidden")], {}, NOW)) == 1


@given(st.datetimes(min_value=datetime(2026, 1, 1), max_value=datetime(2026, 12, 31)))  # noqa: DTZ001 - made aware below
def test_outside_hours_means_exactly_what_hours_do_not_contain(at: datetime) -> None:
    hours = Hours(since=time(6), until=time(22), timezone="Asia/Dubai")
    moment = at.replace(tzinfo=NOW.tzinfo)

    assert signal(outside=hours).means(Entry(1, "role.approved", "p-1", moment)) is not hours.contain(moment)


def test_a_signal_that_means_nothing_or_everything_is_refused() -> None:
    spoilt: list[dict[str, object]] = [{"kinds": frozenset()}, {"count": 0}, {"minutes": 0}]
    for changes in spoilt:
        with pytest.raises(ValueError, match="kinds, count, minutes"):
            signal(**changes)
    with pytest.raises(ValueError, match="due_days"):
        FindingRules(due_days={}, basis="", certainty="I", advice="", signals={})  # type: ignore[arg-type]


def test_the_shipped_rules_grade_and_watch(bundle: PolicyBundle) -> None:
    days = [bundle.findings.due_days[severity] for severity in Severity]

    assert days == sorted(days)
    assert bundle.findings.signals.keys() == {"self-approval", "repeated-denials", "bulk-reads", "out-of-hours"}
    assert bundle.findings.longest == timedelta(hours=1)
