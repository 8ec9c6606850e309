# SPDX-License-Identifier: Apache-2.0
"""The one renderer of errors: RFC 9457 problem+json for programs, a page for people."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from audit.answers import AlreadyAnsweredError
from audit.http import ACTOR
from audit.transaction import Ledger
from gateway.middleware import headers_beside
from gateway.sources import Sources
from khatim.errors import PROBLEM_BASE, KhatimError, Malformed, NotFound, Refused, RegistryFull, Unauthenticated

log = logging.getLogger("khatim.gateway.problems")
MEDIA_TYPE = "application/problem+json"
DESCRIBED: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "A problem (RFC 9457): `type` says which; further members are what it is about.",
        "content": {
            MEDIA_TYPE: {
                "schema": {
                    "type": "object",
                    "required": ["type", "title", "status", "detail", "request_id"],
                    "properties": {
                        "type": {"type": "string"},
                        "title": {"type": "string"},
                        "status": {"type": "integer"},
                        "detail": {"type": "string"},
                        "advice": {"type": "string"},
                        "request_id": {"type": "string"},
                    },
                }
            }
        },
    }
}
"""How OpenAPI describes every answer that is not the one asked for."""
_BAD_REQUEST, _NOT_FOUND = 400, 404


def problem(request: Request, error: KhatimError) -> Response:
    """Render *error*; a browser that asked for a page gets one."""
    # A full disk is told once, by who looks at it: a line for each refused write would help to fill it.
    if error.status >= 500 and not isinstance(error, RegistryFull):  # noqa: PLR2004 - server errors
        # A part that is away is told in a line; only what nobody foresaw is worth a traceback.
        log.error("%s: %s", type(error).__name__, error.detail, exc_info=error if error.status == 500 else None)  # noqa: PLR2004
    _count(request, error)
    body = {**error.as_problem(), "request_id": request.scope.get("khatim.request_id", "")}
    page = request.app.state.error_page
    if page is not None and wants_page(request):
        rendered: Response = page(request, error)
        return rendered
    headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, Unauthenticated) else None
    return JSONResponse(body, status_code=error.status, media_type=MEDIA_TYPE, headers=headers)


def _count(request: Request, error: KhatimError) -> None:
    """Count the refusal of nobody in particular: somebody's stands in the ledger already, under their reference."""
    if not isinstance(error, (Unauthenticated, Refused)) or request.scope.get(ACTOR):
        return
    ledger: Ledger = request.app.state.parts[Ledger]
    sources: Sources = request.app.state.parts[Sources]
    source = sources.of(request.client.host if request.client else "")
    ledger.refusals.strangers.count(source, error.slug(), ledger.clock())


def wants_page(request: Request) -> bool:
    """Whether a person looks at this with a browser."""
    is_api = request.url.path.startswith(("/v1", "/api", "/ledger"))
    return not is_api and "text/html" in request.headers.get("accept", "")


def install(app: FastAPI) -> None:
    """Register the handlers."""

    @app.exception_handler(KhatimError)
    def _khatim(request: Request, error: KhatimError) -> Response:
        return problem(request, error)

    @app.exception_handler(AlreadyAnsweredError)
    def _answered(_: Request, answered: AlreadyAnsweredError) -> Response:
        headers = {"Idempotency-Replayed": "true"}
        return Response(answered.body, answered.status, headers=headers, media_type="application/json")

    @app.exception_handler(RequestValidationError)
    def _unreadable(request: Request, error: RequestValidationError) -> Response:
        places = [{"at": ".".join(str(part) for part in e["loc"]), "says": e["msg"]} for e in error.errors()]
        told = "; ".join(f"{place['at']}: {place['says']}" for place in places)
        return problem(request, Malformed(told, places=places))

    @app.exception_handler(HTTPException)
    def _http(request: Request, error: HTTPException) -> Response:
        if error.status_code == _NOT_FOUND:
            return problem(request, NotFound(f"there is no {request.url.path}"))
        if error.status_code == _BAD_REQUEST:
            return problem(request, Malformed("the body cannot be read", advice="Send JSON in UTF-8."))
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": str(error.detail),
            "status": error.status_code,
            "detail": str(error.detail),
            "request_id": request.scope.get("khatim.request_id", ""),
        }
        return JSONResponse(body, error.status_code, media_type=MEDIA_TYPE, headers=error.headers)

    @app.exception_handler(Exception)
    def _unknown(request: Request, error: Exception) -> Response:
        # The text of an unknown error stays in the log; the caller gets an id to ask about.
        request_id = request.scope.get("khatim.request_id", "")
        log.error("request %s failed", request_id, exc_info=error)
        body = {
            "type": PROBLEM_BASE + "internal",
            "title": "Something went wrong inside Khatim",
            "status": 500,
            "detail": "The error is in the server's log under this request id.",
            "request_id": request_id,
        }
        response = JSONResponse(body, 500, media_type=MEDIA_TYPE)
        # This answer leaves outside the front door (Starlette keeps its last handler outermost), so it is dressed here.
        response.raw_headers.extend(headers_beside(response.raw_headers, request_id))
        return response
