# SPDX-License-Identifier: Apache-2.0
"""What every request passes: a request id, a size limit, and headers that browsers obey."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from audit.http import EVENTS, WAITED
from khatim.errors import TooLarge

HEADERS = {
    b"content-security-policy": b"default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    b"object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
}


class HeadOfLedger:
    """ASGI middleware: the ledger's files answer HEAD as they answer GET, without the body (tlog-tiles)."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap *app*."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD" or not scope["path"].startswith("/ledger/"):
            await self.app(scope, receive, send)
            return

        async def bodiless(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        await self.app({**scope, "method": "GET"}, receive, bodiless)


class FrontDoor:
    """ASGI middleware: bodies over *max_body* bytes are refused before they are read; artifacts never come this way."""

    def __init__(self, app: ASGIApp, max_body: int) -> None:
        """Wrap *app*."""
        self.app = app
        self.max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = uuid.uuid4().hex
        scope["khatim.request_id"] = request_id

        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = message["headers"]
                message["headers"] = [*given, *headers_beside(given, request_id), *recorded(scope)]
            await send(message)

        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self.max_body:
            await self._refuse(headed, request_id)
            return
        received, is_over = 0, False

        async def limited() -> Message:
            nonlocal received, is_over
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.max_body:
                is_over = True
                raise TooLarge(f"the body is over {self.max_body} bytes", advice=_ADVICE)
            return message

        async def answer(message: Message) -> None:
            if not is_over:
                await headed(message)
            elif message["type"] == "http.response.start":
                # The framework would call a body that breaks off unreadable; the caller is told why it broke off.
                await self._refuse(headed, request_id)

        await self.app(scope, limited, answer)

    async def _refuse(self, send: Send, request_id: str) -> None:
        error = TooLarge(f"the body is over {self.max_body} bytes", advice=_ADVICE)
        body = json.dumps({**error.as_problem(), "request_id": request_id}).encode()
        headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": error.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def headers_beside(given: Iterable[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
    """Return what every answer carries besides the headers *given*, which win."""
    present = {name.lower() for name, _ in given}
    own = {**HEADERS, b"x-request-id": request_id.encode()}
    return [(name, value) for name, value in own.items() if name not in present]


def recorded(scope: Scope) -> list[tuple[bytes, bytes]]:
    """Return the headers that name the events which this request committed, and the wait that was honoured."""
    events, waited = scope.get(EVENTS), scope.get(WAITED)
    named = [(b"khatim-events", ", ".join(events[:_EVENTS_MAX]).encode())] if events else []
    return [*named, (b"preference-applied", waited.encode())] if waited else named


_EVENTS_MAX = 40  # about a hundred bytes each; headers have limits, and the ledger lists the rest
_ADVICE = "Data and model bytes go through the zone door: ask for an upload ticket first."
