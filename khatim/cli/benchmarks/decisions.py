# SPDX-License-Identifier: Apache-2.0
"""Decisions of rules: who may do what at the size of an enterprise, where bytes may be, which gates are open."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING

from khatim.cli.benchmarks import plain_access
from khatim.cli.benchmarks.figures import Figure, Ratio, Section, longer, timed
from khatim.errors import VerificationFailed
from khatim.vocabulary import Action, Actor, ActorKind, Resource, Role

if TYPE_CHECKING:
    from policies.grants import Grant
    from policies.index import Question

TIMES = 400
PEOPLE, ROLES, RULES = 5_000, 50, 800
ZONES = tuple(f"zone-{letter}" for letter in "abcdefgh")
_ROLES = (Role.DATA_SCIENTIST, Role.VALIDATOR, Role.AUDITOR, Role.PLATFORM_ENGINEER)
_ACTIONS = tuple(Action)
_PLAIN_TIMES = 12  # each takes hundreds of milliseconds


def measure() -> Section:
    """Measure the shipped policy and one of an enterprise; every answer that is compared must be Casbin's."""
    shipped, ratios = _shipped()
    large = _enterprise()
    return Section(
        "Access decisions",
        "One thread. Casbin's model says how grants are read; an index over the same rows answers, and a property test "
        "compares it with Casbin on random policies. A question asked before, by whomever, is answered from a bounded "
        "cache that lives exactly as long as the policy. The enterprise is made by a seed: "
        f"{PEOPLE:,} people with one to four of {ROLES} roles, {RULES} rules over {len(ZONES)} zones and twenty "
        "namespaces; its anchor is Casbin as its documentation shows it, with people and roles as grouping rules. No "
        "question of the enterprise is asked twice, and the run checks that both decide alike.",
        (*shipped, *large),
        (*ratios, longer("enterprise: time of a first question ÷ the plain enforcer", large[0], large[1])),
    )


def _shipped() -> tuple[tuple[Figure, ...], tuple[Ratio, ...]]:
    from policies.loading import PolicyBundle

    access = PolicyBundle.load().access
    enforcer = plain_access.enforcer()

    def question(number: int, namespace: str) -> tuple[Actor, Action, Resource]:
        actor = Actor(f"p-{number}", ActorKind.PERSON, frozenset({_ROLES[number % len(_ROLES)]}))
        return actor, _ACTIONS[number % len(_ACTIONS)], Resource("version", "m@1", namespace, "ae-health")

    def plain(number: int, namespace: str) -> bool:
        actor, action, resource = question(number, namespace)
        roles = frozenset(role.value for role in actor.roles)
        nothing = frozenset[str]()
        asked = (roles, actor.kind.value, "*", resource.zone, resource.namespace, action.value, nothing, nothing)
        return bool(enforcer.enforce(*asked))

    for number in range(len(_ACTIONS) * len(_ROLES)):
        if plain(number, "compared") != bool(access.decide(*question(number, "compared"))):
            raise VerificationFailed(f"Casbin and Khatim disagree about {question(number, 'compared')}")
    first = timed("a question asked for the first time", lambda n: access.decide(*question(n, f"first-{n}")), TIMES)
    again = timed("a question asked before", lambda n: access.decide(*question(n, "compared")), TIMES * 10)
    anchor = timed("*anchor:* plain `casbin.Enforcer`", lambda n: plain(n, f"plain-{n}"), TIMES)
    return (first, again, anchor), (
        longer("time of a first question ÷ the plain enforcer", first, anchor),
        longer("time of a repeated question ÷ the plain enforcer", again, anchor),
    )


def _enterprise() -> tuple[Figure, Figure]:
    from policies.access import CasbinAccess
    from policies.loading import HERE

    chance = random.Random(1)  # noqa: S311 - the same enterprise in every run
    rules, held = _rules(chance), _held(chance)
    access = CasbinAccess((HERE / "access.conf").read_text(encoding="utf-8"), rules)
    plain = plain_access.enterprise([(*one.row[:4], one.effect) for one in rules], held)
    people = tuple(held)

    def asked(number: int) -> tuple[str, Question]:
        return _question(people[number % PEOPLE], held, number)

    for number in range(_PLAIN_TIMES):
        person, question = asked(10_000_000 + number)
        expected = plain.enforce(person, question.zone, question.namespace, question.action)
        if bool(expected) is not bool(access.answer(question)):
            raise VerificationFailed(f"Casbin and Khatim disagree about {person}: {question}")
    ours = timed(f"enterprise: {PEOPLE:,} people, {RULES} rules", lambda n: access.answer(asked(n)[1]), 20_000)

    def anchor(number: int) -> object:
        person, question = asked(20_000_000 + number)
        return plain.enforce(person, question.zone, question.namespace, question.action)

    return ours, timed("*anchor:* plain `casbin.Enforcer`, the enterprise", anchor, _PLAIN_TIMES, warm_up=1)


def _rules(chance: random.Random) -> list[Grant]:
    from policies.grants import Grant

    names = [f"role-{number:02d}" for number in range(ROLES)]
    places = [*ZONES, "*", "zone-*"]
    namespaces = [*(f"unit-{number}" for number in range(20)), "*", "unit-1*"]
    actions = [*(action.value for action in _ACTIONS), "version.*", "*"]
    rows = list(product(names, places, namespaces, actions))
    chosen = chance.sample(rows, RULES)
    return [
        Grant(f"roles.csv:{number}", *row, "deny" if chance.random() < 0.05 else "allow")  # noqa: PLR2004 - one in twenty
        for number, row in enumerate(chosen, start=1)
    ]


def _held(chance: random.Random) -> dict[str, Sequence[str]]:
    names = [f"role-{number:02d}" for number in range(ROLES)]
    return {f"p-{number}": chance.sample(names, chance.randint(1, 4)) for number in range(PEOPLE)}


def _question(person: str, held: Mapping[str, Sequence[str]], number: int) -> tuple[str, Question]:
    from policies.index import Question

    zone, action = ZONES[number % len(ZONES)], _ACTIONS[number % len(_ACTIONS)].value
    # A namespace of its own for every second question, so that no cache answers.
    namespace = f"unit-{number % 20}" if number % 2 else f"unit-1{number}"
    return person, Question(frozenset(held[person]), "person", "*", zone, namespace, action)
