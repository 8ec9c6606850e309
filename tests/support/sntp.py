# SPDX-License-Identifier: Apache-2.0
"""A small real time server on loopback: answers SNTP as a stratum-2 server does, with a clock that tests set."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_PACKET = struct.Struct("!BBbbII4sQQQQ")
_EPOCH = datetime(1900, 1, 1, tzinfo=UTC)


def written(at: datetime) -> int:
    """Return *at* in 32.32 bits since 1900."""
    return int((at - _EPOCH) / timedelta(microseconds=1) * 2**32 / 10**6) % 2**64


@dataclass
class Server:
    """What it answers: *ahead_s* of this machine, from a *stratum*, synchronised or not, or nothing at all."""

    port: int = 0
    ahead_s: float = 0.0
    stratum: int = 2
    leap: int = 0
    answers: bool = True
    spoil: Callable[[int], int] = lambda origin: origin
    asked: int = 0

    @property
    def address(self) -> str:
        """Its host and port."""
        return f"127.0.0.1:{self.port}"

    def reply(self, query: bytes) -> bytes:
        """Return the answer to a query."""
        origin = _PACKET.unpack(query[: _PACKET.size])[-1]
        now = written(datetime.now(UTC) + timedelta(seconds=self.ahead_s))
        first = self.leap << 6 | 4 << 3 | 4
        return _PACKET.pack(first, self.stratum, 6, -20, 0, 0, b"RATE", now, self.spoil(origin), now, now)


@contextmanager
def time_server() -> Iterator[Server]:
    """Run one until the end of the block."""
    server = Server()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        connection.bind(("127.0.0.1", 0))
        connection.settimeout(0.05)
        server.port = connection.getsockname()[1]
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                try:
                    query, where = connection.recvfrom(512)
                except TimeoutError:
                    continue
                server.asked += 1
                if server.answers:
                    connection.sendto(server.reply(query), where)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server
        finally:
            stop.set()
            thread.join()
