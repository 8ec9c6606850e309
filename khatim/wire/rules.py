# SPDX-License-Identifier: Apache-2.0
"""Bodies about policy changes: what is proposed, what it would change, what is in force."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from khatim.wire.access import Ticket
from khatim.wire.answers import Answer
from khatim.wire.requests import Because, Request

FileName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z-]{0,31}\.(yaml|csv)$")]
Text = Annotated[str, StringConstraints(max_length=500_000)]
Files = Annotated[dict[FileName, Text], Field(max_length=20)]


class SimulatePolicy(Request):
    """An overlay as a whole, texts by file name; `limit` of the newest versions are judged under it."""

    files: Files
    limit: int = Field(default=50, ge=1, le=200)


class ProposePolicy(Request):
    """Propose an overlay as a whole: what it leaves out is as shipped."""

    files: Files
    because: Because
    ticket: Ticket = ""


class Overlay(Answer):
    """The overlay in force, and the digest of the rules that it makes; `change` is empty while it is configured."""

    digest: str
    change: str
    files: dict[str, str]


class PolicyChange(Answer):
    """A policy change: `requested`, `active`, `superseded` or `withdrawn`."""

    id: uuid.UUID
    digest: str
    base: str
    reason: str
    ticket: str
    requested_by: str
    requested_at: datetime
    state: str
    because: str
    approved_by: str | None
    approved_at: datetime | None
    ended_by: str | None
    ended_at: datetime | None


class PolicyChangeWithFiles(PolicyChange):
    """A policy change and its texts."""

    files: dict[str, str]


class AccessChange(Answer):
    """A role and action that would be answered otherwise (`yes`, `no`, `when`) in `places`, ``zone/namespace``."""

    role: str
    action: str
    before: str
    after: str
    places: list[str]


class MovementChange(Answer):
    """A movement of data with one tag that would be answered otherwise, with the rules that answer."""

    kind: str
    from_zone: str
    to_zone: str
    tag: str
    before: bool
    after: bool
    rule_before: str
    rule_after: str


class RuntimeChange(Answer):
    """An event of live endpoints whose response would be another, by tier or for zones without a network."""

    event: str
    tier: str
    before: dict[str, Any]
    after: dict[str, Any]


class GateChange(Answer):
    """A gate of a version that would say something else, were its approvals given anew."""

    version: str
    transition: str
    before: bool
    after: bool
    newly_unmet: list[str]
    newly_met: list[str]


class Simulation(Answer):
    """What would be decided differently.  Any other rules void the approvals given under those in force."""

    before: str
    after: str
    files: list[str]
    access: list[AccessChange]
    movements: list[MovementChange]
    runtime: list[RuntimeChange]
    gates: list[GateChange]
    versions: int
    left_out: int
    approvals_void: int
    doors_shut: list[str]
