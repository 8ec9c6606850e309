# SPDX-License-Identifier: Apache-2.0
"""What every request passes: a request id, a size limit, and headers that browsers obey."""

from __future__ import annotations

import json
import uuid

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from khatim.errors import TooLarge

HEADERS = {
    b"content-security-policy": b"default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    b"object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
}


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

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                extra = [(name, value) for name, value in HEADERS.items() if name not in present]
                message["headers"] = [*message["headers"], *extra, (b"x-request-id", request_id.encode())]
            await send(message)

        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self.max_body:
            await self._refuse(answer)
            return
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.max_body:
                raise TooLarge(f"the body is over {self.max_body} bytes", advice=_ADVICE)
            return message

        await self.app(scope, limited, answer)

    async def _refuse(self, send: Send) -> None:
        error = TooLarge(f"the body is over {self.max_body} bytes", advice=_ADVICE)
        body = json.dumps(error.as_problem()).encode()
        headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": error.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


_ADVICE = "Data and model bytes go through the zone door: ask for an upload ticket first."
