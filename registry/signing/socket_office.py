# SPDX-License-Identifier: Apache-2.0
"""The office as the web workers have it: the signer's process at the other end of a Unix socket, and no keys here.

With the standard library's client: six requests need no more.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from khatim.errors import KhatimError, Malformed, Unavailable, from_problem
from registry.signing.encoding import strict_json
from registry.signing.record import PublicRecord
from registry.signing.socket_server import CREDENTIALS, ENROL_PATH, RECORD_PATH, SIGN_PATH, asked_to_sign
from registry.signing.trust import LOG_ENTRIES_PATH, SIGNING_CERT_PATH, TIMESTAMP_PATH

FRESH_S = 1.0  # how long a rotation may stay unnoticed here
_TIMEOUT_S = 15.0
_ADVICE = "The signer is being started again; nothing was changed. Try again in a moment."
_CLIENT_ERROR = 400


class SocketOffice:
    """Asks the signer on *path*; safe for several threads, with a few connections kept open."""

    def __init__(self, path: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Take the socket; whether somebody listens is known when something is asked."""
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._known: tuple[float, str, PublicRecord] | None = None
        self._path = path
        self._idle: queue.SimpleQueue[_Connection] = queue.SimpleQueue()

    @property
    def is_apart(self) -> bool:
        """True: the keys are in another process."""
        return True

    @property
    def has_own_account(self) -> bool:
        """Whether the kernel says that the signer runs under another account than this process (SO_PEERCRED)."""
        with contextlib.closing(_Connection(self._path)) as asked:
            try:
                asked.connect()
                raw = asked.sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
            except OSError:
                return False  # nobody listens: nothing is known
        return int(CREDENTIALS.unpack(raw)[1]) != os.geteuid()

    @property
    def record(self) -> PublicRecord:
        """The public record; what was known last while the signer is away, so that verifying goes on.

        Raises `Unavailable` when it was never there.
        """
        known = self._known
        if known and self._monotonic() - known[0] < FRESH_S:
            return known[2]
        with self._lock:
            known = self._known
            if known and self._monotonic() - known[0] < FRESH_S:
                return known[2]
            try:
                text = self._ask("GET", RECORD_PATH, b"").decode()
            except Unavailable:
                if known is None:
                    raise
                text = known[1]
            record = known[2] if known and known[1] == text else PublicRecord.loads(text)
            self._known = (self._monotonic(), text, record)
            return record

    def sign(self, identity: str, statement: bytes) -> str:
        """Have *statement* signed in the name of *identity*; see `Office.sign`."""
        return self._ask("POST", SIGN_PATH, asked_to_sign(identity, statement)).decode()

    def enrol(self, voucher: str, proof: str) -> str:
        """Have the key of a new agent registered; the signer verifies voucher and proof itself."""
        return self._ask("POST", ENROL_PATH, json.dumps({"voucher": voucher, "proof": proof}).encode()).decode()

    def signing_cert(self, body: Mapping[str, Any], token: str, proof: str = "") -> dict[str, Any]:
        """Ask for a certificate for whoever *token* stands for; the signer verifies token and proof itself."""
        return self._object(SIGNING_CERT_PATH, {"body": body, "token": token, "proof": proof})

    def timestamp(self, query: bytes) -> bytes:
        """Ask for a timestamp."""
        return self._ask("POST", TIMESTAMP_PATH, query)

    def log_entry(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Ask for an entry in the signature log."""
        return self._object(LOG_ENTRIES_PATH, body)

    def close(self) -> None:
        """Let go of the connections."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()

    def _object(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._ask("POST", path, json.dumps(body).encode()))
        return found

    def _ask(self, method: str, path: str, content: bytes) -> bytes:
        try:
            status, answer = self._exchange(method, path, content)
        except (OSError, http.client.HTTPException) as wrong:
            raise Unavailable(f"the signer does not answer: {type(wrong).__name__}", advice=_ADVICE) from wrong
        if status >= _CLIENT_ERROR:
            raise _refused(status, answer)
        return answer

    def _exchange(self, method: str, path: str, content: bytes) -> tuple[int, bytes]:
        """Ask on a connection that is open already, if there is one; one that was closed while idle is replaced."""
        with contextlib.suppress(queue.Empty):
            kept = self._idle.get_nowait()
            # A signer that ended, or let an idle connection go, closes before it answers anything.
            with contextlib.suppress(http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                return self._on(kept, method, path, content)
        return self._on(_Connection(self._path), method, path, content)

    def _on(self, connection: _Connection, method: str, path: str, content: bytes) -> tuple[int, bytes]:
        try:
            connection.request(method, path, content)
            response = connection.getresponse()
            answer = response.read()
        except BaseException:
            connection.close()
            raise
        if response.will_close:
            connection.close()
        else:
            self._idle.put(connection)
        return response.status, answer


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("signer", timeout=_TIMEOUT_S)
        self._socket_path = path

    def connect(self) -> None:
        """Connect; a socket to which nobody listens is closed again."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.sock.settimeout(self.timeout)
            self.sock.connect(str(self._socket_path))
        except BaseException:
            self.close()
            raise


def _refused(status: int, answer: bytes) -> KhatimError:
    try:
        problem = strict_json(answer, "the problem")
    except Malformed:
        problem = None
    if isinstance(problem, dict) and "type" in problem:
        return from_problem(problem, status)
    return Unavailable(f"the signer answered with status {status}", advice=_ADVICE)
