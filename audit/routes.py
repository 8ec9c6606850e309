# SPDX-License-Identifier: Apache-2.0
"""HTTP routes of the ledger: pages for people, C2SP tlog-tiles for machines that verify."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from audit import endorsements, export, queries
from audit.http import Read, Shown, part, settled
from audit.showing import Showing
from khatim.wire import answers, proofs

router = APIRouter(tags=["ledger"])
Shows = Annotated[Showing, Depends(part(Showing))]
FRESH = {"Cache-Control": "no-cache"}
# What was read by right stays with who read it; a public ledger may lie in everybody's cache.  Also partial tiles
# never change: their width is in the address.
LASTING = {
    False: {"Cache-Control": "private, max-age=31536000, immutable"},
    True: {"Cache-Control": "public, max-age=31536000, immutable"},
}
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


@router.get("/v1/ledger/entries/{index}/receipt", dependencies=[Depends(settled)])
def receipt(reader: Read, showing: Shows, index: int) -> proofs.Receipt:
    """Return the inclusion proof of one entry."""
    return queries.receipt(reader, index, showing.policy)


@router.get("/v1/ledger/receipts", dependencies=[Depends(settled)])
def receipt_of(reader: Read, showing: Shows, event: Annotated[str, Query(max_length=200)]) -> proofs.Receipt:
    """Return the inclusion proof of an event that a `Khatim-Events` header named; also to whoever caused it."""
    return queries.receipt_of(reader, event, showing.policy)


@router.get("/ledger/checkpoint", response_class=Response, responses=TEXT)
def checkpoint(reader: Shown, showing: Shows) -> Response:
    """Return the latest signed checkpoint that counts, with its cosignatures (C2SP tlog-checkpoint)."""
    note = endorsements.latest_that_counts(reader.connection(), showing.policy)
    return Response(note, media_type="text/plain; charset=utf-8", headers=FRESH)


@router.get("/ledger/endorsed", response_class=Response, responses=TEXT)
def endorsed(reader: Shown, showing: Shows) -> Response:
    """Return the largest checkpoint that others vouch for: with its cosignatures, then its timestamps (RFC 3161)."""
    data = endorsements.latest_endorsed(reader.connection(), showing.policy)
    return Response(data, media_type="text/plain; charset=utf-8", headers=FRESH)


@router.get("/ledger/tile/{path:path}", response_class=Response, responses=BYTES)
def tile(reader: Shown, showing: Shows, path: str) -> Response:
    """Return one tile or entry bundle (C2SP tlog-tiles); it never changes."""
    data = export.tile_bytes(reader.connection(), f"tile/{path}")
    return Response(data, media_type="application/octet-stream", headers=LASTING[showing.is_public])


@router.get("/ledger/payload/{digest}", response_class=Response, responses=BYTES)
def payload(reader: Shown, showing: Shows, digest: str) -> Response:
    """Return a payload that was too large for its entry; it never changes."""
    data = export.payload(reader.connection(), digest)
    return Response(data, media_type="application/octet-stream", headers=LASTING[showing.is_public])
