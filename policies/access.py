# SPDX-License-Identifier: Apache-2.0
"""The door to Casbin: decides who may do what, where and when, by ``access.conf``, ``roles.csv``, ``conditions.yaml``.

Casbin's model says how grants are read; `policies.index` answers in its place, because Casbin walks every row for
every question.  Both are built from the same rows, and Casbin is asked at load whether they agree.  A decision depends
on nothing but the policy and the values of the question, so a bounded cache of exact questions is safe: the policy of
one `CasbinAccess` never changes, another policy is another object.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import islice, product
from pathlib import Path
from typing import Final

import casbin

from khatim.errors import Misconfigured
from khatim.vocabulary import Action, Actor, ActorKind, Decision, Digest, Resource, Role, is_name, matches
from policies.conditions import Circumstances, Conditions
from policies.entities import Entities
from policies.grants import ALWAYS, GRANTS, SERVICE_ROLE, Grant, read_grants
from policies.index import ANYWHERE, MODEL, Answer, Index, Question, lines_of

FILE: Final = "access.conf"
_CACHED_QUESTIONS: Final = 65_536
_PROBES: Final = 48  # Casbin needs about a millisecond each


class CasbinAccess:
    """`khatim.vocabulary.Access` by Casbin's model.  Built once, immutable, safe to share between threads."""

    def __init__(
        self,
        model: str,
        grants: Iterable[Grant],
        *,
        conditions: Conditions | None = None,
        entities: Entities | None = None,
        policy: str = "",
    ) -> None:
        """Take the text of the model, the grants, the conditions they name, and the digest of the policy bundle.

        Raises `Misconfigured` for a model that the index does not implement, and for a row that stands twice.
        """
        self.grants: Final = tuple(grants)
        self.conditions: Final = conditions or Conditions()
        self.entities: Final = entities or Entities()
        self.policy: Final = policy or _digest(model, self.grants)
        places: dict[tuple[str, ...], str] = {}
        for grant in self.grants:
            if first := places.get(grant.row):
                raise Misconfigured(f"{grant.place}: repeats {first}")
            places[grant.row] = grant.place
        named = {grant.condition for grant in self.grants}
        known = self.conditions.conditions
        self._used = Conditions(conditions={name: one for name, one in known.items() if name in named})
        self._index = Index(self.grants)
        _compare(model, self.grants)
        self.answer: Final = lru_cache(maxsize=_CACHED_QUESTIONS)(self._ask)

    @classmethod
    def load(cls, folder: Path, *, policy: str = "") -> CasbinAccess:
        """Read ``access.conf`` and ``roles.csv`` of *folder*; raises `Misconfigured`."""
        try:
            model = (folder / FILE).read_text(encoding="utf-8")
            rows = (folder / GRANTS).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Misconfigured(f"the access policy in {folder} cannot be read: {error}") from error
        return cls(model, read_grants(rows), policy=policy)

    def decide(self, actor: Actor, action: Action, resource: Resource, at: datetime | None = None) -> Decision:
        """Decide whether *actor* may do *action* to *resource* at *at*: default deny, DENY wins, nobody gets nothing.

        Without *at* a condition on hours is not known: it opens nothing.
        """
        if not actor.is_somebody:
            return self._refusal("access.conf:nobody", f"Nobody is signed in: no {action.value}.", "Sign in.")
        return self.answer(self.question(actor, action, resource, at))

    def placed(self, actor: Actor) -> Actor:
        """Return *actor* with the places in which the roles of the sign-in hold."""
        return self.entities.placed(actor)

    def entity_of(self, namespace: str) -> str:
        """Return the legal entity that *namespace* belongs to; empty when no rule says."""
        return self.entities.of(namespace)

    def question(self, actor: Actor, action: Action, resource: Resource, at: datetime | None = None) -> Question:
        """Return what is asked of the rows: roles, kind, home zone, place, action and the conditions that hold."""
        roles = frozenset(role.value for role in actor.roles_for(resource, at))
        if action is Action.READ and not resource.namespace and not roles:
            # What belongs to the whole installation (zones, rules) is to be read by the members of any entity.
            roles = frozenset(role.value for role in actor.roles if actor.places)
        if actor.kind is ActorKind.SERVICE:
            roles |= {SERVICE_ROLE}
        home = ANYWHERE
        if actor.kind is ActorKind.AGENT:
            home = actor.zone if actor.zone and is_name(actor.zone) else ""
        holding = failing = frozenset[str]()
        if self._used.conditions:
            now = Circumstances(
                tags=resource.tags, stage=resource.stage, alias=resource.alias, at=at, strength=actor.strength
            )
            holding, failing = self._used.holding(now), self._used.failing(now)
        return Question(
            roles, actor.kind.value, home, resource.zone, resource.namespace, action.value, holding, failing
        )

    def _ask(self, asked: Question) -> Decision:
        answer = self._index.ask(asked)
        where = f" in {asked.zone}" if asked.zone else ""
        if answer:
            return self._permission(answer, f"may do {asked.action}{where}")
        if answer.denied_by:
            role = answer.denied_by.role
            when = _words(answer.denied_by.condition)
            reason = f"The role {role} forbids {asked.action}{where}{when}, whatever other roles allow."
            return self._refusal(answer.denied_by.place, reason, f"Use an account without the role {role}.")
        if asked.home not in {ANYWHERE, asked.zone}:
            home, zone = asked.home or "no zone", asked.zone or "no zone"
            reason = f"An agent of {home} acts in its own zone only, not in {zone}."
            return self._refusal("access.conf:own-zone", reason, "Send the job to an agent of that zone.")
        held = " and ".join(sorted(asked.roles)) or "no role"
        able = sorted(role + _words(condition) for role, condition in self._index.able(asked))
        return self._refusal(
            "roles.csv:default",
            f"No role you hold ({held}) allows {asked.action}{where}.",
            f"It is for: {', '.join(able)}." if able else "",
        )

    def _permission(self, answer: Answer, words: str) -> Decision:
        grant = answer.allowed_by
        if grant is None:
            raise AssertionError("an answer that allows names its row")
        reason = f"The role {grant.role} {words}{_words(grant.condition)}."
        return Decision(allowed=True, rule=grant.place, reason=reason, policy=self.policy)

    def _refusal(self, rule: str, reason: str, advice: str) -> Decision:
        return Decision(allowed=False, rule=rule, reason=reason, advice=advice, policy=self.policy)


