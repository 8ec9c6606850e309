# SPDX-License-Identifier: Apache-2.0
"""Bodies about streams: what a sink is, and how far it has come."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from khatim.wire.answers import Answer
from khatim.wire.requests import Because, Name, Request

FileName = Annotated[str, StringConstraints(pattern=r"^([a-z0-9][a-z0-9._-]{0,99})?$")]


class Target(Request):
    """Where a sink is: `url` (https:, syslog+tls:) or the name of a `file` in the registry's folder of streams.

    `ca` is the PEM of the authority that the receiver's certificate must be of.  `certificate` and `token` name files
    in the registry's folder of stream credentials: secrets are never sent here.
    """

    url: Annotated[str, StringConstraints(max_length=500)] = ""
    file: FileName = ""
    ca: Annotated[str, StringConstraints(max_length=20_000)] = ""
    certificate: FileName = ""
    token: FileName = ""


class AddSink(Request):
    """Send the ledger to a receiver in `zone`, from the index `start` on (by default from now on)."""

    name: Name
    zone: Name
    format: Literal["syslog", "cef", "ocsf", "ecs"]
    transport: Literal["syslog", "https", "file"]
    target: Target
    start: int | None = Field(default=None, ge=0, le=2**53)
    because: Because


class Sink(Answer):
    """A sink: entries below `following` are acknowledged, `lag` more wait, `withheld` went out without content."""

    id: uuid.UUID
    name: str
    zone: str
    format: str
    transport: str
    target: dict[str, Any]
    start: int
    state: str
    because: str
    added_by: str
    added_at: datetime
    following: int
    lag: int
    sent: int
    withheld: int
    failures: int
    error: str
    seen_at: datetime | None


class SinkTest(Answer):
    """Whether the receiver took a heartbeat."""

    name: str
    answered: bool
    error: str
