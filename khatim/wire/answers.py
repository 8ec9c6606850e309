# SPDX-License-Identifier: Apache-2.0
"""What the server answers.  Built from rows by attribute; moments are RFC 3339 in UTC."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from khatim.vocabulary import Assurance

T = TypeVar("T")


class Answer(BaseModel):
    """An answer body."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class Page(Answer, Generic[T]):
    """One page; `next` is the cursor of the following one, or None at the end."""

    items: list[T]
    next: str | None = None


class Who(Answer):
    """Who the caller is."""

    ref: str
    kind: str
    roles: list[str]
    zone: str | None
    display_name: str = ""
    local_mode: bool


class Signing(Answer):
    """With what the registry signs: the backend, in whose name, who else dates it, and where its keys are."""

    backend: str
    identity: str = Field(description="who signs when it is not the instance's own authority")
    issuer: str
    degraded: str = Field(description="what is weaker about these signatures; empty when nothing is")
    outside_tsa: str = Field(description="the timestamp authority outside; empty: time attested by the operator only")
    outside_tsa_required: bool
    signer: str


class Zone(Answer):
    """Where bytes can be, and which laws bind whoever runs it."""

    name: str
    location: str
    regimes: list[str]
    family: str


class Ticket(Answer):
    """Permission to move one blob through a zone door; `door` is where, `token` goes into the Authorization header."""

    door: str
    token: str
    digest: str
    expires_at: datetime


class Placement(Answer):
    """One copy of one artifact in one zone."""

    digest: str
    zone: str
    size: int
    media_type: str
    tags: list[str]
    basis: str
    placed_by: str
    placed_at: datetime


class Invitation(Answer):
    """A one-time enrolment token, shown once."""

    token: str
    zone: str
    expires_at: datetime


class Agent(Answer):
    """An enrolled agent."""

    id: uuid.UUID
    zone: str
    name: str
    door: str
    state: str
    enrolled_at: datetime
    seen_at: datetime | None = None


class Job(Answer):
    """Work asked of a zone."""

    id: uuid.UUID
    kind: str
    zone: str
    about: str
    state: str
    requested_by: str
    requested_at: datetime
    attempts: int
    agent: str
    outcome: dict[str, Any]
    error: str
    ended_at: datetime | None


class DatasetVersion(Answer):
    """A dataset version."""

    namespace: str
    name: str
    number: int
    ref: str
    zone: str
    tags: list[str]
    digest: str
    source_digest: str
    quarantine_digest: str | None
    contract: dict[str, Any]
    report: dict[str, Any]
    registered_by: str
    registered_at: datetime


class FeatureViewVersion(Answer):
    """A feature view version."""

    namespace: str
    name: str
    number: int
    ref: str
    zone: str
    tags: list[str]
    digest: str
    dataset_ref: str
    spec: dict[str, Any]
    arrow_schema: list[dict[str, Any]]
    schema_digest: str
    rows: int
    registered_by: str
    registered_at: datetime


class Authorisation(Answer):
    """A standing training authorisation."""

    id: uuid.UUID
    namespace: str
    datasets: list[str]
    purpose: str
    code_digest: str
    zone: str
    budget_runs: int
    runs_used: int
    ends_at: datetime
    requested_by: str
    state: str
    approved_by: str | None


class Model(Answer):
    """A registered model."""

    namespace: str
    name: str
    description: str
    tier: int
    created_by: str
    created_at: datetime


class Version(Answer):
    """A model version."""

    id: uuid.UUID
    namespace: str
    name: str
    number: int
    ref: str
    zone: str
    tags: list[str]
    digest: str
    files: list[dict[str, Any]]
    bases: list[str]
    training: dict[str, Any]
    stage: str
    status: str
    status_message: str
    revoked_because: str | None
    registered_by: str
    registered_at: datetime
    assurance: str = ""  # once in production: independent, or self-attested (not independently approved)


class Evidence(Answer):
    """Evidence about a version."""

    id: uuid.UUID
    about: str
    kind: str
    result: str
    digest: str
    details: dict[str, Any]
    submitted_by: str
    at: datetime


class Approval(Answer):
    """An approval and what it is bound to."""

    id: uuid.UUID
    about: str
    role: str
    approver: str
    meaning: str
    comment: str
    binding: dict[str, Any]
    approved_at: datetime
    expires_at: datetime
    state: str
    state_because: str
    stands_in_for: str
    ticket: dict[str, Any]
    obligations: list[dict[str, Any]]
    answers: list[dict[str, Any]]


class SelfAttestation(Answer):
    """What somebody attested of their own work, and what it is bound to.  Nobody independent approved it."""

    id: uuid.UUID
    about: str
    attester: str
    meaning: str
    checklist: dict[str, str]
    binding: dict[str, Any]
    attested_at: datetime
    expires_at: datetime
    state: str
    state_because: str


class Deployment(Answer):
    """A deployment."""

    id: uuid.UUID
    version_ref: str
    zone: str
    state: str
    because: str
    finding_id: uuid.UUID | None
    endpoint: str
    agent: str
    requested_by: str
    requested_at: datetime
    changed_at: datetime
    approved_until: datetime | None
    runtime: dict[str, Any]
    assurance: str = Assurance.INDEPENDENT.value


class Alias(Answer):
    """An alias."""

    alias: str
    number: int
    set_by: str
    set_at: datetime


class Statement(Answer):
    """A signed statement: the bundle is Sigstore v0.3 JSON."""

    id: uuid.UUID
    about: str
    predicate_type: str
    subjects: list[str]
    identity: str
    issuer: str
    signed_at: datetime
    digest: str
    bundle: str
    degraded: str = Field(default="", description="what is weaker about its signature; empty when nothing is")
