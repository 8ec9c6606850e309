# SPDX-License-Identifier: Apache-2.0
"""Bodies about waivers."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from khatim.wire.answers import Answer
from khatim.wire.requests import Because, Request

Rule = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,63}/[a-z][a-z0-9-]{0,63}$")]


class WaiverRequest(Request):
    """Ask that one requirement be excused for a number of days; `control` says what protects in its place."""

    rule: Rule
    transition: Literal["staging", "production", "deploy"] = "production"
    days: int = Field(ge=1, le=366)
    because: Because
    control: Because


class Waiver(Answer):
    """A waiver: `requested`, `approved`, `revoked` or `expired`."""

    id: uuid.UUID
    about: str
    rule: str
    transition: str
    days: int
    reason: str
    control: str
    requested_by: str
    requested_at: datetime
    state: str
    because: str
    binding: dict[str, Any]
    excuses: list[str]
    approved_by: str | None
    approved_at: datetime | None
    expires_at: datetime | None
    ended_at: datetime | None
