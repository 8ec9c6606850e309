# SPDX-License-Identifier: Apache-2.0
"""The grants arranged so that a question meets only the rows of its roles and its action.

Casbin walks every row for every question, in an expression interpreter: half a second at 5,000 users and 800 rows.
This index answers as ``access.conf`` does, and only for that model: `MODEL` is the text it implements, whoever loads
another one is refused.  That the answers are Casbin's is a property test over random policies, and a probe at load.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from khatim.vocabulary import Action, Role, matches
from policies.grants import ALWAYS, Grant

MODEL: Final = (
    "[request_definition]",
    "r = roles, kind, home, zone, namespace, action, holding, failing",
    "[policy_definition]",
    "p = role, zone, namespace, action, condition, eft",
    "[policy_effect]",
    "e = some(where (p.eft == allow)) && !some(where (p.eft == deny))",
    "[matchers]",
    (
        'm = p.role in r.roles && (r.kind == "agent") == (p.role == "agent") && '
        '(r.home == "*" || (r.home != "" && r.home == r.zone)) && '
        "keyMatch(r.zone, p.zone) && keyMatch(r.namespace, p.namespace) && keyMatch(r.action, p.action) && "
        '(p.condition == "-" || (p.eft == "allow" && p.condition in r.holding) || '
        '(p.eft == "deny" && !(p.condition in r.failing)))'
    ),
)
"""The lines of ``access.conf`` that mean something, in their order."""

ANYWHERE: Final = "*"
_CACHED_PLACES: Final = 4096  # actions × zones


def lines_of(model: str) -> tuple[str, ...]:
    """Return the lines of a model without comments and spacing; a line that ends in a backslash goes on."""
    joined = model.replace("\\\n", " ")
    return tuple(" ".join(line.split()) for line in joined.splitlines() if line.strip() and line.lstrip()[0] != "#")


@dataclass(frozen=True, slots=True)
class Question:
    """What Casbin's request holds, see ``access.conf``."""

    roles: frozenset[str]
    kind: str
    home: str
    zone: str
    namespace: str
    action: str
    holding: frozenset[str] = frozenset()
    failing: frozenset[str] = frozenset()

    @property
    def values(self) -> tuple[object, ...]:
        """The request as Casbin takes it."""
        return (
            self.roles, self.kind, self.home, self.zone, self.namespace, self.action, self.holding, self.failing,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    """The first row that allows and the first that denies, in the order of the file; DENY wins."""

    allowed_by: Grant | None = None
    denied_by: Grant | None = None

    def __bool__(self) -> bool:
        """Return whether the answer is allow."""
        return self.allowed_by is not None and self.denied_by is None


@dataclass(frozen=True, slots=True)
class _Row:
    place: int
    grant: Grant
    zone: str
    namespace: str
    is_zone_prefix: bool
    is_namespace_prefix: bool

    def speaks(self, zone: str, namespace: str) -> bool:
        if not (zone.startswith(self.zone) if self.is_zone_prefix else zone == self.zone):
            return False
        return namespace.startswith(self.namespace) if self.is_namespace_prefix else namespace == self.namespace


_Rows = tuple[tuple[_Row, ...], tuple[_Row, ...]]  # those that allow, those that deny
_NONE: Final[_Rows] = ((), ())


class Index:
    """All grants by role and action.  Immutable, safe to share between threads."""

    def __init__(self, grants: Sequence[Grant]) -> None:
        """Arrange *grants*; their order is that of the file."""
        found: dict[tuple[str, str], tuple[list[_Row], list[_Row]]] = {}
        for place, grant in enumerate(grants):
            row = _row(place, grant)
            for action in Action:
                if matches(action.value, grant.action):
                    allowing, denying = found.setdefault((grant.role, action.value), ([], []))
                    (allowing if grant.effect == "allow" else denying).append(row)
        self._rows: dict[tuple[str, str], _Rows] = {
            key: (tuple(allowing), tuple(denying)) for key, (allowing, denying) in found.items()
        }
        self._allowing: dict[str, list[_Row]] = {}
        for (_, asked), (rows, _) in self._rows.items():
            self._allowing.setdefault(asked, []).extend(rows)
        self._in_zone = lru_cache(maxsize=_CACHED_PLACES)(self._allowing_in)

    def ask(self, asked: Question) -> Answer:
        """Return what the rows say to *asked*."""
        is_agent = asked.kind == "agent"
        if asked.home != ANYWHERE and (not asked.home or asked.home != asked.zone):
            return Answer()
        allowed: _Row | None = None
        denied: _Row | None = None
        for role in asked.roles:
            if is_agent is not (role == Role.AGENT.value):
                continue
            allowing, denying = self._rows.get((role, asked.action), _NONE)
            denied = _first(denying, asked, denied)
            allowed = _first(allowing, asked, allowed)
        return Answer(allowed.grant if allowed else None, denied.grant if denied else None)

    def able(self, asked: Question) -> set[tuple[str, str]]:
        """Return the roles, each with the condition, that some row allows this to, whoever asks."""
        rows = self._in_zone(asked.action, asked.zone, asked.kind == "agent")
        namespace = asked.namespace
        return {
            (row.grant.role, row.grant.condition)
            for row in rows
            if (namespace.startswith(row.namespace) if row.is_namespace_prefix else namespace == row.namespace)
        }

    def _allowing_in(self, action: str, zone: str, is_agent: bool) -> tuple[_Row, ...]:  # noqa: FBT001 - a cache's key
        return tuple(
            row
            for row in self._allowing.get(action, ())
            if (row.grant.role == Role.AGENT.value) is is_agent
            and (zone.startswith(row.zone) if row.is_zone_prefix else zone == row.zone)
        )


def _row(place: int, grant: Grant) -> _Row:
    is_zone_prefix, is_namespace_prefix = grant.zone.endswith("*"), grant.namespace.endswith("*")
    zone, namespace = grant.zone.removesuffix("*"), grant.namespace.removesuffix("*")
    return _Row(place, grant, zone, namespace, is_zone_prefix, is_namespace_prefix)


def _first(rows: Iterable[_Row], asked: Question, best: _Row | None) -> _Row | None:
    """Return the first of *rows* that speaks to *asked*, or *best* if that stands before it."""
    for row in rows:
        if best is not None and row.place > best.place:
            return best
        if row.speaks(asked.zone, asked.namespace) and _is_time(row.grant, asked):
            return row
    return best


def _is_time(grant: Grant, asked: Question) -> bool:
    if grant.condition == ALWAYS:
        return True
    # What is not known opens nothing and closes everything.
    return grant.condition in asked.holding if grant.effect == "allow" else grant.condition not in asked.failing
