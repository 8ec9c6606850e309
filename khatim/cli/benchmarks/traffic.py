# SPDX-License-Identifier: Apache-2.0
"""A load generator in a process of its own: prepared requests over kept-alive sockets, and nothing parsed but lengths.

An HTTP library would cost more than some of the servers it measures; this costs about 20 microseconds a request.
"""

from __future__ import annotations

import base64
import socket
import threading
import time
import uuid
from collections.abc import Sequence
from typing import Any

from khatim.cli.benchmarks import processes
from khatim.cli.benchmarks.figures import Figure, percentile
from khatim.errors import Unavailable

UNIQUE = b"{unique}"  # replaced by 32 hexadecimal digits, new for each request
WARM_UP_S = 0.5
_OK = range(200, 300)


def request(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """Return the bytes of a request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def send(what: str, port: int, requests: Sequence[bytes], *, clients: int, seconds: float) -> Figure:
    """Let *clients* send *requests* in turn to a local port, each waiting for its answer; raises for a refused one."""
    plan = {
        "port": port,
        "requests": [base64.b64encode(one).decode() for one in requests],
        "clients": clients,
        "seconds": seconds,
    }
    (found,) = processes.side_by_side("traffic", [plan])
    if found["refused"]:
        raise Unavailable(f"{what}: {found['refused']} requests failed, one with status {found['status']}")
    return Figure(what, found["rate"], found["p50"], found["p99"])


class _Client(threading.Thread):
    """One caller with one connection."""

    def __init__(self, plan: dict[str, Any], requests: Sequence[bytes], number: int, began: float) -> None:
        super().__init__(daemon=True)
        self.taken: list[float] = []
        self.refused = 0
        self.status = 0
        self._requests = requests
        self._next = number * len(requests) // plan["clients"]
        self._from = began + WARM_UP_S
        self._until = self._from + plan["seconds"]
        self._socket = socket.create_connection(("127.0.0.1", plan["port"]))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def run(self) -> None:
        while (now := time.perf_counter()) < self._until:
            wanted = self._requests[self._next % len(self._requests)]
            self._next += 1
            if UNIQUE in wanted:
                wanted = wanted.replace(UNIQUE, uuid.uuid4().hex.encode())
            self._socket.sendall(wanted)
            status = self._answered()
            if status not in _OK:
                self.refused, self.status = self.refused + 1, status
            elif now >= self._from:
                self.taken.append(time.perf_counter() - now)
        self._socket.close()

    def _answered(self) -> int:
        data = self._socket.recv(65_536)
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._more()
        head = data[:end].lower()
        mark = head.find(b"content-length:")
        length = int(head[mark + 15 :].split(b"\r\n", 1)[0]) if mark >= 0 else 0
        missing = end + 4 + length - len(data)
        while missing > 0:
            missing -= len(self._more())
        return int(head[9:12])

    def _more(self) -> bytes:
        part = self._socket.recv(262_144)
        if not part:
            raise Unavailable("the server closed the connection")
        return part


def main() -> None:
    """Send what the plan says and print what was seen."""
    plan = processes.told()
    requests = [base64.b64decode(one) for one in plan["requests"]]
    began = time.perf_counter()
    clients = [_Client(plan, requests, number, began) for number in range(plan["clients"])]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    taken = [one for client in clients for one in client.taken]
    processes.answer(
        {
            "rate": len(taken) / plan["seconds"],
            "p50": percentile(taken, 0.5),
            "p99": percentile(taken, 0.99),
            "refused": sum(client.refused for client in clients),
            "status": max(client.status for client in clients),
        }
    )


if __name__ == "__main__":
    main()
