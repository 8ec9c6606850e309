# SPDX-License-Identifier: Apache-2.0
"""Roles on record: which may be asked for, for how long, who may give them, and where they are held."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khatim.vocabulary import Action, Actor, ActorKind, Assignment, Certainty, Resource, Role
from policies.assignments import Assignments
from policies.loading import PolicyBundle

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
RULES = PolicyBundle.load()
NAMES = st.sampled_from(["ae-health", "ae-onshore", "ext-de", "oncology", "cardiology", "onco", ""])
PATTERNS = st.sampled_from(["*", "ae-*", "ae-health", "onco*", "oncology", "ext-de"])


def rules(**changes: object) -> Assignments:
    given: dict[str, object] = {
        "max_days": {Role.VALIDATOR: 30}, "basis": "here", "certainty": Certainty.INFERRED, "advice": "less", **changes
    }  # fmt: skip
    return Assignments(**given)  # type: ignore[arg-type]  # tests give what a file could say


def test_every_role_of_people_has_a_term_and_privileged_ones_the_shortest() -> None:
    terms = RULES.assignments.max_days

    assert set(terms) == set(Role) - {Role.AGENT}
    assert max(terms[Role.PLATFORM_ENGINEER], terms[Role.ACCESS_ADMINISTRATOR]) < min(
        terms[Role.DATA_SCIENTIST], terms[Role.VALIDATOR]
    )


@pytest.mark.parametrize(
    ("role", "days", "ticket", "rule"),
    [
        (Role.VALIDATOR, 30, "ITSM-7", "assignments/allowed"),
        (Role.VALIDATOR, 31, "ITSM-7", "assignments/term"),
        (Role.AUDITOR, 1, "ITSM-7", "assignments/role"),
        (Role.AGENT, 1, "ITSM-7", "assignments/role"),
        (Role.VALIDATOR, 30, "", "assignments/ticket"),
        (Role.VALIDATOR, 30, "ITSM-7 or so", "assignments/ticket"),
    ],
)
def test_what_may_be_asked_for(role: Role, days: int, ticket: str, rule: str) -> None:
    decision = rules(ticket=r"ITSM-[0-9]+").may_ask(role, days, ticket, subject="person:p-x")

    assert decision.rule == rule
    assert bool(decision) == (rule == "assignments/allowed")


@pytest.mark.parametrize(
    ("approver", "subject", "groups", "rule"),
    [
        ("p-nour", "person:p-x", (), "assignments/allowed"),
        ("p-asks", "person:p-x", (), "assignments/requester"),
        ("p-x", "person:p-x", (), "assignments/beneficiary"),
        ("p-nour", "group:staff", ("staff",), "assignments/beneficiary"),
        ("p-nour", "group:staff", ("guests",), "assignments/allowed"),
    ],
)
def test_nobody_gives_what_they_asked_for_or_would_hold(
    approver: str, subject: str, groups: tuple[str, ...], rule: str
) -> None:
    assert rules().may_give(approver=approver, asked_by="p-asks", subject=subject, groups=groups).rule == rule


def test_a_role_ends_when_the_policy_that_is_in_force_says_so() -> None:
    assert rules().end_of(Role.VALIDATOR, 365, NOW) == NOW + timedelta(days=30)
    assert rules().end_of(Role.AUDITOR, 365, NOW) == NOW


@pytest.mark.parametrize(
    "change", [{"max_days": {Role.AGENT: 1}}, {"max_days": {Role.VALIDATOR: 0}}, {"ticket": "["}], ids=str
)
def test_a_file_that_cannot_be_meant_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"max_days|ticket"):
        rules(**change)


@given(
    zone=NAMES,
    namespace=NAMES,
    in_zone=PATTERNS,
    in_namespace=PATTERNS,
    minutes=st.integers(-60, 60),
    action=st.sampled_from(Action),
)
def test_a_role_on_record_opens_exactly_what_the_same_role_opens_where_and_while_it_is_held(
    zone: str, namespace: str, in_zone: str, in_namespace: str, minutes: int, action: Action
) -> None:
    what = Resource("version", "x@1", namespace, zone)
    until = NOW + timedelta(minutes=minutes)
    held = Assignment(Role.VALIDATOR, until, in_zone, in_namespace, "assignment:1")
    on_record = Actor("p-1", ActorKind.PERSON, assignments=frozenset({held}))
    by_sign_in = Actor("p-1", ActorKind.PERSON, frozenset({Role.VALIDATOR}))

    def reaches(name: str, pattern: str) -> bool:
        return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern

    is_held = reaches(zone, in_zone) and reaches(namespace, in_namespace) and until > NOW
    expected = is_held and bool(RULES.access.decide(by_sign_in, action, what, NOW))
    assert bool(RULES.access.decide(on_record, action, what, NOW)) == expected
    assert not RULES.access.decide(on_record, action, what)  # at an unknown time nothing is held


def test_a_role_on_record_that_denies_denies() -> None:
    held = Assignment(Role.AUDITOR, NOW + timedelta(days=1))
    both = Actor("p-1", ActorKind.PERSON, frozenset({Role.VALIDATOR}), assignments=frozenset({held}))

    assert not RULES.access.decide(both, Action.VERSION_APPROVE, Resource("version", "x@1", "oncology", "a"), NOW)
