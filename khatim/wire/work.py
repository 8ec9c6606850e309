# SPDX-License-Identifier: Apache-2.0
"""What agents and the server say to each other.  An agent's zone is never a field: it comes from its identity."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from khatim.wire.reports import CountsReport, DriftReport, FileReport, TestReport, TrainingReport
from khatim.wire.requests import DigestText, ManifestFile, MediaType, Request


class Enrol(Request):
    """Redeem a one-time token, which goes into the Authorization header."""

    name: str = Field(min_length=1, max_length=100)
    door: str = Field(pattern=r"^https?://[^\s/]+$", max_length=300)
    proof: str = Field(min_length=1, max_length=4000)  # by the agent's own key, for this token (RFC 9449)


class Renew(Request):
    """Renew an identity, and say where the zone's door is now."""

    door: str = Field(pattern=r"^https?://[^\s/]+$", max_length=300)


class Placed(Request):
    """The zone's store holds these bytes now."""

    digest: DigestText
    size: int = Field(ge=0)
    media_type: MediaType = "application/octet-stream"
    ticket: str = ""


class Heartbeat(Request):
    """Renew a lease."""

    fence: int


class Failed(Request):
    """The job could not be done; `retry` puts it back into the queue."""

    fence: int
    error: str = Field(max_length=8000)
    problem: dict[str, Any] = Field(default_factory=dict)
    retry: bool = False


class Ingested(Request):
    """Outcome of an ingest job."""

    kind: Literal["ingest"] = "ingest"
    data: Placed
    quarantine: Placed | None
    report: CountsReport
    statement: str


class Materialised(Request):
    """Outcome of a materialise job."""

    kind: Literal["materialise"] = "materialise"
    data: Placed
    arrow_schema: list[dict[str, Any]]
    schema_digest: DigestText
    rows: int
    statement: str


class Trained(Request):
    """Outcome of a training job."""

    kind: Literal["train"] = "train"
    files: list[ManifestFile]
    placed: list[Placed]
    training: TrainingReport
    provenance: str
    model_signature: str


class Scanned(Request):
    """Outcome of a scan job."""

    kind: Literal["scan"] = "scan"
    passed: bool
    files: list[FileReport]
    statement: str


class Evaluated(Request):
    """Outcome of an evaluation job."""

    kind: Literal["evaluate"] = "evaluate"
    evaluation: TestReport
    statement: str


class Deployed(Request):
    """Outcome of a deployment job: what the runner verified before it answered."""

    kind: Literal["deploy"] = "deploy"
    endpoint: str
    providers: list[str]
    verification: dict[str, Any]
    statement: str


class Monitored(Request):
    """Outcome of a monitor job: one result per engine."""

    kind: Literal["monitor"] = "monitor"
    results: list[DriftReport]
    captured: int


Outcome = Ingested | Materialised | Trained | Scanned | Evaluated | Deployed | Monitored


class Halted(Request):
    """The agent took an endpoint down by itself, because of the list of revocations with this number."""

    because: str = Field(min_length=3, max_length=8000)
    number: int = Field(ge=0)


class Paused(Request):
    """By what was agreed for it, an endpoint did not answer since a moment, and until another when it does again."""

    because: str = Field(min_length=3, max_length=8000)
    since: datetime
    until: datetime | None = None


class Complete(Request):
    """A job's outcome under its fence."""

    fence: int
    outcome: Outcome = Field(discriminator="kind")


class Answer(BaseModel):
    """An answer to an agent."""

    model_config = ConfigDict(frozen=True)


class Identity(Answer):
    """An agent's short-lived identity and what it needs to verify others."""

    agent: str
    zone: str
    token: str
    expires_at: datetime
    issuer: str
    instance: str
    token_key: str
    trusted_root: dict[str, Any]
    trust: int = 0  # the number of that root


class Work(Answer):
    """A claimed job: the envelope is a token that binds job, zone, fence and the digest of the specification."""

    id: str
    kind: str
    about: str
    spec: dict[str, Any]
    fence: int
    lease_until: datetime
    envelope: str


class Lease(Answer):
    """The answer to a heartbeat."""

    order: Literal["continue", "cancel"]
    lease_until: datetime


class EndpointOrder(Answer):
    """What an agent's endpoint must do now."""

    deployment: str
    version: str
    state: str
    because: str
    finding: str


class TrustSteps(Answer):
    """The signed steps from the trusted root that was asked from to the present one, which has this number."""

    number: int
    links: list[str]


class Orders(Answer):
    """The state of every deployment of the agent's zone at one moment."""

    at: datetime
    endpoints: list[EndpointOrder]
    trust: int = 0  # the number of the trusted root; an agent that knows a smaller one fetches the steps to it
    revocations: int = 0  # the number of the newest; an agent that knows a smaller one fetches the list
    status: str = ""  # the mark of the signed status; an agent that knows another fetches it


class SignedStatus(Answer):
    """The status of the zone's endpoints as the registry signed it (a Sigstore bundle), and its mark."""

    mark: str
    bundle: str
