# SPDX-License-Identifier: Apache-2.0
"""Whom a claim rests on: each basis by what decides it, and the sentence about whose clock it was."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from khatim.vocabulary import Basis, Digest
from registry.signing.bases import OPERATORS_TIME, SENTENCES, Circumstances, bases_of, is_operators, told
from registry.signing.revocation import Marks
from registry.signing.verification import VerifiedStatement

OWN, OUTSIDE = "https://tsa.demo.khatim", "https://tsa.ministry.example"
AT = datetime(2026, 6, 1, tzinfo=UTC)
NOBODY = Circumstances()


def verified(name: str, *, issuer: str = "https://demo", clock: str = OWN) -> VerifiedStatement:
    identity = f"spiffe://demo.khatim/{name}" if "@" not in name else name
    zero = Digest.of(b"")
    marks = Marks(zero, zero, zero, "1", "2", 1, identity, AT, frozenset())
    return VerifiedStatement({}, "t", "k", (), identity, issuer, AT, 1, clock, marks)


def witnessed(*names: str, quorum: int = 1, is_in_ledger: bool = True) -> Circumstances:
    return Circumstances(is_in_ledger=is_in_ledger, witnesses=frozenset(names), quorum=quorum)


@pytest.mark.parametrize(
    ("statement", "around", "expected"),
    [
        (None, NOBODY, {Basis.DECLARED}),
        (None, witnessed("w1"), {Basis.DECLARED}),
        (verified("agent/ae-health/a1"), NOBODY, {Basis.RUNNER_ATTESTED}),
        (verified("service/registry"), NOBODY, {Basis.SERVER_ATTESTED}),
        (verified("person/p-1"), NOBODY, {Basis.SERVER_ATTESTED}),
        (verified("person/p-1", issuer="https://login.bank.example"), NOBODY, {Basis.PERSON_BOUND}),
        (verified("a@bank.example", issuer="https://login.bank.example"), NOBODY, {Basis.PERSON_BOUND}),
        (verified("agent/ae-health/a1"), witnessed("w1"), {Basis.RUNNER_ATTESTED, Basis.WITNESSED}),
        (verified("agent/ae-health/a1"), witnessed("w1", quorum=2), {Basis.RUNNER_ATTESTED}),
        (verified("agent/ae-health/a1"), witnessed("w1", "w2", quorum=2), {Basis.RUNNER_ATTESTED, Basis.WITNESSED}),
        (verified("agent/ae-health/a1"), witnessed("w1", is_in_ledger=False), {Basis.RUNNER_ATTESTED}),
        (verified("agent/ae-health/a1"), witnessed(quorum=0), {Basis.RUNNER_ATTESTED}),
        (verified("agent/z/a", clock=OUTSIDE), NOBODY, {Basis.RUNNER_ATTESTED, Basis.OUTSIDE_TIME}),
        (verified("agent/z/a", clock=""), NOBODY, {Basis.RUNNER_ATTESTED}),
    ],
    ids=range(14),
)
def test_each_basis_by_what_decides_it(
    statement: VerifiedStatement | None, around: Circumstances, expected: set[Basis]
) -> None:
    found = bases_of(statement, "demo", around)

    assert set(found) == expected
    assert list(found) == [basis for basis in Basis if basis in expected]


def test_every_basis_has_a_sentence() -> None:
    assert set(SENTENCES) == set(Basis)


@pytest.mark.parametrize(
    ("clock", "own"),
    [(OWN, True), ("https://demo.khatim/tsa", True), (OUTSIDE, False), ("https://tsa.demo.khatim.evil.example", False)],
)
def test_a_clock_is_the_operators_by_its_host(clock: str, own: bool) -> None:
    assert is_operators(clock, "demo") is own


def test_the_operators_own_time_is_said_to_be_that() -> None:
    own, outside = verified("agent/z/a"), verified("agent/z/a", clock=OUTSIDE)

    assert told((Basis.RUNNER_ATTESTED,), own, "demo") == f"runner-attested; {OPERATORS_TIME}"
    assert told(bases_of(outside, "demo", NOBODY), outside, "demo") == "runner-attested, outside-time"
    assert told((Basis.DECLARED,), None, "demo") == "declared"
