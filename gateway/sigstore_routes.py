# SPDX-License-Identifier: Apache-2.0
"""The embedded authority over HTTP, at the host root as Sigstore's clients need it: CA, timestamps, signature log."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from audit.http import Read, part
from audit.transaction import Reader
from khatim.vocabulary import Action, Resource
from registry.notary import Notary
from registry.routes import Pen
from registry.signing import authority_http, trust
from registry.signing.authority import Authority
from registry.signing.identity import Identity
from runners import agents

Office = Annotated[Authority, Depends(part(Authority))]
router = APIRouter(tags=["sigstore"])
STAMP: dict[int | str, dict[str, Any]] = {201: {"content": {authority_http.TIMESTAMP_REPLY: {}}}}


async def raw_body(request: Request) -> bytes:
    """Return the body as it came: timestamp queries are DER."""
    return await request.body()


@router.post(trust.SIGNING_CERT_PATH, status_code=201)
def signing_cert(reader: Read, office: Office, pen: Pen, body: dict[str, Any]) -> dict[str, Any]:
    """Issue a ten-minute certificate for the caller's key (Fulcio v2)."""
    who = Identity(signing_name(reader, pen), pen.issuer)
    return authority_http.signing_cert(office, body, who, reader.now, challenge=reader.actor.ref)


@router.get(trust.TRUST_BUNDLE_PATH)
def trust_bundle(office: Office) -> dict[str, Any]:
    """Return the chains from which certificates are issued; public."""
    return authority_http.trust_bundle(office)


@router.post(trust.TIMESTAMP_PATH, status_code=201, response_class=Response, responses=STAMP)
def timestamp(reader: Read, office: Office, query: Annotated[bytes, Depends(raw_body)]) -> Response:
    """Timestamp a query (RFC 3161)."""
    reader.require(Action.STATEMENT_SUBMIT, Resource("statement", "new", zone=reader.actor.zone or ""))
    stamp = authority_http.timestamp(office, query, reader.now)
    return Response(stamp, 201, media_type=authority_http.TIMESTAMP_REPLY)


@router.post(trust.LOG_ENTRIES_PATH, status_code=201)
def log_entry(reader: Read, office: Office, body: dict[str, Any]) -> dict[str, Any]:
    """Log a signature (Rekor v2)."""
    reader.require(Action.STATEMENT_SUBMIT, Resource("statement", "new", zone=reader.actor.zone or ""))
    return authority_http.log_entry(office, body, reader.now)


def signing_name(reader: Reader, pen: Notary) -> str:
    """Return the name under which the caller signs; only agents sign themselves, for their own zone."""
    reader.require(Action.STATEMENT_SUBMIT, Resource("statement", "new", zone=reader.actor.zone or ""))
    agent = agents.of_actor(reader)
    return pen.agent(agent.zone, str(agent.id))
