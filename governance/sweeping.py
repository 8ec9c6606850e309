# SPDX-License-Identifier: Apache-2.0
"""What ends by itself: approvals, waivers and roles on record whose time is over are ended, and production is told.

Gates never wait for this: they read the end itself.  The sweep makes the end a row, an entry and, where the version is
in production, a finding that somebody must answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import select

from audit.events import moment
from audit.transaction import Ledger, Transaction
from governance import approvals, assignments, expiring, findings, incidents, reviews, signals, unsettled, waivers
from governance.access_tables import LIVE, RoleAssignment
from governance.tables import Approval
from governance.waiver_tables import Waiver
from khatim.vocabulary import SERVICE, Action, Resource, Severity, Stage
from policies.loading import PolicyBundle
from policies.runtime import Reaction
from registry import queries as registered
from registry.notary import Notary
from registry.tables import ModelVersion

EVERY_S: Final = 60.0
AT_ONCE: Final = 200  # rows of a kind in one transaction; the rest is for the next time


def sweep(ledger: Ledger, notary: Notary, rules: PolicyBundle) -> int:
    """End everything whose time is over; return how many ended.  Workers may call it at once: one does the work."""
    with ledger.transaction(SERVICE) as tx:
        tx.require(Action.EXCEPTIONS_SWEEP, Resource("exceptions", "all"))
        tx.lock("exceptions.sweep")
        ended = _approvals(tx, rules) + _waivers(tx, rules) + _assignments(tx) + reviews.overdue(tx, AT_ONCE)
        ended += expiring.endpoints(tx, notary, rules, AT_ONCE) + findings.overdue(tx, AT_ONCE)
        ended += incidents.late(tx, AT_ONCE)
        return ended + signals.look(tx, rules.findings) + unsettled.look(tx, rules.findings)


def _approvals(tx: Transaction, rules: PolicyBundle) -> int:
    query = select(Approval).where(Approval.state == "active", Approval.expires_at <= tx.now)
    over: Sequence[Approval] = list(tx.scalars(query.order_by(Approval.id).limit(AT_ONCE).with_for_update()))
    for about in dict.fromkeys(row.about for row in over):
        version = registered.numbered(tx, ModelVersion, about.partition(":")[2], for_update=True)
        ended = approvals.expire(tx, version, [row for row in over if row.about == about])
        roles = ", ".join(sorted({row.role for row in ended}))
        _tell(tx, version, "approval-expired", f"approvals of {version.path} have expired: {roles}", rules)
    return len(over)


def _waivers(tx: Transaction, rules: PolicyBundle) -> int:
    query = select(Waiver).where(Waiver.state == "approved", Waiver.expires_at <= tx.now)
    over: Sequence[Waiver] = list(tx.scalars(query.order_by(Waiver.id).limit(AT_ONCE).with_for_update()))
    for row in over:
        until = moment(row.expires_at) if row.expires_at else ""
        waivers.end(tx, row, "expired", because=f"it ran until {until}")
        version = registered.numbered(tx, ModelVersion, row.about.partition(":")[2], for_update=True)
        _tell(tx, version, "waiver-expired", f"the waiver of {row.rule} for {version.path} has expired", rules)
    return len(over)


def _assignments(tx: Transaction) -> int:
    query = select(RoleAssignment).where(RoleAssignment.state == LIVE, RoleAssignment.expires_at <= tx.now)
    over: Sequence[RoleAssignment] = list(
        tx.scalars(query.order_by(RoleAssignment.id).limit(AT_ONCE).with_for_update())
    )
    for row in over:
        until = moment(row.expires_at) if row.expires_at else ""
        assignments.end(tx, row, "expired", because=f"it ran until {until}")
    return len(over)


def _tell(tx: Transaction, version: ModelVersion, kind: str, summary: str, rules: PolicyBundle) -> None:
    if version.stage != Stage.PRODUCTION.value:
        return
    findings.open_(
        tx,
        about=version.resource,
        kind=kind,
        severity=Severity.HIGH,
        summary=summary,
        details={"version": version.ref},
        consequence=Reaction.WARN,
        rule=f"sweep/{kind}",
        rules=rules.findings,
        owner=version.registered_by,
    )
