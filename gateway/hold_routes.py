# SPDX-License-Identifier: Apache-2.0
"""HTTP routes of legal holds."""

from __future__ import annotations

from fastapi import APIRouter

from audit.http import Read, SealedRoute, Tx
from governance import holds
from khatim.wire import answers, requests
from khatim.wire import holds as wire

router = APIRouter(prefix="/v1/holds", tags=["holds"], route_class=SealedRoute)


@router.get("")
def listed(reader: Read) -> answers.Page[wire.Hold]:
    """List legal holds, oldest first."""
    return answers.Page(items=[wire.Hold.model_validate(row) for row in holds.listed(reader)])


@router.post("", status_code=201)
def place(tx: Tx, body: wire.PlaceHold) -> wire.Hold:
    """Place a legal hold."""
    return wire.Hold.model_validate(holds.place(tx, body))


@router.post("/{name}/release")
def release(tx: Tx, name: str, body: requests.Reason) -> wire.Hold:
    """Ask that a hold end or, as a second person, end it."""
    return wire.Hold.model_validate(holds.release(tx, name, because=body.because))
