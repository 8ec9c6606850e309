# SPDX-License-Identifier: Apache-2.0
"""What a sign-in makes of somebody (``sign_in.yaml``): groups, the roles that they bring, and how strong it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from khatim.vocabulary import Role
from policies.zones import STRICT

GROUPS_MOST: Final = 1000
"""Groups of one person; a token that names more names none: a cut list could hide the one that a rule denies."""
_SAFE: Final = ("https://", "http://127.0.0.1:")
_STRENGTHS: Final = frozenset({1, 2, 3})


@dataclass(frozen=True, slots=True, kw_only=True)
class Strengths:
    """How strong a sign-in counts that names a method (``amr``, RFC 8176) or a class (``acr``)."""

    __pydantic_config__ = STRICT

    amr: Mapping[str, int] = field(default_factory=dict)
    acr: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a strength that no condition knows."""
        if strange := {*self.amr.values(), *self.acr.values()} - _STRENGTHS:
            raise ValueError(f"strength: 1, 2 or 3, not {min(strange)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInRules:
    """``sign_in.yaml`` as read."""

    __pydantic_config__ = STRICT

    groups: tuple[str, ...] = ("groups",)
    roles: Mapping[Role, frozenset[str]] = field(default_factory=dict)
    strength: Strengths = field(default_factory=Strengths)
    pipelines: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Refuse a way to the groups that leads nowhere, and a person who is an agent."""
        if not self.groups or not all(self.groups):
            raise ValueError("groups: name the members to follow")
        if Role.AGENT in self.roles:
            raise ValueError("roles.agent: an agent is enrolled, no group brings its role")
        if strange := sorted(one for one in self.pipelines if not one.startswith(_SAFE)):
            raise ValueError(f"pipelines: an issuer is an https address, not {strange[0][:80]!r}")

    def groups_of(self, claims: Mapping[str, Any]) -> frozenset[str]:
        """Return the groups that *claims* name; none where there is no list of at most `GROUPS_MOST` names."""
        found: Any = claims
        for name in self.groups:
            found = found.get(name) if isinstance(found, Mapping) else None
        if not isinstance(found, list) or len(found) > GROUPS_MOST:
            return frozenset()
        return frozenset(one for one in found if isinstance(one, str) and one)

    def brought_by(self, groups: frozenset[str]) -> frozenset[Role]:
        """Return the roles that *groups* bring."""
        return frozenset(role for role, bringing in self.roles.items() if not groups.isdisjoint(bringing))

    def strength_of(self, claims: Mapping[str, Any]) -> int | None:
        """Return how strong the sign-in was, None when the token says nothing about it that is known here."""
        methods, level = claims.get("amr"), claims.get("acr")
        told = [self.strength.acr.get(level) if isinstance(level, str) else None]
        if isinstance(methods, list):
            told += [self.strength.amr.get(one) for one in methods if isinstance(one, str)]
        return max((one for one in told if one is not None), default=None)
