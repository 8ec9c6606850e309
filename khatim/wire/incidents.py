# SPDX-License-Identifier: Apache-2.0
"""Bodies about incidents."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from pydantic import AwareDatetime

from khatim.wire.answers import Answer
from khatim.wire.findings import About, Owner
from khatim.wire.requests import Because, Name, Request


class OpenIncident(Request):
    """Tell of an incident; the time runs from `aware_at`, now when it is left out."""

    about: About
    kind: Name
    summary: Because
    aware_at: AwareDatetime | None = None
    owner: Owner = ""
    suspend: bool = False


class FulfilDuty(Request):
    """Say how a duty was done, and when, if it was before now."""

    duty: Name
    said: Because
    done_at: AwareDatetime | None = None


class Incident(Answer):
    """An incident with its duties: `id`, `title`, `basis`, `certainty`, `dueAt`, `warnAt`, and what was done."""

    id: uuid.UUID
    number: int
    kind: str
    about: str
    zone: str
    severity: str
    summary: str
    duties: list[dict[str, Any]]
    aware_at: datetime
    state: str
    opened_by: str
    opened_at: datetime
    owner: str
    policy: str
    finding_id: uuid.UUID | None
    closed_by: str | None
    closed_at: datetime | None
    closed_because: str
