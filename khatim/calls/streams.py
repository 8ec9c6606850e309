# SPDX-License-Identifier: Apache-2.0
"""Where the ledger goes: add, pause, resume, remove and test sinks, and see how far each has come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from khatim.calls.connection import Connection, body
from khatim.wire import requests, streams

WHERE = "/v1/sinks"


class Streams:
    """Streams of the ledger."""

    def __init__(self, connection: Connection) -> None:
        """Call through *connection*."""
        self._connection = connection

    def list(self) -> Iterator[streams.Sink]:
        """Yield every sink, oldest first."""
        return self._connection.pages(streams.Sink, WHERE)

    def add(
        self, name: str, *, zone: str, form: str, transport: str, because: str, start: int | None = None, **target: str
    ) -> streams.Sink:
        """Send the ledger to a receiver; *target* is `url` or `file`, and `ca`, `certificate`, `token`.

        Raises `ResidencyRefused` where the zone may not have the registry's metadata.
        """
        given: dict[str, Any] = {"name": name, "zone": zone, "format": form, "transport": transport}
        given |= {"because": because, "start": start, "target": target}
        return self._connection.send(streams.Sink, WHERE, body(streams.AddSink, **given))

    def pause(self, name: str, *, because: str) -> streams.Sink:
        """Stop a stream for now."""
        return self._say(name, "pause", because)

    def resume(self, name: str, *, because: str) -> streams.Sink:
        """Let a stream go on from its cursor."""
        return self._say(name, "resumption", because)

    def remove(self, name: str, *, because: str) -> streams.Sink:
        """End a stream for good."""
        return self._say(name, "removal", because)

    def test(self, name: str) -> streams.SinkTest:
        """Send one heartbeat and say whether the receiver took it."""
        return self._connection.send(streams.SinkTest, f"{WHERE}/{quote(name, safe='')}/test")

    def _say(self, name: str, what: str, because: str) -> streams.Sink:
        where = f"{WHERE}/{quote(name, safe='')}/{what}"
        return self._connection.send(streams.Sink, where, body(requests.Reason, because=because))
