# SPDX-License-Identifier: Apache-2.0
"""One connection to a syslog server, and the question how much of what was sent the other side has not acknowledged."""

from __future__ import annotations

import fcntl
import socket
import ssl
import struct
import time

from khatim.errors import Unavailable

_TIMEOUT_S = 15.0
_SIOCOUTQ = 0x5411  # Linux: bytes of the send queue that are not acknowledged (tcp(7))


class Line:
    """A TCP connection to *host*, inside TLS when there is a context.  Made at the first `send`."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, *, timeout_s: float = _TIMEOUT_S) -> None:
        """Remember the address; the server's certificate must be for *host*."""
        self._address, self._tls, self._timeout_s = (host, port), tls, timeout_s
        self._socket: socket.socket | None = None

    def send(self, data: bytes) -> None:
        """Send *data* and wait until the other side's kernel has all of it; raises `Unavailable` and is closed then."""
        try:
            line = self._socket or self._open()
            self._require_open(line)
            line.sendall(data)
            self._drain(line)
        except (OSError, ssl.SSLError) as lost:
            self.close()
            raise Unavailable(f"{self._address[0]}:{self._address[1]} does not take the stream: {lost}") from lost

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _open(self) -> socket.socket:
        plain = socket.create_connection(self._address, timeout=self._timeout_s)
        try:
            self._socket = self._tls.wrap_socket(plain, server_hostname=self._address[0]) if self._tls else plain
        except BaseException:
            plain.close()
            raise
        return self._socket

    def _require_open(self, line: socket.socket) -> None:
        # A receiver that has gone says so by end of file; a first write after that would seem to succeed.
        line.settimeout(0)  # session tickets of TLS are readable and lead to no data
        try:
            while line.recv(4096):
                pass
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        finally:
            line.settimeout(self._timeout_s)
        raise ConnectionResetError("the receiver has closed the connection")

    def _drain(self, line: socket.socket) -> None:
        deadline = time.monotonic() + self._timeout_s
        while struct.unpack("i", fcntl.ioctl(line.fileno(), _SIOCOUTQ, b"\0" * 4))[0]:
            if time.monotonic() > deadline:
                raise TimeoutError("it does not acknowledge what was sent")
            time.sleep(0.001)
        self._require_open(line)
