# SPDX-License-Identifier: Apache-2.0
"""HTTP routes of incidents."""

from __future__ import annotations

from fastapi import APIRouter

from audit.http import Read, SealedRoute, Tx
from governance import incidents, queries
from governance.incident_tables import Incident
from khatim.wire import answers, requests
from khatim.wire import incidents as wire
from registry.routes import Rules

router = APIRouter(prefix="/v1", tags=["incidents"], route_class=SealedRoute)


@router.get("/incidents")
def list_incidents(reader: Read, cursor: str = "", limit: int = 50) -> answers.Page[wire.Incident]:
    """List incidents, newest first."""
    rows, following = queries.page_of(reader, Incident, cursor=cursor, limit=limit)
    return answers.Page(items=[wire.Incident.model_validate(row) for row in rows], next=following)


@router.get("/incidents/{name}")
def incident(reader: Read, name: str) -> wire.Incident:
    """Return one incident with its duties."""
    return wire.Incident.model_validate(queries.identified(reader, Incident, name))


@router.post("/incidents", status_code=201)
def open_incident(tx: Tx, rules: Rules, body: wire.OpenIncident) -> wire.Incident:
    """Tell of an incident about a version or a deployment."""
    return wire.Incident.model_validate(incidents.open_(tx, body, rules=rules))


@router.post("/incidents/{name}/duties")
def fulfil_duty(tx: Tx, name: str, body: wire.FulfilDuty) -> wire.Incident:
    """Say how a duty was done."""
    return wire.Incident.model_validate(incidents.fulfil(tx, name, body))


@router.post("/incidents/{name}/closing")
def close_incident(tx: Tx, name: str, body: requests.Reason) -> wire.Incident:
    """Close an incident whose duties are done."""
    return wire.Incident.model_validate(incidents.close(tx, name, because=body.because))
