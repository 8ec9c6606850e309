# SPDX-License-Identifier: Apache-2.0
"""Access decisions: Khatim's door to Casbin beside a plain enforcer on the same model and the same grants."""

from __future__ import annotations

from khatim.cli.benchmarks import plain_access
from khatim.cli.benchmarks.figures import Section, longer, timed
from khatim.errors import VerificationFailed
from khatim.vocabulary import Action, Actor, ActorKind, Resource, Role

TIMES = 400
_ROLES = (Role.DATA_SCIENTIST, Role.VALIDATOR, Role.AUDITOR, Role.PLATFORM_ENGINEER)
_ACTIONS = tuple(Action)


def measure() -> Section:
    """Measure first questions, repeated ones, and the plain enforcer; the answers are compared."""
    from policies.loading import PolicyBundle

    access = PolicyBundle.load().access
    enforcer = plain_access.enforcer()

    def question(number: int, namespace: str) -> tuple[Actor, Action, Resource]:
        actor = Actor(f"p-{number}", ActorKind.PERSON, frozenset({_ROLES[number % len(_ROLES)]}))
        return actor, _ACTIONS[number % len(_ACTIONS)], Resource("version", "m@1", namespace, "ae-health")

    def plain(number: int, namespace: str) -> bool:
        actor, action, resource = question(number, namespace)
        roles = frozenset(role.value for role in actor.roles)
        asked = (roles, actor.kind.value, "*", resource.zone, resource.namespace, action.value)
        return bool(enforcer.enforce(*asked))

    for number in range(len(_ACTIONS) * len(_ROLES)):
        if plain(number, "compared") != bool(access.decide(*question(number, "compared"))):
            raise VerificationFailed(f"Casbin and Khatim disagree about {question(number, 'compared')}")
    first = timed("a question asked for the first time", lambda n: access.decide(*question(n, f"first-{n}")), TIMES)
    again = timed("a question asked before", lambda n: access.decide(*question(n, "compared")), TIMES * 10)
    anchor = timed("*anchor:* plain `casbin.Enforcer`", lambda n: plain(n, f"plain-{n}"), TIMES)
    return Section(
        "Access decisions",
        "The shipped `policies/access.conf` and `roles.csv`, one thread. A first question goes to Casbin, and the "
        "answer is put into words: rule, reason, advice. A question asked before, by whomever, is answered from a "
        "bounded cache that lives exactly as long as the policy. Both decide alike, which the run checks for every "
        "action.",
        (first, again, anchor),
        (
            longer("time of a first question ÷ the plain enforcer", first, anchor),
            longer("time of a repeated question ÷ the plain enforcer", again, anchor),
        ),
        ("Issue 4 brings a decider that stays fast at 5,000 users and 800 rules; this one asks Casbin.",),
    )
