# SPDX-License-Identifier: Apache-2.0
"""Endpoints whose approvals end: warned of in time, and treated as agreed when nobody approved again.

Agents hold to the end themselves (it stands in the signed status); this makes it rows, entries and a finding.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select

from audit.events import moment
from audit.transaction import Transaction
from governance import deployments, facts, findings, queries, reacting
from governance.tables import Deployment, Finding
from khatim.vocabulary import Severity
from policies import gates
from policies.loading import PolicyBundle
from policies.runtime import RuntimeEvent
from registry import queries as registered
from registry.notary import Notary
from registry.tables import ModelVersion

KIND = "approval-expired"


def endpoints(tx: Transaction, notary: Notary, rules: PolicyBundle, at_once: int) -> int:
    """Warn of and treat what serves under approvals that end; return how many endpoints were warned of or treated."""
    days = rules.runtime.events[RuntimeEvent.EXPIRED].warn_days
    soon = tx.now + timedelta(days=max(days, default=0))
    query = (
        select(Deployment)
        .where(Deployment.state == "serving", Deployment.approved_until <= soon)
        .order_by(Deployment.approved_until)
        .limit(at_once)
        .with_for_update()
    )
    return sum(_one(tx, row, sorted(days), notary, rules) for row in tx.scalars(query))


def _one(tx: Transaction, row: Deployment, days: list[int], notary: Notary, rules: PolicyBundle) -> bool:
    until = row.approved_until
    if until is None:
        return False
    due = next((one for one in days if until - tx.now <= timedelta(days=one)), None)
    is_over = until <= tx.now
    if not is_over and (due is None or (row.warned_days is not None and row.warned_days <= due)):
        return False
    # Approvals given meanwhile were noted when they were given; asked again, because an endpoint is at stake.
    version = registered.numbered(tx, ModelVersion, row.version_ref.partition(":")[2], for_update=True)
    known = facts.facts_of(tx, version, zone=row.zone, notary=notary, rules=rules)
    if deployments.extend(tx, row, gates.approved_until(rules.gates, known)):
        return True
    if not is_over and due is not None:
        deployments.warn(tx, row, due)
        return True
    return _over(tx, row, version, until, rules)


def _over(tx: Transaction, row: Deployment, version: ModelVersion, until: datetime, rules: PolicyBundle) -> bool:
    effect = reacting.effect_on(tx, row, RuntimeEvent.EXPIRED, since=until)
    about = queries.findings_about(tx, [row.ref])
    finding: Finding | None = next((one for one in about if one.state == "open" and one.kind == KIND), None)
    if finding is not None and effect.is_serving:
        return False
    if finding is None:
        finding = findings.open_(
            tx,
            about=row.resource,
            kind=KIND,
            severity=Severity.HIGH,
            summary=f"{version.path} serves in {row.zone} and its approvals have expired",
            details={"version": version.ref, "until": moment(effect.until) if effect.until else ""},
            consequence=effect.do,
            rule=f"runtime/{RuntimeEvent.EXPIRED.value}",
            rules=rules.findings,
            owner=version.registered_by,
        )
    because = f"its approvals ran until {moment(until)}: finding {finding.id}"
    reacting.apply(tx, row, effect, finding, because=because)
    return True
