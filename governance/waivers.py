# SPDX-License-Identifier: Apache-2.0
"""Waivers: one requirement of one version excused until a day, with a compensating control, by two people.

The approver signs what is excused; a row without that statement excuses nothing (`governance.facts`).
"""

from __future__ import annotations

from typing import Any

from audit.events import moment
from audit.transaction import Reader, Transaction
from governance import facts, queries
from governance.exception_events import WaiverApproved, WaiverEnded, WaiverRequested
from governance.waiver_tables import Waiver
from khatim.errors import Conflict, SeparationOfDuties, WaiverRefused
from khatim.vocabulary import Action
from khatim.wire import waivers as wire
from policies import gates
from policies import waivers as rules_of_waivers
from policies.facts import Transition
from policies.loading import PolicyBundle
from policies.requirements import Kind
from registry import accounts
from registry import queries as registered
from registry.notary import Notary
from registry.signing import statements
from registry.tables import ModelVersion


def request(tx: Transaction, path: str, body: wire.WaiverRequest, *, notary: Notary, rules: PolicyBundle) -> Waiver:
    """Ask that a requirement be excused; another person must approve it.

    Raises `WaiverRefused` for a requirement that holds always, a tier without waivers, and more days than it allows.
    """
    version = registered.numbered(tx, ModelVersion, path, for_update=True)
    tx.require(Action.WAIVER_REQUEST, version.resource)
    known = facts.facts_of(tx, version, zone=version.zone, notary=notary, rules=rules)
    decision = rules_of_waivers.may_ask(rules.gates, body.rule, Transition(body.transition), known, body.days)
    if not decision:
        raise WaiverRefused(decision.reason, advice=decision.advice, **decision.as_members())
    waiting = (one for one in queries.waivers_of(tx, version.ref) if one.state == "requested")
    if any(one.rule == body.rule and one.transition == body.transition for one in waiting):
        raise Conflict(f"a waiver of {body.rule} for {path} waits for its approval already")
    row = Waiver(
        id=tx.new_id(),
        about=version.ref,
        namespace=version.namespace,
        zone=version.zone,
        rule=body.rule,
        transition=body.transition,
        days=body.days,
        reason=body.because,
        control=body.control,
        requested_by=tx.actor.ref,
        requested_at=tx.now,
        state="requested",
    )
    tx.add(row)
    tx.record(
        WaiverRequested(
            about=version.ref,
            also=(row.ref,),
            namespace=row.namespace,
            zone=row.zone,
            waiver=row.ref,
            rule=row.rule,
            days=row.days,
            reason=row.reason,
            control=row.control,
            policy=str(rules.digest),
        )
    )
    return row


def approve(tx: Transaction, name: str, *, because: str, notary: Notary, rules: PolicyBundle) -> Waiver:
    """Approve a waiver: from now on, and until it ends, the gate lists the requirement as excepted.

    Raises `SeparationOfDuties` for whoever asked for it or for the version, and for authors anywhere in the lineage.
    """
    row = queries.identified(tx, Waiver, name, for_update=True)
    tx.require(Action.WAIVER_APPROVE, row.resource)
    if row.state != "requested":
        raise Conflict(f"the waiver is {row.state}")
    version = registered.numbered(tx, ModelVersion, row.about.partition(":")[2], for_update=True)
    known = facts.facts_of(tx, version, zone=version.zone, notary=notary, rules=rules)
    transition = Transition(row.transition)
    who = accounts.naturals(tx)
    separate = rules_of_waivers.may_give(rules.gates, known, asked_by=who(row.requested_by), approver=who(tx.actor.ref))
    if not separate:
        raise SeparationOfDuties(separate.reason, advice=separate.advice, **separate.as_members())
    # Asked again: tier and policy may have changed since it was asked for.
    allowed = rules_of_waivers.may_ask(rules.gates, row.rule, transition, known, row.days)
    if not allowed:
        raise WaiverRefused(allowed.reason, advice=allowed.advice, **allowed.as_members())
    is_about_findings = rules.gates.requirements[row.rule].kind is Kind.NO_FINDINGS
    given: dict[str, Any] = {
        "binding": gates.binding_of(rules.gates, transition, known).as_members(),
        "excuses": sorted(known.open_findings) if is_about_findings else [],
        "approved_by": tx.actor.ref,
        "approved_at": tx.now,
        "expires_at": rules_of_waivers.end_of(rules.gates, known, row.days, tx.now),
    }
    signer = notary.person(tx.actor.ref)
    statement = notary.attest(tx, version.ref, signer, statements.WAIVER, version.subjects, facts.waived(row, given))
    row.state, row.because, row.statement_id = "approved", because, statement.id
    for column, value in given.items():
        setattr(row, column, value)
    tx.record(
        WaiverApproved(
            about=version.ref,
            also=(row.ref,),
            namespace=row.namespace,
            zone=row.zone,
            waiver=row.ref,
            rule=row.rule,
            binding=row.binding,
            excuses=row.excuses,
            expires_at=moment(given["expires_at"]),
            because=because,
            statement=str(statement.id),
            policy=str(rules.digest),
        )
    )
    return row


def revoke(tx: Transaction, name: str, *, because: str) -> Waiver:
    """Take a waiver back: the gate asks for the requirement again."""
    row = queries.identified(tx, Waiver, name, for_update=True)
    tx.require(Action.WAIVER_REVOKE, row.resource)
    if row.state in ("revoked", "expired"):
        raise Conflict(f"the waiver is {row.state}")
    return end(tx, row, "revoked", because=because)


def end(tx: Transaction, row: Waiver, state: str, *, because: str) -> Waiver:
    """End a waiver; the calling verb asked the permission."""
    row.state, row.because, row.ended_at = state, because, tx.now
    tx.record(
        WaiverEnded(
            about=row.about,
            also=(row.ref,),
            namespace=row.namespace,
            zone=row.zone,
            waiver=row.ref,
            rule=row.rule,
            state=state,
            because=because,
        )
    )
    return row


def listed(reader: Reader, path: str) -> list[Waiver]:
    """Return the waivers of a version that the actor may read, whatever their state."""
    return queries.waivers_of(reader, registered.numbered(reader, ModelVersion, path).ref)
