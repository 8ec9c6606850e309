# SPDX-License-Identifier: Apache-2.0
"""Legal entities as data (``entities.yaml``): whose namespaces are whose, and where the roles of a sign-in hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations, product
from typing import Final

from khatim.vocabulary import Actor, ActorKind, is_name, matches
from policies.assignments import GROUP, PERSON
from policies.zones import STRICT

EVERYBODY: Final = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """One legal entity: its registered name, the patterns of its namespaces, and who is a member."""

    __pydantic_config__ = STRICT

    name: str
    namespaces: tuple[str, ...]
    members: frozenset[str]

    def __post_init__(self) -> None:
        """Refuse an entity without a name, namespaces or members, and what is no pattern of either."""
        if not self.name.strip() or not self.namespaces or not self.members:
            raise ValueError("name, namespaces, members: an entity has all three")
        for pattern in self.namespaces:
            head, star, _ = pattern.partition("*")
            if pattern != head + star or not is_name(f"{head}x" if star else head):
                raise ValueError(f"namespaces: no namespace, nor its beginning and *: {pattern[:80]!r}")
        _check_members(self.members)

    def has(self, namespace: str) -> bool:
        """Whether *namespace* is its own."""
        return any(matches(namespace, pattern) for pattern in self.namespaces)

    def is_of(self, actor: Actor) -> bool:
        """Whether *actor* is a member."""
        return not _names_of(actor).isdisjoint(self.members)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entities:
    """``entities.yaml`` as read, by id."""

    __pydantic_config__ = STRICT

    entities: Mapping[str, Entity] = field(default_factory=dict)
    everywhere: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Refuse a namespace of two entities, and an installation that nobody looks after."""
        if self.entities and not self.everywhere:
            raise ValueError("everywhere: with entities, name who holds roles for the whole installation")
        _check_members(self.everywhere)
        if strange := next((key for key in self.entities if not is_name(key)), None):
            raise ValueError(f"entities.{strange[:80]}: an id is a short name")
        for (key, one), (other_key, other) in combinations(self.entities.items(), 2):
            for mine, theirs in product(one.namespaces, other.namespaces):
                if matches(mine.removesuffix("*"), theirs) or matches(theirs.removesuffix("*"), mine):
                    raise ValueError(f"entities.{key}.namespaces: {mine} meets {theirs} of {other_key}")

    def placed(self, actor: Actor) -> Actor:
        """Return *actor* with the namespaces in which the roles of the sign-in hold."""
        if not self.entities or actor.kind is not ActorKind.PERSON or not self.everywhere.isdisjoint(_names_of(actor)):
            return actor
        held = frozenset(pattern for one in self.entities.values() if one.is_of(actor) for pattern in one.namespaces)
        return replace(actor, places=held)

    def of(self, namespace: str) -> str:
        """Return the id of the entity that *namespace* belongs to; empty when it belongs to none."""
        return next((key for key, one in self.entities.items() if namespace and one.has(namespace)), "")


def _names_of(actor: Actor) -> frozenset[str]:
    return frozenset({EVERYBODY, PERSON + actor.ref, *(GROUP + one for one in actor.groups)})


def _check_members(members: frozenset[str]) -> None:
    for member in members - {EVERYBODY}:
        if not member.startswith((GROUP, PERSON)) or member in {GROUP, PERSON}:
            raise ValueError(f"members: write group:NAME, person:REF or *, not {member[:80]!r}")
