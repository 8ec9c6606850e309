# SPDX-License-Identifier: Apache-2.0
"""HTTP routes of people: who stands behind a reference, and erasing what is known about them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from audit.http import Read, SealedRoute, Tx, part
from khatim.wire import answers
from khatim.wire import people as wire
from registry import erasure, people
from registry.erasure import Eraser

Erasing = Annotated[Eraser, Depends(part(Eraser))]
router = APIRouter(prefix="/v1", tags=["people"], route_class=SealedRoute)


@router.post("/people/{ref}/identity")
def identity(tx: Tx, eraser: Erasing, ref: str, body: wire.Identify) -> wire.Person:
    """Say who stands behind a reference; that you asked, and why, is recorded first."""
    found = people.identify(tx, ref, because=body.because, vault=eraser.vault)
    tx.forget()  # an answer kept for a retry would be a second place of personal data
    return wire.Person.model_validate(found)


@router.post("/people/{ref}/erasure", status_code=201)
def request_erasure(tx: Tx, ref: str, body: wire.Erase) -> wire.Erasure:
    """Ask for the erasure of a person; somebody else approves it."""
    row = erasure.request(tx, ref, legal_basis=body.legal_basis, because=body.because)
    return wire.Erasure.model_validate(row)


@router.get("/erasures")
def erasures(reader: Read) -> answers.Page[wire.Erasure]:
    """List erasures, the newest first."""
    return answers.Page(items=[wire.Erasure.model_validate(row) for row in erasure.listed(reader)])


@router.post("/erasures/{name}/approval")
def approve_erasure(tx: Tx, eraser: Erasing, name: str) -> wire.Erasure:
    """Approve an erasure that somebody else asked for, and do it; nothing brings the record back."""
    return wire.Erasure.model_validate(erasure.approve(tx, name, eraser=eraser))
