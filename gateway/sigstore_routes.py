# SPDX-License-Identifier: Apache-2.0
"""The authority over HTTP, at the host root as Sigstore's clients need it: CA, timestamps, signature log.

Unmodified clients send a token for the certificate alone.  A timestamp says nothing about who asked, and the log takes
only signatures by a certificate of this authority that is valid at this moment, so neither asks who calls.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from audit.http import part
from gateway.certifying import Certifier
from registry.signing import authority_http, trust
from registry.signing.office import Office
from registry.signing.possession import HEADER

Desk = Annotated[Office, Depends(part(Office))]
Certificates = Annotated[Certifier, Depends(part(Certifier))]
router = APIRouter(tags=["sigstore"])
STAMP: dict[int | str, dict[str, Any]] = {201: {"content": {authority_http.TIMESTAMP_REPLY: {}}}}


async def raw_body(request: Request) -> bytes:
    """Return the body as it came: timestamp queries are DER."""
    return await request.body()


@router.get("/.well-known/openid-configuration")
def discovery(request: Request) -> dict[str, Any]:
    """Say where clients would sign people in; they ask even when they were given a token."""
    return authority_http.discovery(str(request.base_url))


# 200: cosign takes no other status for a certificate (Fulcio v2).
@router.post(trust.SIGNING_CERT_PATH)
def signing_cert(request: Request, certificates: Certificates, body: dict[str, Any]) -> dict[str, Any]:
    """Issue a ten-minute certificate for the caller's key (Fulcio v2)."""
    token = authority_http.token_of(body, request.headers.get("authorization"))
    return certificates.certificate(body, token, request.headers.get(HEADER, ""))


@router.get(trust.TRUST_BUNDLE_PATH)
def trust_bundle(desk: Desk) -> dict[str, Any]:
    """Return the chains from which certificates are issued; public."""
    return authority_http.trust_bundle(desk.record)


@router.post(trust.TIMESTAMP_PATH, status_code=201, response_class=Response, responses=STAMP)
def timestamp(desk: Desk, query: Annotated[bytes, Depends(raw_body)]) -> Response:
    """Timestamp a query (RFC 3161); public."""
    return Response(desk.timestamp(query), 201, media_type=authority_http.TIMESTAMP_REPLY)


@router.post(trust.LOG_ENTRIES_PATH, status_code=201)
def log_entry(desk: Desk, body: dict[str, Any]) -> dict[str, Any]:
    """Log a signature by a certificate of this authority that is valid now (Rekor v2); public."""
    return desk.log_entry(body)
