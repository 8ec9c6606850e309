# SPDX-License-Identifier: Apache-2.0
"""What waits for somebody: requests that they may decide, versions that lack their approval, findings that they own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import exists, func, or_, select

from audit.ledger_tables import entries
from audit.transaction import Reader
from governance import approvals, facts
from governance.access_tables import RoleAssignment
from governance.incident_tables import Incident
from governance.policy_tables import PolicyChange
from governance.tables import Approval, Authorisation, Evidence, Finding
from governance.waiver_tables import Waiver
from khatim.vocabulary import Action, Stage, VersionStatus
from khatim.wire.waiting import Waiting, Waits
from policies import gates
from policies.facts import Facts, Transition
from policies.loading import PolicyBundle
from policies.requirements import Kind, Requirement
from registry import accounts
from registry.notary import Notary
from registry.tables import ModelVersion
from registry.transfer_tables import Transfer

AT_MOST: Final = 100
"""Rows of a kind, and versions whose gate is evaluated; older ones wait for the newer to be answered."""
_REQUESTED: Final = (
    (Authorisation, Action.AUTHORISATION_APPROVE, "authorisation", "khatim authorisation approve {id} --because …"),
    (Transfer, Action.TRANSFER_APPROVE, "transfer", "khatim transfer approve {id} --because …"),
    (Waiver, Action.WAIVER_APPROVE, "waiver", "khatim waiver approve {id} --because …"),
    (PolicyChange, Action.POLICY_APPROVE, "policy change", "khatim policy approve {id} --because …"),
)


def for_actor(reader: Reader, notary: Notary, rules: PolicyBundle) -> Waiting:
    """Return what waits for the actor, oldest first; each may still be refused when they answer it."""
    found = [
        *_requests(reader), *_roles(reader), *_versions(reader, notary, rules), *_findings(reader),
        *_obligations(reader), *_incidents(reader),
    ]  # fmt: skip
    found.sort(key=lambda one: (one.since, one.ref))
    said = "\n".join(f"{one.kind} {one.ref} {one.due}" for one in found)
    return Waiting(mark=hashlib.sha256(said.encode()).hexdigest()[:16], items=found)


def moved(reader: Reader) -> int:
    """Return how far the ledger is: while it stands still, nothing new waits for anybody."""
    return int(reader.scalar(select(func.coalesce(func.max(entries.c.index), -1))) or 0)


def _requests(reader: Reader) -> Iterator[Waits]:
    for table, action, kind, command in _REQUESTED:
        known: Any = table
        query = select(known).where(known.state == "requested", known.requested_by != reader.actor.ref)
        for row in reader.scalars(query.order_by(known.id).limit(AT_MOST)):
            if reader.may(action, row.resource):
                yield Waits(
                    kind=kind, ref=row.ref, title=_title(row), since=row.requested_at, due=None,
                    command=command.format(id=row.id),
                )  # fmt: skip


def _roles(reader: Reader) -> Iterator[Waits]:
    query = select(RoleAssignment).where(RoleAssignment.state == "requested")
    query = query.where(RoleAssignment.requested_by != reader.actor.ref)
    for row in reader.scalars(query.order_by(RoleAssignment.id).limit(AT_MOST)):
        action = Action.ROLE_CONFIRM_EMERGENCY if row.hours else Action.ROLE_APPROVE
        if row.subject != f"person:{reader.actor.ref}" and reader.may(action, row.resource):
            verb, kind = ("confirm", "emergency") if row.hours else ("approve", "role")
            yield Waits(
                kind=kind, ref=row.ref, title=f"{row.role} for {row.subject}", since=row.requested_at, due=None,
                command=f"khatim access {verb} {row.id} --because …",
            )  # fmt: skip


def _versions(reader: Reader, notary: Notary, rules: PolicyBundle) -> Iterator[Waits]:
    query = (
        select(ModelVersion)
        .where(ModelVersion.status == VersionStatus.READY.value, ModelVersion.revoked_because.is_(None))
        .where(ModelVersion.stage.in_([Stage.NONE.value, Stage.STAGING.value]))
        .where(exists().where(Evidence.about == func.concat("version:", _path())))
        .order_by(ModelVersion.id.desc())
        .limit(AT_MOST)
    )
    told = frozenset(role for one in rules.gates.requirements.values() for role in one.escalate_to)
    for version in reader.scalars(query):
        roles = reader.actor.roles_for(version.resource, reader.now)
        may_approve = bool(roles) and bool(reader.may(Action.VERSION_APPROVE, version.resource))
        if not (may_approve or roles & told):
            continue
        known = facts.facts_of(reader, version, zone=version.zone, notary=notary, rules=rules)
        unmet = gates.evaluate(rules.gates, Transition.PRODUCTION, known, reader.now).unmet
        lacking = [rules.gates.requirements[one.rule] for one in unmet if one.rule in rules.gates.requirements]
        asked = [one for one in lacking if one.kind is Kind.APPROVALS]
        asked_at = max((one.at for one in known.evidence if one.kind == "evaluation"), default=version.registered_at)
        mine = _mine(reader, version, known, rules, [one for one in asked if one.roles & roles]) if may_approve else {}
        if mine:
            title = f"{version.path} lacks an approval by {' or '.join(sorted(mine))}"
            yield Waits(
                kind="version", ref=version.ref, title=title, since=version.registered_at,
                due=min((asked_at + one for one in mine.values() if one), default=None),
                command=f"khatim version approve {version.path} --role {min(mine)} --meaning …",
            )  # fmt: skip
        late = [one for one in asked if one.escalate_to & roles and asked_at + _days(one) <= reader.now]
        if late:
            by = " and ".join(sorted({role.value for one in late for role in one.roles}))
            yield Waits(
                kind="escalation", ref=version.ref, title=f"nobody has answered for {version.path} as {by}",
                since=asked_at + min(map(_days, late)), due=None, command=f"khatim version gate {version.path}",
            )  # fmt: skip


def _mine(
    reader: Reader, version: ModelVersion, known: Facts, rules: PolicyBundle, asked: list[Requirement]
) -> dict[str, timedelta]:
    """Return the roles in which the actor could give what is asked for, and within how long; zero when nobody says."""
    me, held = accounts.naturals(reader)(reader.actor.ref), reader.actor.roles_for(version.resource, reader.now)
    if any(me in one.voices and one.is_live(reader.now) for one in known.approvals):
        return {}
    return {
        role.value: _days(one)
        for one in asked
        for role in one.roles & held
        if approvals.may_approve(reader, version, known, role, rules=rules)
    }


def _days(one: Requirement) -> timedelta:
    return timedelta(days=one.answer_days or 0)


def _findings(reader: Reader) -> Iterator[Waits]:
    query = select(Finding).where(Finding.state == "open", Finding.owner == reader.actor.ref)
    for row in reader.scalars(query.order_by(Finding.due_at).limit(AT_MOST)):
        yield Waits(
            kind="finding", ref=row.ref, title=row.summary, since=row.opened_at, due=row.due_at,
            command=f"khatim finding show {row.id}",
        )  # fmt: skip


def _obligations(reader: Reader) -> Iterator[Waits]:
    """Yield obligations that one must meet, and those of one's own approvals that somebody says are met."""
    query = (
        select(Approval, ModelVersion)
        .join(ModelVersion, Approval.about == func.concat("version:", _path()))
        .where(Approval.state == "active", func.jsonb_array_length(Approval.obligations) > 0)
        .where(or_(Approval.approver == reader.actor.ref, ModelVersion.registered_by == reader.actor.ref))
        .order_by(Approval.id)
        .limit(AT_MOST)
    )
    for row, version in reader.rows(query):
        answered = {int(one["number"]): str(one["at"]) for one in row.answers}
        for number, one in enumerate(row.obligations, 1):
            due, is_mine = datetime.fromisoformat(one["dueAt"]), row.approver == reader.actor.ref
            if is_mine and number in answered:
                yield Waits(
                    kind="obligation", ref=row.about, title=f"{one['text']}: it is said to be met", due=due,
                    since=datetime.fromisoformat(answered[number]),
                    command=f"khatim version approve {version.path} --role {row.role} --meaning …",
                )  # fmt: skip
            elif not is_mine and number not in answered:
                yield Waits(
                    kind="obligation", ref=row.about, title=one["text"], since=row.approved_at, due=due,
                    command=f"khatim version answer {version.path} {row.id} --number {number} --said …",
                )  # fmt: skip


def _incidents(reader: Reader) -> Iterator[Waits]:
    query = select(Incident).where(Incident.state == "open", Incident.owner == reader.actor.ref)
    for row in reader.scalars(query.order_by(Incident.id).limit(AT_MOST)):
        for duty in row.duties:
            if "doneAt" not in duty:
                yield Waits(
                    kind="incident", ref=row.ref, title=duty["title"], since=row.opened_at,
                    due=datetime.fromisoformat(duty["dueAt"] or duty["warnAt"]),
                    command=f"khatim incident done {row.id} {duty['id']} --said …",
                )  # fmt: skip


def _path() -> Any:
    return func.concat(ModelVersion.namespace, "/", ModelVersion.name, "@", ModelVersion.number)


def _title(row: Any) -> str:
    for name in ("purpose", "rule", "reason"):
        if text := str(getattr(row, name, "") or ""):
            return text[:200]
    return str(row.ref)
