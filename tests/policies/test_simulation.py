# SPDX-License-Identifier: Apache-2.0
"""What other rules would change: exactly what differs, and nothing where nothing does."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from khatim.errors import Misconfigured
from khatim.vocabulary import Action, Actor, ActorKind, Resource, Role
from policies import loading, simulation
from policies.grants import read_grants
from policies.loading import PolicyBundle
from policies.residency import Movement, MovementKind, decide

AT = datetime(2026, 11, 23, 9, tzinfo=UTC)


SHIPPED = PolicyBundle.load()
READ_IN = read_grants((Path(loading.__file__).parent / "roles.csv").read_text(encoding="utf-8"))


def under(**files: str) -> PolicyBundle:
    return PolicyBundle.of_files({name.replace("_", "."): text for name, text in files.items()})


def test_comments_and_spacing_change_nothing() -> None:
    same = under(roles_csv="# a remark\n\n", gates_yaml="# another\n")

    assert same.digest == SHIPPED.digest
    assert simulation.files_changed(SHIPPED, same) == ()
    assert simulation.access_changes(SHIPPED, same) == []
    assert simulation.movement_changes(SHIPPED, same, at=AT) == []
    assert simulation.runtime_changes(SHIPPED, same) == []


def test_a_row_more_is_told_at_every_place_that_it_speaks_about_and_nowhere_else() -> None:
    more = under(roles_csv="p, data-scientist, ae-health, oncology, version.approve, allow\n")

    assert simulation.access_changes(SHIPPED, more) == [
        simulation.AccessChange("data-scientist", "version.approve", "no", "yes", ("ae-health/oncology",))
    ]
    assert simulation.access_changes(more, SHIPPED) == [
        simulation.AccessChange("data-scientist", "version.approve", "yes", "no", ("ae-health/oncology",))
    ]
    assert simulation.files_changed(SHIPPED, more) == ("roles.csv",)


def test_what_depends_on_a_condition_is_neither_yes_nor_no() -> None:
    [change] = simulation.access_changes(
        SHIPPED, under(roles_csv="p, validator, *, *, alias.set, allow, two-factors\n")
    )
    assert (change.role, change.action, change.before, change.after) == ("validator", "alias.set", "no", "when")
    [denied] = simulation.access_changes(
        SHIPPED, under(roles_csv="p, validator, *, *, version.approve, deny, outside-working-hours\n")
    )
    assert (denied.before, denied.after) == ("yes", "when")


def test_an_agent_is_asked_about_in_its_own_zone() -> None:
    [change] = simulation.access_changes(SHIPPED, under(roles_csv="p, agent, ae-gov, *, job.claim, deny\n"))
    assert (change.role, set(change.places)) == ("agent", {"ae-gov/-", "ae-gov/any-other"})


def test_movements_that_would_be_answered_otherwise_are_told_with_the_rules_that_answer() -> None:
    other = under(transfers_yaml="tags:\n  personal: {title: Personal data, is_restricted: false}\n")
    changes = simulation.movement_changes(SHIPPED, other, at=AT)

    assert {change.tag for change in changes} == {"personal"}
    assert len(changes) > 10
    for change in changes:
        movement = Movement(
            kind=MovementKind(change.kind),
            from_zone=change.from_zone,
            to_zone=change.to_zone,
            tags=frozenset({"personal"}),
        )
        said = [decide(bundle.residency, movement, at=AT) for bundle in (SHIPPED, other)]
        assert [bool(one) for one in said] == [change.before, change.after]
        assert [one.rule for one in said] == [change.rule_before, change.rule_after]


def test_a_shorter_grace_is_told_for_the_tiers_that_have_it() -> None:
    text = """events:
  expired:
    default: {hours: 24}
"""
    changes = simulation.runtime_changes(SHIPPED, under(runtime_yaml=text))
    assert [(one.event, one.tier, one.before["hours"], one.after["hours"]) for one in changes] == [
        ("expired", "2", 336, 24), ("expired", "3", 336, 24)
    ]  # fmt: skip


def test_rules_that_lock_everybody_out_are_seen() -> None:
    assert simulation.doors_shut(SHIPPED) == []
    rows = "".join(f"p, {role.value}, *, *, policy.approve, deny\n" for role in Role)
    assert simulation.doors_shut(under(roles_csv=rows)) == ["policy.approve"]


def test_a_file_that_no_overlay_has_is_refused() -> None:
    with pytest.raises(Misconfigured, match=r"access\.conf: an overlay may hold"):
        PolicyBundle.of_files({"access.conf": "[request_definition]"})
    with pytest.raises(Misconfigured, match=r"\.\./roles\.csv: an overlay may hold"):
        PolicyBundle.of_files({"../roles.csv": ""})


ROWS = st.lists(
    st.tuples(
        st.sampled_from([role.value for role in Role if role is not Role.AGENT]),
        st.sampled_from(["*", "ae-health"]),
        st.sampled_from(["*", "oncology"]),
        st.sampled_from(["*", "version.approve", "version.*", "read"]),
        st.sampled_from(["allow", "deny"]),
    ),
    min_size=1,
    max_size=4,
    unique=True,
)
APART = ("data-engineer", "ae-health", "oncology", "read", "allow")  # it names the places and changes nothing


@settings(max_examples=12)
@given(rows=ROWS)
def test_what_is_told_is_what_is_decided_before_and_after(rows: list[tuple[str, str, str, str, str]]) -> None:
    stands = {(one.role, one.zone, one.namespace, one.action, one.effect) for one in READ_IN}
    news = [row for row in rows if row not in stands and row != APART]
    other = under(roles_csv="".join(f"p, {', '.join(row)}\n" for row in (APART, *news)))
    told = {
        (change.role, change.action, place): (change.before, change.after)
        for change in simulation.access_changes(SHIPPED, other)
        for place in change.places
    }
    for role, (zone, namespace), action in product(
        (Role.VALIDATOR, Role.AUDITOR, Role.DATA_SCIENTIST),
        (("", ""), ("ae-health", "oncology"), ("ae-health", "any-other"), ("any-other", "any-other")),
        (Action.READ, Action.VERSION_APPROVE, Action.VERSION_PROMOTE),
    ):
        actor, resource = Actor("p-x", ActorKind.PERSON, frozenset({role})), Resource("version", "x", namespace, zone)
        was, would = ("yes" if one.access.decide(actor, action, resource) else "no" for one in (SHIPPED, other))
        found = told.get((role.value, action.value, f"{zone or '-'}/{namespace or '-'}"))
        assert found == ((was, would) if was != would else None)
