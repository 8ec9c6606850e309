# SPDX-License-Identifier: Apache-2.0
"""HTTP route of engagements: the bundle leaves as a stream, after its export was recorded."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import StreamingResponse

from audit.http import Snapshot, part
from governance.reports import engagements
from governance.reports.engagements import Desk

Exports = Annotated[Desk, Depends(part(Desk))]
router = APIRouter(prefix="/v1", tags=["governance"])
ZIP: dict[int | str, dict[str, Any]] = {201: {"content": {"application/zip": {}}}}


@router.post("/engagements", status_code=201, response_class=StreamingResponse, responses=ZIP)
def export(tx: Snapshot, desk: Exports, namespace: str, name: str, number: int) -> StreamingResponse:
    """Export everything about a version as one signed bundle (zip) that verifies without this server."""
    made = engagements.export(tx, f"{namespace}/{name}@{number}", desk=desk)
    return StreamingResponse(made.chunks(), 201, made.headers, media_type="application/zip")
