# SPDX-License-Identifier: Apache-2.0
"""HTTP routes of policy changes: what is in force, what other rules would change, propose, put in force, withdraw."""

from __future__ import annotations

from fastapi import APIRouter

from audit.http import Read, SealedRoute, Tx
from governance import policy_changes, queries, simulating
from governance.policy_tables import PolicyChange
from khatim.wire import answers, requests
from khatim.wire import rules as wire
from registry.routes import Cursor, Limit, Pen, Rules

router = APIRouter(prefix="/v1/policy", tags=["policy"], route_class=SealedRoute)


@router.get("/overlay")
def overlay(reader: Read, rules: Rules) -> wire.Overlay:
    """Return the overlay in force: the texts that lie over the shipped rules."""
    return policy_changes.overlay_of(reader, rules)


@router.post("/simulation")
def simulate(reader: Read, rules: Rules, pen: Pen, body: wire.SimulatePolicy) -> wire.Simulation:
    """Say what would be decided differently under other rules; changes nothing."""
    found = simulating.simulate(reader, body.files, limit=body.limit, notary=pen, rules=rules)
    return wire.Simulation.model_validate(found)


@router.get("/changes")
def list_changes(reader: Read, cursor: Cursor = "", limit: Limit = 50) -> answers.Page[wire.PolicyChange]:
    """List the policy changes, the newest first, whatever their state."""
    rows, following = queries.page_of(reader, PolicyChange, cursor=cursor, limit=limit)
    return answers.Page(items=[wire.PolicyChange.model_validate(row) for row in rows], next=following)


@router.post("/changes", status_code=201)
def propose(tx: Tx, rules: Rules, body: wire.ProposePolicy) -> wire.PolicyChange:
    """Propose other rules; somebody else puts them in force."""
    return wire.PolicyChange.model_validate(policy_changes.propose(tx, body, rules=rules))


@router.get("/changes/{name}")
def change(reader: Read, name: str) -> wire.PolicyChangeWithFiles:
    """Show a policy change with its texts."""
    return wire.PolicyChangeWithFiles.model_validate(queries.identified(reader, PolicyChange, name))


@router.post("/changes/{name}/approval")
def approve(tx: Tx, rules: Rules, pen: Pen, name: str, body: requests.Reason) -> wire.PolicyChange:
    """Put rules in force that somebody else proposed."""
    row = policy_changes.approve(tx, name, because=body.because, notary=pen, rules=rules)
    return wire.PolicyChange.model_validate(row)


@router.post("/changes/{name}/withdrawal")
def withdraw(tx: Tx, name: str, body: requests.Reason) -> wire.PolicyChange:
    """Take a proposal back, or turn it down."""
    return wire.PolicyChange.model_validate(policy_changes.withdraw(tx, name, because=body.because))
