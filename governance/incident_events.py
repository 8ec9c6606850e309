# SPDX-License-Identifier: Apache-2.0
"""What the ledger is told about incidents.  Texts of people stay out of it; their digests do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from audit.events import Event


@dataclass(frozen=True, kw_only=True)
class IncidentOpened(Event):
    """Somebody told of an incident; the duties run from when somebody was aware of it."""

    kind: ClassVar[str] = "incident.opened"
    incident_kind: str
    subject: str
    severity: str
    aware_at: str
    duties: Sequence[str]
    owner: str
    summary_digest: str
    finding: str
    policy: str


@dataclass(frozen=True, kw_only=True)
class IncidentDutyDone(Event):
    """A duty was done, in time or late."""

    kind: ClassVar[str] = "incident.duty_done"
    duty: str
    hours: float
    is_late: bool
    said_digest: str


@dataclass(frozen=True, kw_only=True)
class IncidentDutyLate(Event):
    """A duty is still to be done: the time to warn, or its limit, is over."""

    kind: ClassVar[str] = "incident.duty_late"
    duty: str
    hours: float
    is_overdue: bool
    owner: str


@dataclass(frozen=True, kw_only=True)
class IncidentClosed(Event):
    """Every duty is done, and somebody else than who opened it says that it is over."""

    kind: ClassVar[str] = "incident.closed"
    because: str
