# SPDX-License-Identifier: Apache-2.0
"""HTTP routes of exceptions: waivers, and approvals that are taken back."""

from __future__ import annotations

from fastapi import APIRouter

from audit.http import Read, SealedRoute, Tx
from governance import waivers, withdrawing
from khatim.wire import answers, requests
from khatim.wire import waivers as wire
from registry.routes import Pen, Rules

router = APIRouter(prefix="/v1", tags=["exceptions"], route_class=SealedRoute)
VERSION = "/models/{namespace}/{name}/versions/{number}"


@router.get(VERSION + "/waivers")
def list_waivers(reader: Read, namespace: str, name: str, number: int) -> answers.Page[wire.Waiver]:
    """List the waivers of a version, whatever their state."""
    rows = waivers.listed(reader, f"{namespace}/{name}@{number}")
    return answers.Page(items=[wire.Waiver.model_validate(row) for row in rows])


@router.post(VERSION + "/waivers", status_code=201)
def request_waiver(  # noqa: PLR0913, PLR0917 - a route: what it depends on, and its path
    tx: Tx, rules: Rules, pen: Pen, namespace: str, name: str, number: int, body: wire.WaiverRequest
) -> wire.Waiver:
    """Ask that one requirement be excused for a time."""
    row = waivers.request(tx, f"{namespace}/{name}@{number}", body, notary=pen, rules=rules)
    return wire.Waiver.model_validate(row)


@router.post("/waivers/{name}/approval")
def approve_waiver(tx: Tx, rules: Rules, pen: Pen, name: str, body: requests.Reason) -> wire.Waiver:
    """Approve a waiver that somebody else asked for."""
    return wire.Waiver.model_validate(waivers.approve(tx, name, because=body.because, notary=pen, rules=rules))


@router.post("/waivers/{name}/revocation")
def revoke_waiver(tx: Tx, name: str, body: requests.Reason) -> wire.Waiver:
    """Take a waiver back."""
    return wire.Waiver.model_validate(waivers.revoke(tx, name, because=body.because))


@router.post(VERSION + "/approvals/{approval}/withdrawal")
def withdraw_approval(  # noqa: PLR0913, PLR0917 - a route: what it depends on, and its path
    tx: Tx, rules: Rules, pen: Pen, namespace: str, name: str, number: int, approval: str, body: requests.Reason
) -> answers.Approval:
    """Take an approval of your own back; endpoints that rest on it stop."""
    path = f"{namespace}/{name}@{number}"
    row = withdrawing.withdraw(tx, path, approval, because=body.because, notary=pen, rules=rules)
    return answers.Approval.model_validate(row)
