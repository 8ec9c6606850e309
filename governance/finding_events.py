# SPDX-License-Identifier: Apache-2.0
"""What the ledger is told about findings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from audit.events import Event


@dataclass(frozen=True, kw_only=True)
class FindingOpened(Event):
    """A finding was opened; what follows is policy."""

    kind: ClassVar[str] = "finding.opened"
    finding_kind: str
    severity: str
    subject: str
    consequence: str
    rule: str
    due_at: str
    owner: str = ""
    summary_digest: str = ""


@dataclass(frozen=True, kw_only=True)
class FindingAssigned(Event):
    """Somebody answers for a finding from now on, by a day."""

    kind: ClassVar[str] = "finding.assigned"
    owner: str
    due_at: str
    because: str


@dataclass(frozen=True, kw_only=True)
class FindingOverdue(Event):
    """A finding is open after the day by which it had to be answered for."""

    kind: ClassVar[str] = "finding.overdue"
    owner: str
    due_at: str
    severity: str


@dataclass(frozen=True, kw_only=True)
class FindingResolved(Event):
    """A person resolved a finding."""

    kind: ClassVar[str] = "finding.resolved"
    because: str