def enforcer(model: str, grants: Sequence[Grant]) -> casbin.Enforcer:
    """Build Casbin's own enforcer without a file behind it; its complaints become `Misconfigured`."""
    try:
        parsed = casbin.Model()
        parsed.load_model_from_text(model)
        made = casbin.Enforcer(parsed)
        if grants:
            made.add_policies([list(grant.row) for grant in grants])
    except Exception as error:  # Casbin raises RuntimeError, KeyError and others
        raise Misconfigured(f"{FILE}: Casbin cannot use this model: {error}") from error
    return made


def _compare(model: str, grants: Sequence[Grant]) -> None:
    """Ask Casbin itself some questions from the corners of the rows; another model or another answer is refused."""
    if lines_of(model) != MODEL:
        raise Misconfigured(
            f"{FILE} is not the model that policies/index.py implements",
            advice="Bring the shipped access.conf back; what a customer may change is roles.csv and conditions.yaml.",
        )
    # The rows at both ends and between: an enforcer of them all would make the start as slow as Casbin is.
    chosen = [*grants[:: max(1, len(grants) // 12)]]
    asked, part = enforcer(model, chosen), Index(chosen)
    for question in islice(_probes(chosen), _PROBES):
        try:
            expected = bool(asked.enforce(*question.values))
        except Exception as error:  # simpleeval's own errors
            raise Misconfigured(f"{FILE}: Casbin cannot use this model: {error}") from error
        if expected is not bool(part.ask(question)):
            raise Misconfigured(f"policies/index.py and Casbin disagree about {question}")


def _probes(grants: Sequence[Grant]) -> Iterable[Question]:
    for grant, (kind, home) in product(grants, (("person", ANYWHERE), ("agent", "x"), ("agent", ""))):
        zone, namespace = grant.zone.removesuffix("*"), grant.namespace.removesuffix("*")
        action = next(one.value for one in Action if matches(one.value, grant.action))
        for condition in dict.fromkeys((ALWAYS, grant.condition)):
            roles = frozenset({grant.role, Role.AUDITOR.value})
            yield Question(roles, kind, home, zone, namespace, action, frozenset({condition}), frozenset())


def _words(condition: str) -> str:
    return "" if condition == ALWAYS else f" (when {condition})"


def _digest(model: str, grants: Sequence[Grant]) -> str:
    lines = [model, *(",".join((grant.place, *grant.row)) for grant in grants)]
    return str(Digest.of("\n".join(lines).encode()))
