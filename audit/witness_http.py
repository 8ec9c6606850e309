# SPDX-License-Identifier: Apache-2.0
"""The witness over HTTP, on Python's own server: ``POST /add-checkpoint``, ``GET /<sha256 of origin>/checkpoint``.

Plain HTTP on loopback only (behind a proxy that speaks TLS, or for tests); otherwise it needs a certificate.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import ssl
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from audit.witness import BODY_MAX, Reply, Witness
from khatim.errors import Misconfigured, Unavailable

_AT_ONCE = 64
_IDLE_S = 15  # seconds that a connection may say nothing
_MONITOR = re.compile(r"/([0-9a-f]{64})/checkpoint\Z")
_log = logging.getLogger("khatim.witness")


class WitnessServer(ThreadingHTTPServer):
    """Serves one witness; `serve_forever` until `shutdown`."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, witness: Witness, host: str = "127.0.0.1", port: int = 0, *, certificate: Path | None = None,
        key: Path | None = None,
    ) -> None:  # fmt: skip
        """Listen on *host* and *port* (0 takes a free one); raises `Misconfigured` beyond loopback without TLS."""
        self._places = threading.BoundedSemaphore(_AT_ONCE)
        try:
            super().__init__((host, port), _handler(witness))
        except OSError as wrong:
            raise Misconfigured(f"the witness cannot listen on {host}:{port}: {wrong.strerror}") from wrong
        self.scheme = "https" if certificate else "http"
        try:
            self._secure(certificate, key)
        except BaseException:
            self.server_close()
            raise

    def _secure(self, certificate: Path | None, key: Path | None) -> None:
        if certificate is None:
            if not ipaddress.ip_address(str(self.server_address[0])).is_loopback:
                raise Misconfigured(
                    f"without TLS the witness listens on loopback only, not on {self.server_address[0]!s}",
                    advice="Give --tls-cert and --tls-key, or put a proxy before it.",
                )
            return
        try:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificate, key)
        except (OSError, ValueError) as wrong:
            raise Misconfigured(f"the certificate cannot be used: {wrong}") from wrong
        # The handshake happens in the connection's own thread, not where connections are taken.
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def url(self) -> str:
        """The submission and monitoring prefix."""
        return f"{self.scheme}://{self.server_address[0]!s}:{self.server_address[1]}"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Take one connection; more than `_AT_ONCE` wait."""
        self._places.acquire()
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection in its thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the server's own signature
        """Say in the log, not on the screen, that a connection broke off."""
        _log.info("a connection of %s broke off", client_address, exc_info=True)


def _handler(witness: Witness) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # keep-alive, as tlog-witness asks
        server_version = "khatim-witness"
        sys_version = ""
        timeout = _IDLE_S
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            if self.path != "/add-checkpoint":
                self._answer(Reply(HTTPStatus.NOT_FOUND, "there is only /add-checkpoint\n"), close=True)
                return
            length = self.headers.get("Content-Length", "")
            if not length.isascii() or not length.isdigit() or int(length) > BODY_MAX:
                why = f"a request has a Content-Length of at most {BODY_MAX}\n"
                self._answer(Reply(HTTPStatus.BAD_REQUEST, why), close=True)
                return
            try:
                self._answer(witness.add_checkpoint(self.rfile.read(int(length))))
            except Unavailable as wrong:
                _log.error("%s", wrong)
                self._answer(Reply(HTTPStatus.SERVICE_UNAVAILABLE, "the witness cannot answer now\n"))

        def do_GET(self) -> None:
            asked = _MONITOR.match(self.path)
            try:
                found = witness.checkpoint(asked[1] if asked else "")
            except Unavailable as wrong:
                _log.error("%s", wrong)
                found = Reply(HTTPStatus.SERVICE_UNAVAILABLE, "the witness cannot answer now\n")
            self._answer(found)

        def _answer(self, reply: Reply, *, close: bool = False) -> None:
            body = reply.body.encode()
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.media_type)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-cache")
            if close:  # the body was not read, so what follows would be taken for a request
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the server's own name for it
            _log.info(format, *args)

    return Handler
