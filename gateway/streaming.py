# SPDX-License-Identifier: Apache-2.0
"""Senders of the ledger's streams beside the sequencer, by the settings of an installation."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from audit.streams.messages import Format
from audit.streams.sender import Sender
from audit.streams.streaming import Streaming
from audit.streams.transports import Places, Transport, open_transport
from khatim.settings import Settings


def places_of(settings: Settings) -> Places:
    """Return where files of streams go, and where their keys and tokens lie."""
    return Places(settings.data / "streams", settings.data / "stream-credentials")


def senders(settings: Settings, dsn: str, origin: str) -> Streaming:
    """Return what keeps a sender for every sink; the rules are read when the first one starts."""
    places = places_of(settings)

    def opener(row: Mapping[str, Any]) -> Transport:
        return open_transport(row["transport"], row["target"], Format(row["format"]), places)

    def make(sink: uuid.UUID) -> Sender:
        from gateway.policy_keeping import Followed  # noqa: PLC0415 - the sequencer starts without rules
        from governance.streams import judge  # noqa: PLC0415 - as above

        return Sender(dsn, sink, origin, judge(Followed(settings), settings.zone), opener)

    return Streaming(dsn, make)


@contextmanager
def streaming(settings: Settings, dsn: str, origin: str) -> Iterator[None]:
    """Send streams in threads of this process while the block lasts."""
    stop = threading.Event()
    thread = threading.Thread(
        target=senders(settings, dsn, origin).run, args=(stop,), name="khatim-streams", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)
