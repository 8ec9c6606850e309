# SPDX-License-Identifier: Apache-2.0
"""Retention: every shipped rule keeps and lets go by its fixture; holds answer first; nothing unknown goes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from policies.loading import PolicyBundle
from policies.retention import Hold, Record, RetentionRule, years_after

NOW = datetime(2026, 11, 23, tzinfo=UTC)
FIXTURES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "fixtures" / "retention.yaml").read_text())
BUNDLE = PolicyBundle.load()
RULES = BUNDLE.retention


def record(record_class: str = "governance", years: float = 1, **more: Any) -> Record:
    at = NOW - timedelta(days=365.25 * years)
    return Record("it", record_class, at, at, **{key: frozenset(value) for key, value in more.items()})


@pytest.mark.parametrize("fixture", FIXTURES, ids=str)
def test_a_record_is_kept_as_its_rule_says(fixture: dict[str, Any]) -> None:
    one = record(fixture["class"], fixture["years"], regimes=fixture.get("regimes", []))
    decision = RULES.may_dispose(one, (), NOW)

    assert decision.allowed is (fixture["expect"] == "dispose"), decision
    if fixture["expect"] == "overdue":
        assert RULES.overdue(one, NOW) == fixture["rule"]
    else:
        assert decision.rule == fixture["rule"]
        assert decision.legal_basis
        assert decision.certainty


def test_every_rule_has_a_fixture() -> None:
    assert {fixture["rule"] for fixture in FIXTURES} == RULES.rules.keys()


def test_an_unknown_class_is_kept() -> None:
    assert RULES.may_dispose(record("nonsense", 900), (), NOW).rule == "retention/unknown"


HOLD = Hold("1", "a claim", "CPC Art 1", namespace="oncology")


@pytest.mark.parametrize(
    ("hold", "covered"),
    [
        (HOLD, True),
        (replace(HOLD, namespace="radiology"), False),
        (replace(HOLD, zone="ae-health"), True),
        (replace(HOLD, zone="ae-fin"), False),
        (replace(HOLD, resource="version:oncology/x@1"), False),
        (replace(HOLD, person="p-dana"), True),
        (replace(HOLD, since=NOW - timedelta(days=365)), False),
        (replace(HOLD, until=NOW - timedelta(days=365 * 90)), False),
        (replace(HOLD, since=NOW - timedelta(days=365 * 90), until=NOW), True),
    ],
)
def test_a_hold_keeps_what_is_in_its_scope_and_nothing_else(hold: Hold, *, covered: bool) -> None:
    one = record(years=40, namespaces=["oncology"], zones=["ae-health"], people=["p-dana"])
    decision = RULES.may_dispose(one, [hold], NOW)

    assert decision.allowed is not covered
    if covered:
        assert (decision.rule, decision.legal_basis) == ("hold/1", "CPC Art 1")


CLASSES = st.sampled_from([*RULES.classes, "nonsense"])
REGIMES = st.sets(st.sampled_from(["cbuae", "ae-health", "gdpr", "pdpl"]))


@given(record_class=CLASSES, years=st.floats(0, 60), more=st.floats(0, 60), regimes=REGIMES, extra=REGIMES)
def test_more_laws_and_holds_never_let_more_go_and_time_never_less(
    record_class: str, years: float, more: float, regimes: set[str], extra: set[str]
) -> None:
    one, both = (record(record_class, years, regimes=laws) for laws in (regimes, regimes | extra))
    older = record(record_class, years + more, regimes=regimes)

    assert not (RULES.may_dispose(both, (), NOW) and not RULES.may_dispose(one, (), NOW))
    assert not (RULES.may_dispose(one, (), NOW) and not RULES.may_dispose(older, (), NOW))
    assert not RULES.may_dispose(one, [Hold("1", "all in time", "", since=NOW.replace(year=1900))], NOW)


def test_a_rule_that_says_nothing_or_contradicts_itself_is_not_taken() -> None:
    for wrong in ({}, {"minimum_years": 5, "maximum_years": 2}, {"indefinite": True, "maximum_years": 1}):
        with pytest.raises(ValueError, match="years"):
            RetentionRule(title="x", basis="y", certainty="V", **wrong)  # type: ignore[arg-type]  # what a file may say


def test_the_day_after_february_is_meant() -> None:
    assert years_after(datetime(2024, 2, 29, tzinfo=UTC), 1) == datetime(2025, 3, 1, tzinfo=UTC)
