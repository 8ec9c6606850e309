# SPDX-License-Identifier: Apache-2.0
"""What happens to a live endpoint when something happens to its version: what was agreed when it was deployed."""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

from audit.transaction import Transaction
from governance import approvals, deployments, queries
from governance.tables import Deployment, Finding
from policies.runtime import Effect, Reaction, RuntimeEvent, Terms
from registry import queries as registered
from registry.tables import ModelVersion

ENDPOINTS = ("requested", "serving")


def effect_on(tx: Transaction, row: Deployment, event: RuntimeEvent, *, since: datetime | None = None) -> Effect:
    """Return what the terms of *row* say about an *event* of *since* (now, when it has just happened)."""
    has_fallback = bool(deployments.serving_others(tx, row))
    return Terms.parse(row.runtime).effect(event, since=since or tx.now, at=tx.now, has_fallback=has_fallback)


def apply(tx: Transaction, row: Deployment, effect: Effect, finding: Finding, *, because: str) -> None:
    """Do to one endpoint what *effect* says; the calling verb asked the permission."""
    match effect.do:
        case Reaction.SUSPEND:
            version = registered.numbered(tx, ModelVersion, row.version_ref.partition(":")[2], for_update=True)
            suspend(tx, version, finding, rule=f"runtime/{effect.event.value}", because=because)
        case Reaction.STOP:
            deployments.suspend(tx, row, finding, because=because)
        case Reaction.FALL_BACK:
            # The zone's other version answers for the model from now on; a person decides about this one.
            other = deployments.serving_others(tx, row)[0]
            deployments.suspend(tx, row, finding, because=f"{because}; {other.version_ref} answers instead")
        case Reaction.WARN | Reaction.SERVE_UNTIL:
            pass
        case _:
            assert_never(effect.do)


def suspend(tx: Transaction, version: ModelVersion, finding: Finding, *, rule: str, because: str) -> None:
    """Suspend the approvals of *version*, and do to its endpoints what was agreed for that."""
    approvals.suspend_all(tx, version, finding=finding.ref, rule=rule, because=because)
    for row in queries.deployments_of(tx, version.ref):
        if row.state in ENDPOINTS:
            apply(tx, row, effect_on(tx, row, RuntimeEvent.SUSPENDED), finding, because=because)
