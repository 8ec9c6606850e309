# SPDX-License-Identifier: Apache-2.0
"""The door to Casbin: decides who may do what, where, by ``access.conf`` and ``roles.csv``.

Casbin alone decides; this module hands it the question and puts its answer into words.  A decision depends on nothing
but the policy and the six values of the question, so a bounded cache of exact questions is safe: the policy of one
`CasbinAccess` never changes, another policy is another object.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Final

import casbin

from khatim.errors import Misconfigured
from khatim.vocabulary import Action, Actor, ActorKind, Decision, Digest, Resource, Role, is_name

MODEL: Final = "access.conf"
GRANTS: Final = "roles.csv"
ANYWHERE: Final = "*"
SERVICE_ROLE: Final = "service"  # what Khatim itself may do when it acts as `khatim.vocabulary.SERVICE`
_CACHED_QUESTIONS: Final = 65_536
_SUBJECTS: Final = frozenset({*(role.value for role in Role), SERVICE_ROLE})
_EXPLAIN: Final = "some(where (p_eft == allow))"


@dataclass(frozen=True, slots=True)
class Grant:
    """One row of ``roles.csv``.  `place` is where it stands: ``roles.csv:17``."""

    place: str
    role: str
    zone: str
    namespace: str
    action: str
    effect: str

    @property
    def row(self) -> tuple[str, str, str, str, str]:
        """The row as Casbin takes it, without the leading ``p``."""
        return (self.role, self.zone, self.namespace, self.action, self.effect)


def _pattern_matches(text: str, pattern: str) -> bool:
    # Casbin's keyMatch, used here only to say which actions a pattern can mean.
    head, star, _ = pattern.partition("*")
    return text.startswith(head) if star else text == pattern


def read_grants(text: str, name: str = GRANTS) -> tuple[Grant, ...]:
    """Read the rows of a ``roles.csv``; raises `Misconfigured` naming file and line for a row that says nothing."""
    grants: list[Grant] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        place = f"{name}:{number}"
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != 6 or cells[0] != "p" or not all(cells):  # noqa: PLR2004 - p and the five columns
            raise Misconfigured(f"{place}: a row reads p, role, zone, namespace, action, allow|deny, not {line!r}")
        grant = Grant(place, *cells[1:])
        if grant.role not in _SUBJECTS:
            raise Misconfigured(f"{place}: there is no role {grant.role!r}; known: {', '.join(sorted(_SUBJECTS))}")
        if grant.effect not in {"allow", "deny"}:
            raise Misconfigured(f"{place}: the effect is allow or deny, not {grant.effect!r}")
        for pattern in (grant.zone, grant.namespace, grant.action):
            if "*" in pattern[:-1]:
                raise Misconfigured(f"{place}: a * stands at the end of a pattern only, not in {pattern!r}")
        if not any(_pattern_matches(action.value, grant.action) for action in Action):
            raise Misconfigured(f"{place}: no action matches {grant.action!r}")
        grants.append(grant)
    return tuple(grants)


class CasbinAccess:
    """`khatim.vocabulary.Access` by Casbin.  Built once, immutable, safe to share between threads."""

    def __init__(self, model: str, grants: Iterable[Grant], *, policy: str = "") -> None:
        """Take the text of the model, the grants and the digest of the policy bundle that they come from."""
        self.grants: Final = tuple(grants)
        self.policy: Final = policy or _digest(model, self.grants)
        self._places: dict[tuple[str, ...], str] = {}
        for grant in self.grants:
            if first := self._places.get(grant.row):
                raise Misconfigured(f"{grant.place}: repeats {first}")
            self._places[grant.row] = grant.place
        self._enforcer = _enforcer(model, self.grants)
        # The same rows under an effect that stops at the first allow, so that Casbin itself names the row.
        self._explainer = _enforcer(model, self.grants, effect=_EXPLAIN)
        self._answers = lru_cache(maxsize=_CACHED_QUESTIONS)(self._ask)

    @classmethod
    def load(cls, folder: Path, *, policy: str = "") -> CasbinAccess:
        """Read ``access.conf`` and ``roles.csv`` of *folder*; raises `Misconfigured`."""
        try:
            model = (folder / MODEL).read_text(encoding="utf-8")
            rows = (folder / GRANTS).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Misconfigured(f"the access policy in {folder} cannot be read: {error}") from error
        return cls(model, read_grants(rows), policy=policy)

    def decide(self, actor: Actor, action: Action, resource: Resource) -> Decision:
        """Decide whether *actor* may do *action* to *resource*: default deny, DENY wins, nobody gets nothing."""
        if not actor.is_somebody:
            return self._refusal("access.conf:nobody", f"Nobody is signed in: no {action.value}.", "Sign in.")
        roles = frozenset(role.value for role in actor.roles)
        if actor.kind is ActorKind.SERVICE:
            roles |= {SERVICE_ROLE}
        home = ANYWHERE
        if actor.kind is ActorKind.AGENT:
            home = actor.zone if actor.zone and is_name(actor.zone) else ""
        return self._answers(roles, actor.kind, home, resource.zone, resource.namespace, action)

    def _ask(  # noqa: PLR0913, PLR0917 - the six values of Casbin's request, and lru_cache wants them positional
        self, roles: frozenset[str], kind: ActorKind, home: str, zone: str, namespace: str, action: Action
    ) -> Decision:
        question = (roles, kind.value, home, zone, namespace, action.value)
        allowed, denied_by = self._enforcer.enforce_ex(*question)
        where = f" in {zone}" if zone else ""
        held = " and ".join(sorted(roles)) or "no role"
        if allowed:
            _, granted_by = self._explainer.enforce_ex(*question)
            return Decision(
                allowed=True,
                rule=self._place(granted_by),
                reason=f"The role {granted_by[0]} may do {action.value}{where}.",
                policy=self.policy,
            )
        if denied_by:
            reason = f"The role {denied_by[0]} forbids {action.value}{where}, whatever other roles allow."
            return self._refusal(self._place(denied_by), reason, f"Use an account without the role {denied_by[0]}.")
        if home not in {ANYWHERE, zone}:
            reason = f"An agent of {home or 'no zone'} acts in its own zone only, not in {zone or 'no zone'}."
            return self._refusal("access.conf:own-zone", reason, "Send the job to an agent of that zone.")
        able = self._roles_for(kind, zone, namespace, action)
        advice = f"It is for: {', '.join(able)}." if able else ""
        return self._refusal("roles.csv:default", f"No role you hold ({held}) allows {action.value}{where}.", advice)

    def _roles_for(self, kind: ActorKind, zone: str, namespace: str, action: Action) -> list[str]:
        """Return the roles that the rows allow this to, for the advice of a refusal."""
        wanted = (zone, namespace, action.value)
        return sorted(
            {
                grant.role
                for grant in self.grants
                if grant.effect == "allow"
                and (grant.role == Role.AGENT) == (kind is ActorKind.AGENT)
                and all(map(_pattern_matches, wanted, (grant.zone, grant.namespace, grant.action)))
            }
        )

    def _refusal(self, rule: str, reason: str, advice: str) -> Decision:
        return Decision(allowed=False, rule=rule, reason=reason, advice=advice, policy=self.policy)

    def _place(self, row: Sequence[str]) -> str:
        return self._places[tuple(row)]


def _enforcer(model: str, grants: Sequence[Grant], *, effect: str | None = None) -> casbin.Enforcer:
    """Build an enforcer without a file behind it; Casbin's own complaints become `Misconfigured`."""
    try:
        parsed = casbin.Model()
        parsed.load_model_from_text(model)
        if effect is not None:
            parsed.add_def("e", "e", effect)
        enforcer = casbin.Enforcer(parsed)
        if grants:
            enforcer.add_policies([list(grant.row) for grant in grants])
            # Questions nobody would ask: a broken matcher must fail now, not at the first request.
            for kind, home in product((ActorKind.AGENT, ActorKind.PERSON), ("", ANYWHERE)):
                enforcer.enforce(_SUBJECTS, kind.value, home, "", "", "")
    except Exception as error:  # Casbin raises RuntimeError, KeyError and simpleeval's own errors
        raise Misconfigured(f"{MODEL}: Casbin cannot use this model: {error}") from error
    return enforcer


def _digest(model: str, grants: Sequence[Grant]) -> str:
    lines = [model, *(",".join((grant.place, *grant.row)) for grant in grants)]
    return str(Digest.of("\n".join(lines).encode()))
