# SPDX-License-Identifier: Apache-2.0
"""Incidents: what happened, what the law asks within which time, and what was done; told when it is late."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from audit.events import moment
from audit.transaction import Transaction
from governance import findings, queries
from governance.incident_events import IncidentClosed, IncidentDutyDone, IncidentDutyLate, IncidentOpened
from governance.incident_tables import Incident
from khatim.errors import Conflict, Malformed, NotFound, SeparationOfDuties
from khatim.vocabulary import Action, Digest
from khatim.wire import findings as wire_findings
from khatim.wire import incidents as wire
from policies.incidents import Duty
from policies.loading import PolicyBundle
from registry import accounts

_HOUR = timedelta(hours=1)


def open_(tx: Transaction, body: wire.OpenIncident, *, rules: PolicyBundle) -> Incident:
    """Tell of an incident about a version or a deployment; with `suspend` a finding takes its approvals out.

    The duties are those of the policy of this moment, for the law of the zone.  Raises `Malformed` for a kind that
    there is not, and for awareness in the future.
    """
    about, _ = findings.subject_of(tx, body.about)
    tx.require(Action.INCIDENT_OPEN, about)
    kind = rules.incidents.kinds.get(body.kind)
    if kind is None:
        known = ", ".join(sorted(rules.incidents.kinds))
        raise Malformed(f"there is no kind of incident {body.kind[:80]!r}", advice=f"Known: {known}.")
    aware_at = body.aware_at or tx.now
    if aware_at > tx.now:
        raise Malformed("nobody is aware of what is yet to come")
    zone = rules.zones.get(about.zone)
    duties = rules.incidents.duties(body.kind, zone.regimes if zone else ())
    finding = None
    if body.suspend:
        asked = wire_findings.OpenFinding(
            about=body.about, severity=kind.severity, summary=f"incident: {kind.title}", suspend=True
        )
        finding = findings.report(tx, asked, rules=rules.findings)
    row = Incident(
        id=tx.new_id(),
        kind=body.kind,
        about=str(about),
        namespace=about.namespace,
        zone=about.zone,
        severity=kind.severity.value,
        summary=body.summary,
        duties=[_duty(name, one, aware_at) for name, one in duties.items()],
        aware_at=aware_at,
        state="open",
        opened_by=tx.actor.ref,
        opened_at=tx.now,
        owner=body.owner or tx.actor.ref,
        policy=str(rules.digest),
        finding_id=finding.id if finding else None,
    )
    tx.add(row)
    tx.record(
        IncidentOpened(
            about=row.ref, also=(row.about,), namespace=row.namespace, zone=row.zone, incident_kind=row.kind,
            subject=row.about, severity=row.severity, aware_at=moment(aware_at), duties=list(duties), owner=row.owner,
            summary_digest=str(Digest.of(row.summary.encode())), finding=finding.ref if finding else "",
            policy=row.policy,
        )
    )  # fmt: skip
    return row


def fulfil(tx: Transaction, name: str, body: wire.FulfilDuty) -> Incident:
    """Say how and when a duty was done.  Raises `NotFound` for one that is not asked, `Conflict` the second time."""
    row = _open_one(tx, name, Action.INCIDENT_ANSWER)
    duty = next((one for one in row.duties if one["id"] == body.duty), None)
    if duty is None:
        known = ", ".join(one["id"] for one in row.duties)
        raise NotFound(f"the incident has no duty {body.duty[:80]!r}", advice=f"Its duties: {known}.")
    if "doneAt" in duty:
        raise Conflict(f"that was done at {duty['doneAt']}")
    done_at = body.done_at or tx.now
    if not row.aware_at <= done_at <= tx.now:
        raise Malformed("it was done between the awareness and now")
    due = datetime.fromisoformat(duty["dueAt"]) if duty["dueAt"] else None
    _put(row, duty, doneBy=tx.actor.ref, doneAt=moment(done_at), said=body.said)
    tx.record(
        IncidentDutyDone(
            about=row.ref, also=(row.about,), namespace=row.namespace, zone=row.zone, duty=body.duty,
            hours=_hours(row, done_at), is_late=due is not None and done_at > due,
            said_digest=str(Digest.of(body.said.encode())),
        )
    )  # fmt: skip
    return row


def close(tx: Transaction, name: str, *, because: str) -> Incident:
    """Close an incident whose duties are all done.  Raises `SeparationOfDuties` for who opened it."""
    row = _open_one(tx, name, Action.INCIDENT_CLOSE)
    if accounts.is_actor(tx, row.opened_by):
        raise SeparationOfDuties(
            "an incident is closed by somebody else than who opened it",
            advice="Ask another officer.", rule="incidents/two-people",
        )  # fmt: skip
    if left := [one["id"] for one in row.duties if "doneAt" not in one]:
        raise Conflict(f"still to be done: {', '.join(left)}", advice="khatim incident done ID DUTY --said …")
    row.state, row.closed_by, row.closed_at, row.closed_because = "closed", tx.actor.ref, tx.now, because
    tx.record(IncidentClosed(about=row.ref, also=(row.about,), namespace=row.namespace, zone=row.zone, because=because))
    return row


def late(tx: Transaction, at_once: int) -> int:
    """Tell of duties whose time to warn or whose limit is over, each once; the calling verb asked the permission."""
    told = 0
    for row in tx.scalars(select(Incident).where(Incident.state == "open").order_by(Incident.id).with_for_update()):
        for duty in row.duties:
            for mark, limit, is_overdue in (("warnedAt", "warnAt", False), ("overdueAt", "dueAt", True)):
                is_over = duty[limit] and datetime.fromisoformat(duty[limit]) <= tx.now
                if told >= at_once or "doneAt" in duty or mark in duty or not is_over:
                    continue
                _put(row, duty, **{mark: moment(tx.now)})
                tx.record(
                    IncidentDutyLate(
                        about=row.ref, also=(row.about,), namespace=row.namespace, zone=row.zone, duty=duty["id"],
                        hours=_hours(row, tx.now), is_overdue=is_overdue, owner=row.owner,
                    )
                )  # fmt: skip
                told += 1
    return told


def _open_one(tx: Transaction, name: str, action: Action) -> Incident:
    row = queries.identified(tx, Incident, name, for_update=True)
    tx.require(action, row.resource)
    if row.state != "open":
        raise Conflict("the incident is closed")
    return row


def _duty(name: str, duty: Duty, aware_at: datetime) -> dict[str, Any]:
    due = duty.due(aware_at)
    return {
        "id": name,
        "title": duty.title,
        "basis": duty.basis,
        "certainty": duty.certainty.value,
        "dueAt": moment(due) if due else "",
        "warnAt": moment(duty.warned(aware_at)),
    }


def _put(row: Incident, duty: dict[str, Any], **members: str) -> None:
    # New values in a new list: one that was changed in place looks to the session as if nothing had changed.
    row.duties = [{**one, **members} if one["id"] == duty["id"] else one for one in row.duties]


def _hours(row: Incident, at: datetime) -> float:
    return round((at - row.aware_at) / _HOUR, 2)
