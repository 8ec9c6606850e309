# SPDX-License-Identifier: Apache-2.0
"""Asking a time server: SNTP over UDP, 48 bytes there and 48 back (RFC 5905, section 14).

A client of its own, because it is one datagram: no library stands between the bytes and the checks.
"""

from __future__ import annotations

import secrets
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from khatim.errors import Unavailable

PORT = 123
_PACKET = struct.Struct("!BBbbII4sQQQQ")  # RFC 5905 figure 8, without extensions
_CLIENT, _SERVER, _VERSION = 3, 4, 4
_UNSYNCHRONISED = 3  # leap indicator
_STRATUM_MOST = 15
_EPOCH = datetime(1900, 1, 1, tzinfo=UTC)
_FRACTION = 1 << 32
_WRAP = 1 << 64


def stamp_of(at: datetime) -> int:
    """Return *at* as an NTP timestamp: seconds since 1900 in 32.32 bits, of whatever era."""
    since = at - _EPOCH
    seconds = since.days * 86_400 + since.seconds
    return (seconds * _FRACTION + since.microseconds * _FRACTION // 1_000_000) % _WRAP


def apart_s(one: int, other: int) -> float:
    """Return *one* minus *other* in seconds; right across the era of 2036 while they are less than 68 years apart."""
    difference = (one - other) % _WRAP
    return (difference - _WRAP if difference >= _WRAP // 2 else difference) / _FRACTION


def query(nonce: int) -> bytes:
    """Return a request; *nonce* stands where the time of sending would, and only its echo is believed."""
    return _PACKET.pack(_VERSION << 3 | _CLIENT, 0, 0, 0, 0, 0, b"", 0, 0, 0, nonce)


def offset_s(answer: bytes, nonce: int, sent: datetime, got: datetime) -> float:
    """Return our time minus the server's from its *answer* to a query sent and answered at our times.

    Raises `Unavailable` for an answer that is none, is to another query, or says that the server does not know itself.
    """
    if len(answer) < _PACKET.size:
        raise Unavailable("its answer is cut short")
    first, stratum, _, _, _, _, reference, _, origin, received, transmitted = _PACKET.unpack(answer[: _PACKET.size])
    if first & 7 != _SERVER or origin != nonce or not transmitted:
        raise Unavailable("its answer is not to our question")
    if stratum == 0:  # RFC 5905 section 7.4: a kiss of death, with the reason in four letters
        raise Unavailable(f"it refuses: {reference.decode('ascii', 'replace')}")
    if first >> 6 == _UNSYNCHRONISED or stratum > _STRATUM_MOST:
        raise Unavailable("it is not synchronised itself")
    # RFC 5905 section 8: theta = ((T2 - T1) + (T3 - T4)) / 2 is their time minus ours.
    return -(apart_s(received, stamp_of(sent)) + apart_s(transmitted, stamp_of(got))) / 2


@dataclass(frozen=True, slots=True)
class TimeServer:
    """A time server as a source of `audit.clock`; *address* is a host, with a port when it is not 123."""

    address: str
    clock: Callable[[], datetime]
    timeout_s: float = 1.0
    is_elsewhere: bool = True

    @property
    def name(self) -> str:
        """What readings call it."""
        return f"ntp:{self.address}"

    def offset_s(self) -> float:
        """Ask once; return our time minus its time, raises `Unavailable`."""
        nonce = secrets.randbits(64) or 1
        try:
            named = urlsplit(f"//{self.address}")
            family, kind, proto, _, where = socket.getaddrinfo(
                named.hostname, named.port or PORT, type=socket.SOCK_DGRAM
            )[0]
            with socket.socket(family, kind, proto) as connection:
                connection.settimeout(self.timeout_s)
                connection.connect(where)  # the kernel drops what comes from anywhere else
                sent = self.clock()
                connection.send(query(nonce))
                answer = connection.recv(512)
                got = self.clock()
        except (OSError, ValueError) as wrong:
            raise Unavailable(f"{self.name} does not answer: {str(wrong) or type(wrong).__name__}") from wrong
        if got - sent > timedelta(seconds=2 * self.timeout_s) or got < sent:
            raise Unavailable("our clock was set while it answered")
        return offset_s(answer, nonce, sent, got)
