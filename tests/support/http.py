# SPDX-License-Identifier: Apache-2.0
"""Calling an application in this process as a synchronous client does, from any thread."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from anyio.from_thread import BlockingPortal
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.types import ASGIApp

from khatim.errors import PROBLEM_BASE

BASE = "http://127.0.0.1"
HERE = ("127.0.0.1", 5000)


class InProcess(httpx.BaseTransport):
    """Carries requests into an ASGI application; what the application raises is answered with 500, as by a server."""

    def __init__(self, app: ASGIApp, portal: BlockingPortal, client: tuple[str, int] = HERE) -> None:
        """Call *app* in the event loop behind *portal*, as if from the address *client*."""
        self._asgi = httpx.ASGITransport(app, raise_app_exceptions=False, client=client)
        self._portal = portal

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Carry one request; a body in pieces goes in in pieces."""
        pieces = list(request.stream) if isinstance(request.stream, httpx.SyncByteStream) else []
        return self._portal.call(self._carry, request, pieces)

    async def _carry(self, request: httpx.Request, pieces: list[bytes]) -> httpx.Response:
        async def content() -> AsyncIterator[bytes]:
            for piece in pieces:
                yield piece

        # The headers go first: httpx would not know the length of a body that comes in pieces.
        asked = httpx.Request(request.method, request.url, headers=request.headers, content=content())
        answer = await self._asgi.handle_async_request(asked)
        body = b"".join([piece async for piece in answer.aiter_raw()])
        return httpx.Response(
            answer.status_code, headers=answer.headers, stream=httpx.ByteStream(body), request=request
        )


@dataclass(frozen=True)
class Route:
    """One route of an application, as it is mounted."""

    method: str
    path: str
    dependant: Dependant
    endpoint: Callable[..., Any]
    in_schema: bool

    @property
    def parts(self) -> list[Dependant]:
        """Everything that the route depends on."""
        return list(_parts(self.dependant))

    @property
    def calls(self) -> set[Any]:
        """What is called for it before its endpoint."""
        return {part.call for part in self.parts}

    def __str__(self) -> str:
        """Return method and path."""
        return f"{self.method} {self.path}"


def _parts(dependant: Dependant) -> Iterator[Dependant]:
    for part in dependant.dependencies:
        yield part
        yield from _parts(part)


def routes_of(app: FastAPI) -> list[Route]:
    """Return every route of ours that *app* answers, one for each method."""
    return [
        Route(method, context.path or "", one.dependant, one.endpoint, one.include_in_schema)
        for context in iter_route_contexts(app.routes)
        if isinstance(one := context.original_route, APIRoute)
        for method in sorted(one.methods or ())
    ]


class Api:
    """The public API as one caller sees it."""

    def __init__(self, http: httpx.Client, token: Callable[[], str] | None) -> None:
        """Call through *http* with a fresh bearer *token* each time; without one as nobody."""
        self.http = http
        self._token = token

    def bearer(self) -> str:
        """Return a token as the next call would send it."""
        return self._token() if self._token else ""

    def call(
        self, method: str, path: str, body: Any = None, *, key: str = "", headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Send one request, under an Idempotency-Key when *key* is given."""
        sent = dict(headers or {})
        if self._token is not None:
            sent["Authorization"] = f"Bearer {self._token()}"
        if key:
            sent["Idempotency-Key"] = key
        return self.http.request(method, path, json=body, headers=sent)

    def send(
        self,
        method: str,
        path: str,
        content: bytes,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send raw bytes, as JSON unless *headers* say otherwise."""
        sent = {"Content-Type": "application/json", **(headers or {})}
        if self._token is not None:
            sent["Authorization"] = f"Bearer {self._token()}"
        return self.http.request(method, path, params=query, content=content, headers=sent)

    def get(self, path: str) -> httpx.Response:
        """Read."""
        return self.call("GET", path)

    def post(self, path: str, body: Any = None, *, key: str = "") -> httpx.Response:
        """Write."""
        return self.call("POST", path, {} if body is None else body, key=key)

    def put(self, path: str, body: Any) -> httpx.Response:
        """Write to a name."""
        return self.call("PUT", path, body)


def good(answer: httpx.Response) -> Any:
    """Return the body of an answer that says yes."""
    assert answer.is_success, f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text}"
    return answer.json() if answer.content else None


def problem(answer: httpx.Response, status: int, slug: str = "") -> dict[str, Any]:
    """Return the problem that *answer* is: of that status and type, in the one shape that all of them have."""
    told = f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text[:500]}"
    assert answer.status_code == status, told
    assert answer.headers["content-type"] == "application/problem+json", told
    body: dict[str, Any] = answer.json()
    assert body["status"] == status, told
    assert body["request_id"] == answer.headers["x-request-id"], told
    assert body["title"], told
    assert body["detail"], told
    if slug:
        assert body["type"] == PROBLEM_BASE + slug, told
    return body
