# SPDX-License-Identifier: Apache-2.0
"""The authority behind HTTP, as the gateway mounts it: in process for httpx, on a port for outside clients."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from khatim.errors import KhatimError, Unauthenticated
from registry.signing import authority_http, trust
from registry.signing.authority import Authority
from registry.signing.identity import Identity

TOKEN = "token-of-agent-1"

Clock = Callable[[], datetime]
Who = Callable[[str | None], tuple[Identity, str] | None]
"""From a bearer token to the identity and the challenge that a proof of possession signs."""


def answer(
    authority: Authority, clock: Clock, who: Who, path: str, *, body: bytes, bearer: str | None
) -> httpx.Response:
    """Answer one request as the gateway would: authenticate, call, render an error as problem+json."""
    try:
        if path == trust.TIMESTAMP_PATH:
            stamp = authority_http.timestamp(authority, body, clock())
            return httpx.Response(200, content=stamp, headers={"Content-Type": authority_http.TIMESTAMP_REPLY})
        asked = json.loads(body)
        if path == trust.LOG_ENTRIES_PATH:
            return httpx.Response(201, json=authority_http.log_entry(authority, asked, clock()))
        if path == trust.SIGNING_CERT_PATH:
            known = who(authority_http.token_of(asked, bearer))
            if known is None:
                raise Unauthenticated
            return httpx.Response(200, json=authority_http.signing_cert(authority, asked, known[0], clock(), known[1]))
        return httpx.Response(404)
    except KhatimError as problem:
        return httpx.Response(problem.status, json=problem.as_problem())


def client_of(authority: Authority, clock: Clock, identity: Identity) -> httpx.Client:
    """Return an HTTP client whose other end is *authority*, in this process."""

    def handle(request: httpx.Request) -> httpx.Response:
        def who(token: str | None) -> tuple[Identity, str] | None:
            return (identity, identity.name) if token == TOKEN else None

        bearer = request.headers.get("Authorization")
        return answer(authority, clock, who, request.url.path, body=request.content, bearer=bearer)

    return httpx.Client(transport=httpx.MockTransport(handle), base_url="https://authority.test")


@contextmanager
def served(authority: Authority, clock: Clock, who: Who) -> Iterator[str]:
    """Serve *authority* on a free port of the loopback interface; yield the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            bearer = self.headers.get("Authorization")
            self._send(answer(authority, clock, who, self.path, body=body, bearer=bearer))

        def do_GET(self) -> None:
            # model_signing looks for the issuer's endpoints even when it is given a token (trust.md A3).
            here = f"http://{self.headers['Host']}"
            known: dict[str, Any] = {"authorization_endpoint": f"{here}/auth", "token_endpoint": f"{here}/token"}
            found = self.path == "/.well-known/openid-configuration"
            self._send(httpx.Response(200, json=known) if found else httpx.Response(404))

        def _send(self, response: httpx.Response) -> None:
            self.send_response(response.status_code)
            for name, value in response.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(response.content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the standard library
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
