# SPDX-License-Identifier: Apache-2.0
"""What would be decided differently under other rules: access, movements and runtime, asked of both bundles alike.

Access is asked of every role at every place that a row of either bundle tells apart, movements of every pair of zones
by every data tag alone, runtime of every event and tier.  Pure; versions and their approvals are asked about where
they stand (`governance.simulating`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Any, Final

from khatim.vocabulary import Action, Role
from policies.grants import ALWAYS, SERVICE_ROLE, Grant
from policies.index import ANYWHERE, Index, Question
from policies.loading import PolicyBundle
from policies.requirements import TIERS
from policies.residency import Movement, MovementKind, decide
from policies.runtime import RuntimeEvent

ELSEWHERE: Final = "any-other"
"""Stands for every zone or namespace that no row names."""
NO, SOMETIMES, YES = "no", "when", "yes"
_ACCESS_FILES: Final = ("roles.csv", "access.conf", "conditions.yaml")
_MOVEMENT_FILES: Final = ("zones.yaml", "transfers.yaml")


@dataclass(frozen=True, slots=True)
class AccessChange:
    """One role and action that would be answered differently in *places* (``zone/namespace``).

    `before` and `after` are ``yes``, ``no``, or ``when`` for what depends on a condition.
    """

    role: str
    action: str
    before: str
    after: str
    places: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MovementChange:
    """One movement of data with one tag that would be answered differently, with the rules that answer."""

    kind: str
    from_zone: str
    to_zone: str
    tag: str
    before: bool
    after: bool
    rule_before: str
    rule_after: str


@dataclass(frozen=True, slots=True)
class RuntimeChange:
    """One event for one tier whose response would be another (``airgapped`` beside the tiers)."""

    event: str
    tier: str
    before: dict[str, Any]
    after: dict[str, Any]


def files_changed(before: PolicyBundle, after: PolicyBundle) -> tuple[str, ...]:
    """Return the files that say something else."""
    old, new = json.loads(before.canonical), json.loads(after.canonical)
    return tuple(sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name)))


def access_changes(before: PolicyBundle, after: PolicyBundle) -> list[AccessChange]:
    """Return what roles could do, or could not do any more; sorted."""
    if not set(files_changed(before, after)) & set(_ACCESS_FILES):
        return []
    old, new = _Rows.of(before), _Rows.of(after)
    zones = _apart({grant.zone for grant in (*old.grants, *new.grants)})
    namespaces = _apart({grant.namespace for grant in (*old.grants, *new.grants)})
    found: dict[tuple[str, str, str, str], list[str]] = {}
    for role, action in product((*(one.value for one in Role), SERVICE_ROLE), Action):
        for zone, namespace in product(zones, namespaces):
            was, would = (rows.answer(role, action.value, zone, namespace) for rows in (old, new))
            if was != would:
                found.setdefault((role, action.value, was, would), []).append(f"{zone or '-'}/{namespace or '-'}")
    return [AccessChange(*key, tuple(places)) for key, places in sorted(found.items())]


def movement_changes(before: PolicyBundle, after: PolicyBundle, *, at: datetime) -> list[MovementChange]:
    """Return the movements of data with one tag, without a transfer authorisation, that are answered differently."""
    if not set(files_changed(before, after)) & set(_MOVEMENT_FILES):
        return []
    zones = sorted({zone.name for bundle in (before, after) for zone in bundle.zones})
    tags = sorted(before.residency.transfers.tags.keys() | after.residency.transfers.tags.keys())
    found = []
    for origin, target, tag, kind in product(zones, zones, tags, MovementKind):
        movement = Movement(kind=kind, from_zone=origin, to_zone=target, tags=frozenset({tag}))
        was, would = (decide(bundle.residency, movement, at=at) for bundle in (before, after))
        if was.allowed != would.allowed:
            found.append(
                MovementChange(kind.value, origin, target, tag, was.allowed, would.allowed, was.rule, would.rule)
            )
    return found


def runtime_changes(before: PolicyBundle, after: PolicyBundle) -> list[RuntimeChange]:
    """Return the events whose response would be another, by tier."""
    return [
        RuntimeChange(event.value, name, was, would)
        for event in RuntimeEvent
        for name, tier, is_airgapped in (*((str(tier), tier, False) for tier in sorted(TIERS)), ("airgapped", 1, True))
        for was, would in [
            tuple(
                bundle.runtime.response(event, tier, is_airgapped=is_airgapped).as_members()
                for bundle in (before, after)
            )
        ]
        if was != would
    ]


@dataclass(frozen=True)
class _Rows:
    """The grants of one bundle, and the conditions that may hold."""

    grants: tuple[Grant, ...]
    index: Index
    conditions: frozenset[str]

    @classmethod
    def of(cls, bundle: PolicyBundle) -> _Rows:
        """Read them out of the canonical form, as whoever has only that does."""
        rows = json.loads(bundle.canonical)["roles.csv"]
        grants = tuple(
            Grant(place, role, zone, namespace, action, effect, condition)
            for place, role, zone, namespace, action, condition, effect in rows
        )
        return cls(grants, Index(grants), frozenset(grant.condition for grant in grants) - {ALWAYS})

    def answer(self, role: str, action: str, zone: str, namespace: str) -> str:
        """Return whether *role* alone suffices: always, when conditions hold, or not at all."""
        kind = {Role.AGENT.value: "agent", SERVICE_ROLE: "service"}.get(role, "person")
        home = zone if kind == "agent" else ANYWHERE
        asked = (frozenset({role}), kind, home, zone, namespace, action)
        if self.index.ask(Question(*asked)):
            return YES
        return SOMETIMES if self.index.ask(Question(*asked, self.conditions, self.conditions)) else NO


def _apart(patterns: set[str]) -> tuple[str, ...]:
    """Return one place for each that the *patterns* tell apart, and one that none of them names."""
    return tuple(sorted({"", ELSEWHERE, *(pattern.rstrip("*") for pattern in patterns)}))


def doors_shut(bundle: PolicyBundle) -> list[str]:
    """Return which of the actions that change the rules nobody could do under *bundle*, not even sometimes."""
    rows = _Rows.of(bundle)
    people = [role.value for role in Role if role is not Role.AGENT]
    return [
        action.value
        for action in (Action.READ, Action.POLICY_PROPOSE, Action.POLICY_APPROVE)
        if all(rows.answer(role, action.value, "", "") == NO for role in people)
    ]
