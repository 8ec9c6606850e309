# SPDX-License-Identifier: Apache-2.0
"""HTTP routes of the ledger: pages for people, C2SP tlog-tiles for machines that verify."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from audit import export, queries
from audit.http import BulkRead, Read
from khatim.vocabulary import Action
from khatim.wire import answers, proofs

router = APIRouter(tags=["ledger"])
TEXT: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
BYTES: dict[int | str, dict[str, Any]] = {200: {"content": {"application/octet-stream": {}}}}


@router.get("/v1/ledger/entries")
def entries(
    reader: Read,
    kind: Annotated[str, Query(max_length=100)] = "",
    resource: Annotated[str, Query(max_length=300)] = "",
    actor: Annotated[str, Query(max_length=200)] = "",
    before: Annotated[int | None, Query(ge=0)] = None,
    limit: Annotated[int, Query(ge=1, le=queries.PAGE_LIMIT)] = 50,
) -> answers.Page[proofs.Entry]:
    """List entries, newest first; `next` goes into `before`."""
    found = queries.page(reader, kind=kind, resource=resource, actor=actor, before=before, limit=limit)
    return answers.Page(items=found, next=str(found[-1].index) if len(found) == limit else None)


@router.get("/v1/ledger/entries/{index}")
def entry(reader: Read, index: int) -> proofs.Entry:
    """Return one entry."""
    return queries.entry(reader, index)


@router.get("/v1/ledger/entries/{index}/receipt")
def receipt(reader: Read, index: int) -> proofs.Receipt:
    """Return the inclusion proof of one entry."""
    return queries.receipt(reader, index)


@router.get("/ledger/checkpoint", response_class=Response, responses=TEXT)
def checkpoint(reader: Read) -> Response:
    """Return the latest signed checkpoint (C2SP tlog-checkpoint)."""
    reader.require(Action.LEDGER_READ, queries.LEDGER)
    return Response(export.latest_note(reader.connection()), media_type="text/plain; charset=utf-8")


@router.get("/ledger/tile/{path:path}", response_class=Response, responses=BYTES)
def tile(reader: BulkRead, path: str) -> Response:
    """Return one tile or entry bundle (C2SP tlog-tiles)."""
    reader.require(Action.LEDGER_READ, queries.LEDGER)
    return Response(export.tile_bytes(reader.connection(), f"tile/{path}"), media_type="application/octet-stream")


@router.get("/ledger/payload/{digest}", response_class=Response, responses=BYTES)
def payload(reader: BulkRead, digest: str) -> Response:
    """Return a payload that was too large for its entry."""
    reader.require(Action.LEDGER_READ, queries.LEDGER)
    return Response(export.payload(reader.connection(), digest), media_type="application/octet-stream")
