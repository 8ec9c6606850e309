# SPDX-License-Identifier: Apache-2.0
"""The report's words: every sentence and code has its Arabic, none is left over; numbers are shown as they are."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.reports import document, measures, populations, wording
from governance.reports.arabic import ARABIC
from governance.reports.measures import Measured
from governance.tables import Evidence
from khatim.vocabulary import Certainty, FileRole, Role, Stage, VersionStatus
from policies.residency import MovementKind

SAID = re.compile(r'\bt\("((?:[^"\\]|\\.)*)"\)')
GRAPH = {"Lineage", "From the raw file to the endpoint; the table says the same."}


def said() -> Iterator[str]:
    """Yield every sentence of the templates, every title of a population, and every word for a code."""
    for template in document.FOLDER.glob("*.html"):
        yield from SAID.findall(template.read_text(encoding="utf-8"))
    yield from (one.title for one in populations.ALL)
    yield from wording.WORDS.values()
    yield from GRAPH


def test_everything_said_is_said_in_arabic_and_nothing_is_left_over() -> None:
    assert set(said()) - ARABIC.keys() == set()
    assert ARABIC.keys() - set(said()) == set()


def test_every_code_of_the_vocabulary_has_a_word() -> None:
    codes = [one.value for kind in (Stage, VersionStatus, FileRole, Certainty) for one in kind]
    codes += [role.value for role in Role if role is not Role.AGENT]
    codes += [MovementKind.PLACE.value, MovementKind.DEPLOY.value, MovementKind.DOWNLOAD.value]

    assert [code for code in codes if code not in wording.WORDS] == []


def test_arabic_holds_no_letter_that_only_looks_arabic_and_no_stray_latin_sentence() -> None:
    for english, arabic in ARABIC.items():
        assert re.search("[\u0600-\u06ff]", arabic), english
        assert not re.search("[\ufb50-\ufdff\ufe70-\ufeff]", arabic), english  # presentation forms


def evidence(details: dict[str, Any]) -> Evidence:
    at = datetime(2026, 11, 23, tzinfo=UTC)
    return Evidence(
        id=UUID(int=1), about="version:a/b@1", kind="evaluation", result="PASSED", digest="sha256:x", details=details,
        statement_id=None, submitted_by="agent:a", at=at,
    )  # fmt: skip


def test_an_evaluation_shows_values_intervals_limits_and_verdicts() -> None:
    limits = base64.b64encode(b'{"thresholds":{"auc":{"min":0.95}},"confidence":0.9}').decode()
    found = measures.evaluation(
        evidence(
            {
                "rows": 171,
                "configuration": [{"name": "evaluation.json", "content": limits}],
                "passedTests": ["auc >= 0.95"],
                "metrics": {"auc": {"value": 0.99, "low": 0.97, "high": 1.0}, "brier": {"value": None}},
                "subgroups": {"large": {"rows": 60, "metrics": {"auc": {"value": 0.9}}}},
            }
        ),
        7,
        "attestations/1",
    )

    assert found.metrics == (Measured("auc", 0.99, 0.97, 1.0, 0.95, passed=True),)
    assert found.subgroups == (("large", 60, (Measured("auc", 0.9, None, None),)),)
    assert (found.rows, found.confidence, found.index) == (171, 0.9, 7)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(("rows", "configuration", "passedTests", "failedTests", "metrics", "subgroups"), JUNK),
    )
)
def test_an_evaluation_of_any_form_breaks_nothing(details: dict[str, Any]) -> None:
    found = measures.evaluation(evidence(details), 1, "")

    assert all(isinstance(one.value, float) for one in found.metrics)
    for one in found.metrics:
        measures.interval(one)


@pytest.mark.parametrize(
    ("one", "is_drawn"),
    [
        (Measured("auc", 0.5, 0.4, 0.6, 0.45), True),
        (Measured("auc", 0.5, None, None), True),
        (Measured("loss", 3.0, 2.0, 4.0), False),
    ],
)
def test_an_interval_is_drawn_where_the_axis_reaches(one: Measured, is_drawn: bool) -> None:
    drawn = measures.interval(one)

    assert bool(drawn) == is_drawn
    assert drawn.count('class="limit"') == (one.limit is not None)


def test_codes_run_left_to_right_and_are_escaped() -> None:
    assert document.code("<b>") == '<bdi class="code short" dir="ltr">&lt;b&gt;</bdi>'
    assert document.code(["a", "", None, "x" * 40]) == (
        f'<bdi class="code short" dir="ltr">a</bdi> <bdi class="code" dir="ltr">{"x" * 40}</bdi>'
    )
    assert document.code(None) == ""


def test_moments_are_shown_in_utc() -> None:
    assert "2026-11-23 02:30:00" in document.moment(datetime.fromisoformat("2026-11-23T06:30:00+04:00"))
