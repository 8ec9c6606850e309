# SPDX-License-Identifier: Apache-2.0
"""Why somebody may do something, or may not: the decision as it would be made now, and every role that counts in it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from sqlalchemy import select

from audit.transaction import Reader
from governance import assignments
from governance.access_tables import LIVE, RoleAssignment
from khatim.errors import Malformed
from khatim.vocabulary import Action, Actor, ActorKind, Assignment, Decision, Resource, Role, is_name
from policies.assignments import GROUP, PERSON
from policies.loading import PolicyBundle
from registry.naming import namespace_of


@dataclass(frozen=True, slots=True)
class Explained:
    """A decision, the roles that counted for the resource, and the records that gave some of them."""

    decision: Decision
    roles: tuple[str, ...]
    on_record: tuple[RoleAssignment, ...]
    suspended: bool


def explain(reader: Reader, who: Actor | None, action: Action, resource: Resource, *, rules: PolicyBundle) -> Explained:
    """Explain whether *who* (None: the caller) may do *action* to *resource*; nothing of it is an attempt.

    Only who may explain access asks about others.
    """
    asked = who or reader.actor
    reader.require(*((Action.ACCESS_EXPLAIN, resource) if who else (Action.READ, Resource("person", asked.ref))))
    subjects = [PERSON + asked.ref, *(GROUP + one for one in asked.groups)]
    rows: list[RoleAssignment] = list(
        reader.scalars(
            select(RoleAssignment)
            .where(RoleAssignment.subject.in_(subjects), RoleAssignment.state == LIVE)
            .where(RoleAssignment.expires_at > reader.now)
            .order_by(RoleAssignment.id)
        )
    )
    standing = asked if who is None else rules.access.placed(replace(asked, assignments=frozenset(map(_value, rows))))
    counted = {one.ref for one in standing.assignments if one.covers(resource, reader.now)}
    suspension = assignments.suspension_of(reader, asked.ref)
    decision = rules.access.decide(standing, action, resource, reader.now)
    if suspension is not None:
        decision = Decision(
            allowed=False, rule="suspensions/standing", reason=f"{asked.ref} is suspended.",
            advice="Another access administrator may lift it: khatim access restore.", policy=str(rules.digest),
        )  # fmt: skip
    return Explained(
        decision,
        tuple(sorted(role.value for role in standing.roles_for(resource, reader.now))),
        tuple(row for row in rows if row.ref in counted),
        suspension is not None,
    )


def person(ref: str, roles: Collection[Role], groups: Collection[str] = (), strength: int | None = None) -> Actor:
    """Return a person as a question names them: with the roles and groups that their sign-in would bring."""
    if Role.AGENT in roles:
        raise Malformed("a person cannot be an agent", advice="Ask about people and their roles.")
    return Actor(ref, ActorKind.PERSON, frozenset(roles), strength=strength, groups=frozenset(groups))


def resource_of(text: str, zone: str, *, tags: Collection[str] = (), stage: str = "", alias: str = "") -> Resource:
    """Read ``kind:namespace/name[@number]`` as the resource that access decides about; raises `Malformed`."""
    kind, colon, name = text.partition(":")
    if not colon or not kind or not name:
        raise Malformed(f"not a resource: {text[:120]!r}", advice="Write kind:namespace/name, as version:oncology/x@1.")
    if zone and not is_name(zone):
        raise Malformed(f"not the name of a zone: {zone[:80]!r}")
    return Resource(
        kind,
        name.rpartition("/")[2],
        namespace_of(text),
        zone,
        frozenset(tags),
        stage=stage or None,
        alias=alias or None,
    )


def _value(row: RoleAssignment) -> Assignment:
    if row.expires_at is None:
        raise AssertionError("a role on record ends")
    return Assignment(Role(row.role), row.expires_at, row.zone, row.namespace, row.ref, row.stands_in_for)
