# SPDX-License-Identifier: Apache-2.0
"""The signer's counter: an office behind HTTP on a Unix socket, for the processes of this machine that may ask.

Who asks is known from the kernel (SO_PEERCRED), not from what they send; accounts that are not on the list get a
refusal, and the signer's log has it.
"""

from __future__ import annotations

import json
import os
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from khatim.errors import Forbidden, KhatimError, Malformed, Misconfigured, NotFound, TooLarge
from registry.signing.desk import LocalOffice
from registry.signing.encoding import b64, members, strict_json, text_of, unb64
from registry.signing.trust import LOG_ENTRIES_PATH, SIGNING_CERT_PATH, TIMESTAMP_PATH

RECORD_PATH, CLOCK_PATH, SIGN_PATH, ENROL_PATH = "/record", "/clock", "/sign", "/enrolment"
MOST = 8 * 1024 * 1024  # bytes of a request: above any statement
CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid
_PATH_MOST = 107  # bytes: sockaddr_un(7)
_IDLE_S = 60


class Counter(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Serves one office on one socket, to some accounts; a thread for each connection."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, path: Path, office: LocalOffice, accounts: frozenset[int]) -> None:
        """Listen on *path* for the uids in *accounts*; raises `Misconfigured` when another signer does already."""
        self.office = office
        self.accounts = accounts
        _clear(path)
        # Between bind and chmod nobody but the owner may connect; where others may, the kernel's word decides below.
        before = os.umask(0o177)
        try:
            super().__init__(str(path), _Handler)
        except OSError as wrong:
            raise Misconfigured(f"the signer cannot listen on {path}: {wrong.strerror or wrong}") from wrong
        finally:
            os.umask(before)
        if accounts - {os.getuid()}:
            path.chmod(0o666)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a caller that went away; everything else is answered as a problem."""


class _Handler(BaseHTTPRequestHandler):
    """One connection, kept open for many requests."""

    protocol_version = "HTTP/1.1"
    server: Counter
    timeout = _IDLE_S
    connection: socket.socket
    rbufsize = -1
    wbufsize = -1  # head and body leave as one write

    def setup(self) -> None:
        """Ask the kernel who is at the other end."""
        super().setup()
        raw = self.connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
        self._pid, self._uid, _ = CREDENTIALS.unpack(raw)
        self._office = self.server.office.for_asker(f"uid {self._uid} pid {self._pid}")

    def do_GET(self) -> None:
        """Answer a question."""
        self._answer({RECORD_PATH: self._record, CLOCK_PATH: self._clock})

    def do_POST(self) -> None:
        """Do what is asked, if the office does."""
        asked = {SIGN_PATH: self._sign, SIGNING_CERT_PATH: self._certify, LOG_ENTRIES_PATH: self._log}
        self._answer({**asked, TIMESTAMP_PATH: self._stamp, ENROL_PATH: self._enrol})

    def _answer(self, known: Mapping[str, Callable[[], bytes]]) -> None:
        try:
            self._body = self._read()
            status, body = 200, self._asked(known)()
        except KhatimError as wrong:
            status, body = wrong.status, json.dumps(wrong.as_problem()).encode()
        except Exception as wrong:  # noqa: BLE001 - one request must not end the signer, and nothing inside leaks
            unknown = KhatimError(f"the signer failed: {type(wrong).__name__}")
            status, body = 500, json.dumps(unknown.as_problem()).encode()
        self.send_response_only(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def _asked(self, known: Mapping[str, Callable[[], bytes]]) -> Callable[[], bytes]:
        """Return what does what is asked for, if this account may ask; else it is noted."""
        if self._uid not in self.server.accounts:
            refusal = Forbidden(f"the account {self._uid} may not ask the signer", rule="signer/account")
            office = self._office
            office.journal.refused(office.clock(), refusal.slug(), what=self.path, asker=office.asker)
            raise refusal
        if self.path not in known:
            raise NotFound
        return known[self.path]

    def _read(self) -> bytes:
        declared = self.headers.get("Content-Length", "0")
        length = int(declared) if declared.isdigit() else MOST + 1
        if length > MOST:
            self.close_connection = True
            raise TooLarge(f"the signer reads {MOST} bytes at most")
        return self.rfile.read(length)

    def _record(self) -> bytes:
        return self._office.record.dumps().encode()

    def _clock(self) -> bytes:
        return json.dumps(asdict(self._office.reading())).encode()

    def _sign(self) -> bytes:
        asked = members(strict_json(self._body, "the request"), ("identity", "statement"), (), "the request")
        statement = unb64(asked["statement"], "the statement")
        return self._office.sign(text_of(asked["identity"], "the identity"), statement).encode()

    def _certify(self) -> bytes:
        asked = members(strict_json(self._body, "the request"), ("body", "token"), ("proof",), "the request")
        if not isinstance(asked["body"], dict):
            raise Malformed("the request for a certificate is not an object")
        token, proof = text_of(asked["token"], "the token"), text_of(asked.get("proof", ""), "the proof")
        return json.dumps(self._office.signing_cert(asked["body"], token, proof)).encode()

    def _enrol(self) -> bytes:
        asked = members(strict_json(self._body, "the request"), ("voucher", "proof"), (), "the request")
        proof = text_of(asked["proof"], "the proof")
        return self._office.enrol(text_of(asked["voucher"], "the enrolment token"), proof).encode()

    def _stamp(self) -> bytes:
        return self._office.timestamp(self._body)

    def _log(self) -> bytes:
        asked = strict_json(self._body, "the request")
        return json.dumps(self._office.log_entry(asked)).encode()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's own word
        """Say nothing: the signer has a log of its own."""


def asked_to_sign(identity: str, statement: bytes) -> bytes:
    """Return the body by which a statement is handed over."""
    return json.dumps({"identity": identity, "statement": b64(statement)}).encode()


def _clear(path: Path) -> None:
    """Remove the socket of a signer that died; raises `Misconfigured` when one is alive, or the path is too long."""
    if len(os.fsencode(path)) > _PATH_MOST:
        raise Misconfigured(
            f"the path of the signer's socket is over {_PATH_MOST} bytes long",
            advice="Set KHATIM_AUTHORITY__SOCKET to a shorter one, as /run/khatim/signer.sock.",
        )
    if not path.exists():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise Misconfigured(f"another signer listens on {path}", advice="Stop it first; two would write one log in turn.")


def serve(path: Path, office: LocalOffice, accounts: frozenset[int], stop: threading.Event) -> None:
    """Serve *office* on *path* until *stop* is set."""
    with Counter(path, office, accounts) as counter:
        thread = threading.Thread(target=counter.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        thread.start()
        stop.wait()
        counter.shutdown()
        thread.join()
    path.unlink(missing_ok=True)
