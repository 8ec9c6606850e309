# SPDX-License-Identifier: Apache-2.0
"""A small real key management service: encrypt and decrypt as the Transit engine of Vault does, over HTTP, with AES."""

from __future__ import annotations

import base64
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TOKEN = "transit-token"


class _Service(ThreadingHTTPServer):
    keys: dict[str, list[bytes]]


class _Handler(BaseHTTPRequestHandler):
    server: _Service

    def do_POST(self) -> None:
        *_, operation, name = self.path.split("/")
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["X-Vault-Token"] != TOKEN:
            return self._answer(403, {"errors": ["permission denied"]})
        if not self.path.startswith("/v1/transit/") or name not in self.server.keys:
            return self._answer(400, {"errors": ["encryption key not found"]})
        bound = base64.b64decode(body.get("associated_data", ""))
        versions = self.server.keys[name]
        if operation == "encrypt":
            nonce = os.urandom(12)
            sealed = nonce + AESGCM(versions[-1]).encrypt(nonce, base64.b64decode(body["plaintext"]), bound)
            text = f"vault:v{len(versions)}:{base64.b64encode(sealed).decode()}"
            return self._answer(200, {"data": {"ciphertext": text, "key_version": len(versions)}})
        try:
            _, version, encoded = body["ciphertext"].split(":")
            sealed = base64.b64decode(encoded, validate=True)
            plain = AESGCM(versions[int(version[1:]) - 1]).decrypt(sealed[:12], sealed[12:], bound)
        except (ValueError, IndexError, InvalidTag):
            return self._answer(400, {"errors": ["cipher: message authentication failed"]})
        return self._answer(200, {"data": {"plaintext": base64.b64encode(plain).decode()}})

    def _answer(self, status: int, body: object) -> None:
        encoded = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's own word
        """Say nothing."""


@contextmanager
def transit() -> Iterator[_Service]:
    """Serve a key ``khatim`` on a free port of loopback; `rotate` it by appending to ``keys["khatim"]``."""
    with _Service(("127.0.0.1", 0), _Handler) as server:
        server.keys = {"khatim": [AESGCM.generate_key(256)]}
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
