# SPDX-License-Identifier: Apache-2.0
"""The events of streams: where the ledger goes is itself told in the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from audit.events import Event


@dataclass(frozen=True, kw_only=True)
class SinkAdded(Event):
    """The ledger goes to a further receiver from now on; residency allowed it by *rule*."""

    kind: ClassVar[str] = "sink.added"
    name: str
    format: str
    transport: str
    target: Mapping[str, Any]
    start: int
    because: str
    rule: str
    policy: str


@dataclass(frozen=True, kw_only=True)
class SinkChanged(Event):
    """A stream was paused, goes on, or was ended for good."""

    kind: ClassVar[str] = "sink.changed"
    name: str
    before: str
    state: str
    because: str


@dataclass(frozen=True, kw_only=True)
class SinkTested(Event):
    """Somebody sent a heartbeat to a sink, to see whether it answers."""

    kind: ClassVar[str] = "sink.tested"
    name: str
    answered: bool
    error: str = ""
