# SPDX-License-Identifier: Apache-2.0
"""A timestamp authority elsewhere, over HTTP: another instance's own, or one that answers badly."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from registry.signing.authority import Authority

Answer = tuple[int, bytes, Mapping[str, str]]


def founded(folder: Path, instance: str = "elsewhere", at: datetime | None = None) -> Authority:
    """Found the authority of another instance, now unless *at* says when."""
    return Authority.create(folder, instance, lambda: at or datetime.now(UTC))


def chain_in(authority: Authority, file: Path) -> Path:
    """Write the certificates of its timestamp authority to *file*: its own first, its root last."""
    file.write_text("".join(authority.record.timestamping[-1].chain))
    return file


def by(authority: Authority, at: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Callable[[bytes], Answer]:
    """Return how *authority* answers a query honestly."""
    return lambda query: (200, authority.timestamp(query, at()), {})


@contextmanager
def serving(answer: Callable[[bytes], Answer]) -> Iterator[str]:
    """Yield the address of a server that gives *answer* to each query."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status, body, headers = answer(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's own word
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/tsa"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
