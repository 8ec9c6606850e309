# SPDX-License-Identifier: Apache-2.0
"""Legal entities as data: where the roles of a sign-in hold, and what no file of entities may say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from khatim.errors import Misconfigured
from khatim.vocabulary import Action, Actor, ActorKind, Assignment, Resource, Role
from policies.loading import PolicyBundle

NOW = datetime(2026, 11, 23, tzinfo=UTC)
TWO = """
entities:
  bank: {name: Example Bank PJSC, namespaces: [retail*, corporate], members: [group:bank, "person:p-guest"]}
  insurer: {name: Example Insurance PJSC, namespaces: [motor], members: [group:insurer]}
everywhere: [group:risk]
"""


def rules_of(text: str) -> PolicyBundle:
    return PolicyBundle.of_files({"entities.yaml": text})


def clerk(*groups: str, ref: str = "p-1", **more: object) -> Actor:
    return Actor(ref, ActorKind.PERSON, frozenset({Role.VALIDATOR}), groups=frozenset(groups), **more)  # type: ignore[arg-type]


def may(bundle: PolicyBundle, actor: Actor, action: Action, namespace: str) -> bool:
    resource = Resource("version", "x", namespace, "ae-onshore")
    return bool(bundle.access.decide(bundle.access.placed(actor), action, resource, NOW))


def test_without_entities_roles_hold_everywhere(bundle: PolicyBundle) -> None:
    assert bundle.access.placed(clerk()) == clerk()
    assert may(bundle, clerk(), Action.VERSION_APPROVE, "anything")
    assert bundle.access.entity_of("anything") == ""


@pytest.mark.parametrize(
    ("groups", "ref", "held"),
    [
        (("bank",), "p-1", {"retail", "retail-cards", "corporate"}),
        (("insurer",), "p-1", {"motor"}),
        (("bank", "insurer"), "p-1", {"retail", "retail-cards", "corporate", "motor"}),
        (("risk",), "p-1", {"retail", "retail-cards", "corporate", "corporates", "motor", "nobodys"}),
        ((), "p-guest", {"retail", "retail-cards", "corporate"}),
        ((), "p-1", set()),
    ],
)
def test_roles_of_the_sign_in_hold_where_somebody_is_a_member(
    groups: tuple[str, ...], ref: str, held: set[str]
) -> None:
    bundle, who = rules_of(TWO), clerk(*groups, ref=ref)
    asked = {"retail", "retail-cards", "corporate", "corporates", "motor", "nobodys"}

    assert {one for one in asked if may(bundle, who, Action.VERSION_APPROVE, one)} == held


def test_what_belongs_to_all_is_read_by_members_and_decided_by_who_holds_everywhere() -> None:
    bundle = rules_of(TWO)

    assert may(bundle, clerk("bank"), Action.READ, "")
    assert not may(bundle, clerk("bank"), Action.LEDGER_READ, "")
    assert not may(bundle, clerk(), Action.READ, "")
    assert may(bundle, clerk("risk"), Action.LEDGER_READ, "")


def test_a_role_on_record_holds_where_it_says_in_whatever_entity() -> None:
    bundle = rules_of(TWO)
    held = Assignment(Role.VALIDATOR, NOW + timedelta(days=1), namespace="motor")
    guest = bundle.access.placed(clerk("bank", assignments=frozenset({held})))

    assert may(bundle, guest, Action.VERSION_APPROVE, "motor")
    assert guest.reach(NOW) == {"retail*", "corporate", "motor"}
    assert guest.reach(NOW + timedelta(days=1)) == {"retail*", "corporate"}


@pytest.mark.parametrize(("namespace", "entity"), [("retail-1", "bank"), ("motor", "insurer"), ("x", ""), ("", "")])
def test_a_namespace_belongs_to_its_entity(namespace: str, entity: str) -> None:
    assert rules_of(TWO).access.entity_of(namespace) == entity


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TWO.replace("[motor]", "[retail-cards]"), "meets"),
        (TWO.replace("[motor]", "[corp*]"), "meets"),
        (TWO.replace("[motor]", '["*"]'), "meets"),
        (TWO.replace("[motor]", "[]"), "has all three"),
        (TWO.replace("[motor]", "[m*r]"), "no namespace"),
        (TWO.replace("[motor]", "[Motor]"), "no namespace"),
        (TWO.replace("group:insurer", "insurer"), "write group:NAME"),
        (TWO.replace("everywhere: [group:risk]", "everywhere: []"), "for the whole installation"),
        (TWO.replace("everywhere: [group:risk]", "everywhere: [risk]"), "write group:NAME"),
    ],
)
def test_what_no_file_of_entities_may_say(text: str, said: str) -> None:
    with pytest.raises(Misconfigured, match=said):
        rules_of(text)
