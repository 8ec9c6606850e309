# SPDX-License-Identifier: Apache-2.0
"""What is decided about what is registered: authorisations, evidence, approvals, deployments, findings, work."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Identity, Index, UniqueConstraint
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Text

from audit.base import Base, Governed, Identifier, Json, Moment
from khatim.vocabulary import Assurance, JobKind, JobState, Resource


class Authorisation(Base, Governed):
    """A standing training authorisation.  Its terms never change; `state`, `runs_used` and who approved do."""

    __tablename__ = "training_authorisations"
    __table_args__ = (
        CheckConstraint("state IN ('requested', 'approved', 'revoked')", name="state"),
        CheckConstraint("runs_used <= budget_runs", name="budget"),
    )

    id: Mapped[Identifier]
    namespace: Mapped[str]
    datasets: Mapped[list[str]] = mapped_column(ARRAY(Text))
    purpose: Mapped[str]
    code_digest: Mapped[str]
    zone: Mapped[str]
    budget_runs: Mapped[int]
    runs_used: Mapped[int]
    ends_at: Mapped[Moment]
    requested_by: Mapped[str]
    requested_at: Mapped[Moment]
    state: Mapped[str]
    approved_by: Mapped[str | None]
    because: Mapped[str]

    @property
    def ref(self) -> str:
        """Return the ledger reference."""
        return str(self.resource)

    @property
    def resource(self) -> Resource:
        """Return the resource that access decides about."""
        return Resource("authorisation", str(self.id), self.namespace, self.zone)


class Evidence(Base, Governed):
    """One piece of evidence about a version: an evaluation, a scan.  Never changes; newer evidence stands beside it."""

    __tablename__ = "evidence"

    id: Mapped[Identifier]
    about: Mapped[str] = mapped_column(index=True)
    kind: Mapped[str]
    result: Mapped[str]
    digest: Mapped[str]
    details: Mapped[dict[str, Any]] = mapped_column(JSONB)
    statement_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("statements.id"))
    submitted_by: Mapped[str]
    at: Mapped[Moment]

    @property
    def ref(self) -> str:
        """Return the reference of what it is evidence about."""
        return self.about


SELF: Final = "self-attestation"
"""What stands for the role where nobody independent looked: it is no role, and what has it is no approval."""


class Approval(Base, Governed):
    """One person's signed approval, or self-attestation (role `SELF`), bound to digests.

    Its state with the reason and the answers change, nothing else.

    `obligations` are what it is given under, each `{"text", "dueAt"}`; `answers` what was said to them, each
    `{"number", "by", "at", "said"}`.  `ticket` is the change ticket as the approver saw it.
    """

    __tablename__ = "approvals"
    __table_args__ = (CheckConstraint("state IN ('active', 'suspended', 'revoked', 'expired')", name="state"),)

    id: Mapped[Identifier]
    about: Mapped[str] = mapped_column(index=True)
    role: Mapped[str]
    approver: Mapped[str]
    meaning: Mapped[str]
    comment: Mapped[str]
    binding: Mapped[dict[str, Any]] = mapped_column(JSONB)
    approved_at: Mapped[Moment]
    expires_at: Mapped[Moment]
    state: Mapped[str]
    state_because: Mapped[str]
    # Signed once the row is made: the statement says what the row says.
    statement_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("statements.id"), init=False)
    stands_in_for: Mapped[str] = mapped_column(default="")
    ticket: Mapped[dict[str, Any]] = mapped_column(JSONB, default_factory=dict)
    obligations: Mapped[list[Json]] = mapped_column(default_factory=list)
    answers: Mapped[list[Json]] = mapped_column(default_factory=list)
    checklist: Mapped[Json] = mapped_column(default_factory=dict)  # of a self-attestation

    @property
    def ref(self) -> str:
        """Return the reference of what is approved."""
        return self.about


class Finding(Base, Governed):
    """Something that should not be so, seen by a monitor, in the ledger or by a person.  Never deleted.

    `owner` answers for it by `due_at`; they, `overdue_at` (when it was told that nobody did) and the resolution change.
    """

    __tablename__ = "findings"
    __table_args__ = (
        CheckConstraint("state IN ('open', 'resolved')", name="state"),
        CheckConstraint("severity IN ('critical', 'high', 'medium', 'low')", name="severity"),
        Index("ix_findings_due", "due_at", postgresql_where="state = 'open'"),
    )

    id: Mapped[Identifier]
    number: Mapped[int] = mapped_column(BigInteger, Identity(always=True), init=False, unique=True)
    about: Mapped[str] = mapped_column(index=True)
    namespace: Mapped[str]
    zone: Mapped[str]
    kind: Mapped[str]
    severity: Mapped[str]
    summary: Mapped[str]
    details: Mapped[dict[str, Any]] = mapped_column(JSONB)
    consequence: Mapped[str]
    state: Mapped[str]
    opened_at: Mapped[Moment]
    opened_by: Mapped[str]
    owner: Mapped[str]
    due_at: Mapped[Moment]
    overdue_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), default=None)
    resolved_by: Mapped[str | None] = mapped_column(default=None)
    resolved_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), default=None)
    resolved_because: Mapped[str | None] = mapped_column(default=None)

    @property
    def ref(self) -> str:
        """Return the ledger reference."""
        return f"finding:{self.id}"

    @property
    def resource(self) -> Resource:
        """Return the resource that access decides about."""
        return Resource("finding", str(self.id), self.namespace, self.zone)


class Deployment(Base, Governed):
    """One version asked to serve in one zone.  `state`, its reason and the endpoint change.

    `runtime` is what was agreed for it, event by event (`policies.runtime.Terms`), and never changes; `approved_until`
    is when its approvals end by time alone, `warned_days` the last warning before it.
    """

    __tablename__ = "deployments"
    __table_args__ = (
        CheckConstraint("state IN ('requested', 'serving', 'refused', 'suspended', 'stopped')", name="state"),
        Index("ix_deployments_approved_until", "approved_until", postgresql_where="state = 'serving'"),
    )

    id: Mapped[Identifier]
    version_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("model_versions.id"), index=True)
    version_ref: Mapped[str]
    namespace: Mapped[str]
    zone: Mapped[str] = mapped_column(index=True)
    state: Mapped[str]
    because: Mapped[str]
    finding_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("findings.id"))
    endpoint: Mapped[str]
    agent: Mapped[str]
    requested_by: Mapped[str]
    requested_at: Mapped[Moment]
    changed_at: Mapped[Moment]
    tier: Mapped[int | None]
    runtime: Mapped[dict[str, Any]] = mapped_column(JSONB)
    assurance: Mapped[str] = mapped_column(default=Assurance.INDEPENDENT.value, kw_only=True)
    approved_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    warned_days: Mapped[int | None] = mapped_column(default=None)

    @property
    def ref(self) -> str:
        """Return the ledger reference."""
        return str(self.resource)

    @property
    def resource(self) -> Resource:
        """Return the resource that access decides about."""
        return Resource("deployment", str(self.id), self.namespace, self.zone)


class Job(Base, Governed):
    """Work asked of a zone.  The specification never changes; state, fence, agent and outcome do."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint(f"state IN ({', '.join(repr(s.value) for s in JobState)})", name="state"),
        CheckConstraint(f"kind IN ({', '.join(repr(s.value) for s in JobKind)})", name="kind"),
        # The claim reads this index in order; with `kind` in it the order is unusable (20 times slower, measured).
        Index("ix_jobs_queue", "zone", "priority", "number", postgresql_where="state = 'queued'"),
    )

    id: Mapped[Identifier]
    number: Mapped[int] = mapped_column(BigInteger, Identity(always=True), init=False, unique=True)
    kind: Mapped[str]
    namespace: Mapped[str]
    zone: Mapped[str]
    about: Mapped[str]
    spec: Mapped[dict[str, Any]] = mapped_column(JSONB)
    priority: Mapped[int]
    state: Mapped[str]
    requested_by: Mapped[str]
    requested_at: Mapped[Moment]
    fence: Mapped[int] = mapped_column(BigInteger, default=0)
    attempts: Mapped[int] = mapped_column(default=0)
    agent: Mapped[str] = mapped_column(default="")
    outcome: Mapped[dict[str, Any]] = mapped_column(JSONB, default_factory=dict)
    error: Mapped[str] = mapped_column(default="")
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), default=None)

    @property
    def ref(self) -> str:
        """Return the ledger reference."""
        return str(self.resource)

    @property
    def resource(self) -> Resource:
        """Return the resource that access decides about."""
        return Resource("job", str(self.id), self.namespace, self.zone)


class MonitorRun(Base, Governed):
    """One comparison of captured inputs with the reference.  Never changes."""

    __tablename__ = "monitor_runs"
    __table_args__ = (UniqueConstraint("id", "deployment_id"),)

    id: Mapped[Identifier]
    deployment_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("deployments.id"), index=True)
    is_drift: Mapped[bool]
    results: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    at: Mapped[Moment]

    @property
    def ref(self) -> str:
        """Return the ledger reference."""
        return f"monitor-run:{self.id}"
