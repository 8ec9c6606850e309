# SPDX-License-Identifier: Apache-2.0
"""Then and now as pure rules: cut-offs, liftings, what was recorded too late to be known, targets as written."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khatim.errors import Malformed
from khatim.vocabulary import Digest, Revoked
from registry.signing.revocation import Book, Marks, Revocation, digests_in, folded, target_of

DAY = timedelta(days=1)
SIGNED = datetime(2026, 6, 10, 12, tzinfo=UTC)
NOW = SIGNED + 30 * DAY
AGENT = "spiffe://demo.khatim/agent/ae-health/a1"
MODEL = Digest.of(b"model")
MARKS = Marks(
    entry=Digest.of(b"entry"),
    certificate=Digest.of(b"certificate"),
    key=Digest.of(b"key"),
    serial="abc123",
    authority="00ff",
    log_index=7,
    identity=AGENT,
    signed_at=SIGNED,
    digests=frozenset({MODEL}),
)
TARGETS = {
    Revoked.STATEMENT: str(MARKS.entry),
    Revoked.KEY: f"certificate:{MARKS.certificate}",
    Revoked.IDENTITY: AGENT,
    Revoked.ARTIFACT: str(MODEL),
}


def revoked(kind: Revoked, since: datetime | None, *, at: datetime = NOW - DAY, target: str = "") -> Revocation:
    return Revocation(
        number=1, kind=kind, target=target or TARGETS[kind], since=since, because="it was stolen", by="p-1", at=at
    )


def book(*revocations: Revocation) -> Book:
    return Book(len(revocations), revocations)


@pytest.mark.parametrize(
    ("kind", "since", "at", "then", "now"),
    [
        (Revoked.STATEMENT, None, SIGNED, False, False),
        (Revoked.STATEMENT, SIGNED + 5 * DAY, SIGNED + 4 * DAY, True, False),
        (Revoked.STATEMENT, SIGNED + 5 * DAY, SIGNED + 6 * DAY, False, False),
        (Revoked.ARTIFACT, SIGNED + 5 * DAY, SIGNED + 4 * DAY, True, False),
        (Revoked.ARTIFACT, SIGNED + 5 * DAY, SIGNED + 6 * DAY, False, False),
        (Revoked.KEY, SIGNED + DAY, NOW, True, True),  # signed before the cut-off: it stays valid
        (Revoked.KEY, SIGNED, SIGNED + DAY, False, False),  # signed from the cut-off on
        (Revoked.KEY, None, SIGNED + DAY, False, False),
        (Revoked.IDENTITY, SIGNED + timedelta(seconds=1), NOW, True, True),
        (Revoked.IDENTITY, SIGNED - DAY, SIGNED + DAY, False, False),
    ],
)
def test_then_and_now(kind: Revoked, since: datetime | None, at: datetime, then: bool, now: bool) -> None:
    found = book(revoked(kind, since)).standing(MARKS, at=at, now=NOW)

    assert (found.then.holds, found.now.holds) == (then, now)
    for verdict in (found.then, found.now):
        assert bool(verdict.sentence) is not verdict.holds
        assert bool(verdict.advice) is not verdict.holds


def test_what_was_recorded_later_could_not_be_known_then() -> None:
    early = book(revoked(Revoked.STATEMENT, None, at=SIGNED + DAY)).standing(MARKS, at=SIGNED + 2 * DAY, now=NOW)
    late = book(revoked(Revoked.STATEMENT, None, at=SIGNED + 9 * DAY)).standing(MARKS, at=SIGNED + 2 * DAY, now=NOW)

    assert (early.then.holds, early.unforeseen) == (False, False)
    assert (late.then.holds, late.unforeseen) == (False, True)


def test_before_it_was_signed_nothing_had_been_said() -> None:
    found = book().standing(MARKS, at=SIGNED - DAY, now=NOW)

    assert (found.then.holds, found.is_made, found.now.holds) == (False, False, True)


def test_lifting_closes_the_window_and_undoes_nothing() -> None:
    lifted = replace(revoked(Revoked.IDENTITY, SIGNED - DAY), lifted_at=SIGNED + DAY)
    later = replace(MARKS, signed_at=SIGNED + 2 * DAY)

    assert not book(lifted).verdict(MARKS, NOW).holds  # signed inside the window
    assert book(lifted).verdict(later, NOW).holds
    assert book(lifted).bars(AGENT, NOW).holds
    assert not book(lifted).bars(AGENT, SIGNED).holds


@pytest.mark.parametrize(
    "target",
    [f"certificate:{MARKS.certificate}", f"key:{MARKS.key}", "serial:abc123", "authority:00ff"],
)
def test_a_key_is_recognised_by_each_of_its_names(target: str) -> None:
    assert not book(revoked(Revoked.KEY, None, target=target)).verdict(MARKS, NOW).holds


@pytest.mark.parametrize(
    ("pattern", "strikes"),
    [
        ("spiffe://demo.khatim/agent/ae-health/*", True),
        ("spiffe://demo.khatim/agent/*/a1", True),
        ("spiffe://demo.khatim/agent/*", False),  # one star is one segment
        ("spiffe://demo.khatim/agent/ae-health/a", False),
        ("spiffe://demo.khatim/person/*", False),
    ],
)
def test_an_identity_is_matched_segment_by_segment(pattern: str, strikes: bool) -> None:
    assert book(revoked(Revoked.IDENTITY, None, target=pattern)).verdict(MARKS, NOW).holds is not strikes


def test_an_artifact_bars_the_bytes_and_nothing_else() -> None:
    found = book(revoked(Revoked.ARTIFACT, SIGNED))

    assert not found.forbids([str(MODEL)], NOW).holds
    assert found.forbids([str(MODEL)], SIGNED - DAY).holds
    assert found.forbids([str(Digest.of(b"other"))], NOW).holds
    assert found.bars(AGENT, NOW).holds


@pytest.mark.parametrize(
    ("kind", "written", "read"),
    [
        (Revoked.IDENTITY, "agent/ae-health/*", "spiffe://demo.khatim/agent/ae-health/*"),
        (Revoked.IDENTITY, "spiffe://demo.khatim/person/p-1", "spiffe://demo.khatim/person/p-1"),
        (Revoked.KEY, "SERIAL:ABC", "serial:abc"),
        (Revoked.ARTIFACT, f" {MODEL} ", str(MODEL)),
    ],
)
def test_a_target_has_one_spelling(kind: Revoked, written: str, read: str) -> None:
    assert target_of(kind, written, "demo") == read


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        (Revoked.IDENTITY, "*"),
        (Revoked.IDENTITY, "agent/**/x/y"),
        (Revoked.IDENTITY, "service/registry"),
        (Revoked.IDENTITY, "service/*"),
        (Revoked.IDENTITY, "spiffe://other.khatim/agent/z/a"),
        (Revoked.KEY, "certificate:sha256:12"),
        (Revoked.ARTIFACT, "sha256:12"),
        (Revoked.STATEMENT, "statement"),
    ],
)
def test_what_is_no_target_is_refused_with_advice(kind: Revoked, written: str) -> None:
    with pytest.raises(Malformed) as refused:
        target_of(kind, written, "demo")

    assert refused.value.advice


moments = st.integers(-100, 100).map(lambda days: SIGNED + days * DAY)


@given(since=st.none() | moments, earlier=moments, at=moments, signed=moments, kind=st.sampled_from(list(Revoked)))
def test_an_earlier_cut_off_never_lets_more_hold(
    since: datetime | None, earlier: datetime, at: datetime, signed: datetime, kind: Revoked
) -> None:
    marks = replace(MARKS, signed_at=signed)
    further = revoked(kind, min(since, earlier) if since else None)
    if not book(revoked(kind, since)).verdict(marks, at).holds:
        assert not book(further).verdict(marks, at).holds


@given(at=moments, signed=moments)
def test_nothing_is_struck_by_an_empty_book(at: datetime, signed: datetime) -> None:
    assert book().verdict(replace(MARKS, signed_at=signed), at).holds


def test_rows_fold_into_revocations_with_their_liftings() -> None:
    row = {"kind": "key", "target": "serial:ab", "since": None, "because": "x", "by": "p-1", "at": SIGNED}
    rows = [{**row, "number": 1, "lifts": None}, {**row, "number": 2, "lifts": 1, "at": NOW}]

    [found] = folded(rows)
    assert (found.number, found.lifted_at) == (1, NOW)


def test_digests_are_found_anywhere_in_a_specification() -> None:
    spec = {"files": [{"digest": str(MODEL)}], "name": "sha256:short", "deep": {"a": [str(MARKS.key)]}}

    assert digests_in(spec) == {str(MODEL), str(MARKS.key)}
