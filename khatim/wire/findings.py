# SPDX-License-Identifier: Apache-2.0
"""Bodies about findings."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, Field, StringConstraints

from khatim.vocabulary import Severity
from khatim.wire.answers import Answer
from khatim.wire.requests import Because, Request

About = Annotated[str, StringConstraints(pattern=r"^(version|deployment):[A-Za-z0-9@./_-]{1,200}$")]
Owner = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9:._@-]{0,200}$")]


class OpenFinding(Request):
    """Say that something should not be so; `suspend` takes the approvals of the version out until it is resolved."""

    about: About
    severity: Severity
    summary: Because
    owner: Owner = ""
    due_at: AwareDatetime | None = None
    suspend: bool = False


class AssignFinding(Request):
    """Let somebody answer for a finding; without `due_at` its day stays."""

    owner: Owner = Field(min_length=1)
    due_at: AwareDatetime | None = None
    because: Because


class Finding(Answer):
    """A finding."""

    id: uuid.UUID
    number: int
    about: str
    zone: str
    kind: str
    severity: str
    summary: str
    details: dict[str, Any]
    consequence: str
    state: str
    opened_at: datetime
    opened_by: str
    owner: str
    due_at: datetime
    overdue_at: datetime | None
    resolved_by: str | None
    resolved_at: datetime | None
    resolved_because: str | None
