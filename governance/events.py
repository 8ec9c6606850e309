# SPDX-License-Identifier: Apache-2.0
"""The events of governance, one frozen dataclass per kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from audit.events import Event


@dataclass(frozen=True, kw_only=True)
class AuthorisationRequested(Event):
    """Somebody asked for a standing training authorisation."""

    kind: ClassVar[str] = "authorisation.requested"
    terms: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class AuthorisationApproved(Event):
    """Another person approved it."""

    kind: ClassVar[str] = "authorisation.approved"
    because: str
    policy: str


@dataclass(frozen=True, kw_only=True)
class AuthorisationRevoked(Event):
    """It was taken back; no further run starts inside it."""

    kind: ClassVar[str] = "authorisation.revoked"
    because: str


@dataclass(frozen=True, kw_only=True)
class JobRequested(Event):
    """Work was asked of a zone."""

    kind: ClassVar[str] = "job.requested"
    job_kind: str
    subject: str
    spec: str


@dataclass(frozen=True, kw_only=True)
class JobClaimed(Event):
    """An agent holds the job under a lease."""

    kind: ClassVar[str] = "job.claimed"
    agent: str
    fence: int
    attempt: int


@dataclass(frozen=True, kw_only=True)
class JobRequeued(Event):
    """The lease ran out; the job waits again under a new fence."""

    kind: ClassVar[str] = "job.requeued"
    agent: str
    fence: int


@dataclass(frozen=True, kw_only=True)
class JobEnded(Event):
    """The job is done, failed or cancelled."""

    kind: ClassVar[str] = "job.ended"
    state: str
    fence: int
    outcome: str = ""
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class EvidenceSubmitted(Event):
    """A signed test result about a version arrived."""

    kind: ClassVar[str] = "evidence.submitted"
    evidence_kind: str
    result: str
    digest: str
    statement: str


@dataclass(frozen=True, kw_only=True)
class ApprovalGranted(Event):
    """A person approved in a role; the binding names the bytes."""

    kind: ClassVar[str] = "approval.granted"
    role: str
    binding: Mapping[str, Any]
    expires_at: str
    statement: str
    comment_digest: str = ""
    stands_in_for: str = ""
    ticket: Mapping[str, Any] = field(default_factory=dict)
    obligations: Sequence[Mapping[str, str]] = ()


@dataclass(frozen=True, kw_only=True)
class VersionAttested(Event):
    """A person attested their own work after a checklist; nobody independent approved it."""

    kind: ClassVar[str] = "version.attested"
    checklist: Mapping[str, str]
    binding: Mapping[str, Any]
    expires_at: str
    statement: str


@dataclass(frozen=True, kw_only=True)
class ObligationAnswered(Event):
    """Somebody says how an obligation of a conditional approval was met; the approver decides by approving anew."""

    kind: ClassVar[str] = "obligation.answered"
    approval: str
    number: int
    said: str


@dataclass(frozen=True, kw_only=True)
class ApprovalsChanged(Event):
    """Approvals were suspended by a finding, or count again because it was resolved."""

    kind: ClassVar[str] = "approvals.changed"
    state: str
    finding: str
    rule: str
    approvals: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class ApprovalWithdrawn(Event):
    """Somebody took their own approval back."""

    kind: ClassVar[str] = "approval.withdrawn"
    approval: str
    role: str
    because: str


@dataclass(frozen=True, kw_only=True)
class VersionPromoted(Event):
    """A version passed the gate to another stage."""

    kind: ClassVar[str] = "version.promoted"
    before: str
    to: str
    because: str
    gate: str
    policy: str
    excepted: Sequence[Mapping[str, str]] = ()
    assurance: str = ""


@dataclass(frozen=True, kw_only=True)
class MonitorRan(Event):
    """A monitor compared captured inputs with the reference."""

    kind: ClassVar[str] = "monitor.ran"
    deployment: str
    is_drift: bool
    engines: Sequence[str]
    results: str


@dataclass(frozen=True, kw_only=True)
class EngagementExported(Event):
    """An auditor took an engagement bundle home (a sensitive read)."""

    kind: ClassVar[str] = "engagement.exported"
    tree_size: int
    subject: str
    manifest: str
