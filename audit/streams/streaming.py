# SPDX-License-Identifier: Apache-2.0
"""Keeps a sender for every active sink: looks at the table every second, starts what is new and what has died."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg

from audit.streams.sender import Sender

_LOOK_S = 1.0
_log = logging.getLogger("khatim.streams")


@dataclass
class Streaming:
    """Every sink's sender in threads of one process.  *make* builds the sender of a sink."""

    dsn: str
    make: Callable[[uuid.UUID], Sender]
    _threads: dict[uuid.UUID, threading.Thread] = field(default_factory=dict, init=False)

    def run(self, stop: threading.Event) -> None:
        """Keep senders until *stop* is set, then wait for them."""
        while not stop.wait(_LOOK_S):
            for sink in self._active():
                thread = self._threads.get(sink)
                if thread is None or not thread.is_alive():
                    self._threads[sink] = self._start(sink, stop)
        for thread in self._threads.values():
            thread.join(5)

    def _start(self, sink: uuid.UUID, stop: threading.Event) -> threading.Thread:
        thread = threading.Thread(target=self.make(sink).run, args=(stop,), name=f"khatim-stream-{sink}", daemon=True)
        thread.start()
        return thread

    def _active(self) -> list[uuid.UUID]:
        try:
            with psycopg.connect(self.dsn, autocommit=True, connect_timeout=5) as conn:
                return [row[0] for row in conn.execute("SELECT id FROM sinks WHERE state = 'active'")]
        except psycopg.Error as lost:
            _log.warning("the sinks cannot be read: %s", lost)
            return []
