# SPDX-License-Identifier: Apache-2.0
"""What callers send.  Unknown members are refused: a misspelt condition must not silently be no condition."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from khatim.vocabulary import FileRole, Revoked, Role, Stage

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$")]
Path = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._-]*@[1-9][0-9]{0,8}$")]
DigestText = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
Because = Annotated[str, StringConstraints(min_length=3, max_length=2000, strip_whitespace=True)]
# What for: as the transfer authorisation says that opens the way, where one is needed.
Purpose = Annotated[str, StringConstraints(max_length=2000, strip_whitespace=True)]
MediaType = Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]{1,200}$")]
Tag = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]


class Request(BaseModel):
    """A request body: frozen, no unknown members."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Upload(Request):
    """Bring bytes into a zone; *namespace* is who they are for, empty for the whole installation."""

    zone: Name
    digest: DigestText
    size: int = Field(ge=0)
    media_type: MediaType = "application/octet-stream"
    tags: list[Tag] = []
    purpose: Purpose = ""
    namespace: Name | Literal[""] = ""


class Download(Request):
    """Take bytes out of a zone's store, to be read in `to_zone`."""

    zone: Name
    digest: DigestText
    to_zone: Name
    purpose: Purpose = ""


class Ingest(Request):
    """Make a dataset version of an uploaded file; `contract` is a data contract (khatim.contracts)."""

    zone: Name
    source: DigestText
    contract: dict[str, Any]


class Materialise(Request):
    """Make a feature view version from a dataset version; `spec` is a feature view (khatim.contracts)."""

    dataset: Path
    spec: dict[str, Any]


class Authorisation(Request):
    """Ask for a standing training authorisation."""

    namespace: Name
    datasets: list[Path] = Field(min_length=1)
    purpose: Because
    code_digest: DigestText
    zone: Name
    budget_runs: int = Field(ge=1, le=10_000)
    ends_at: datetime


class Reason(Request):
    """Why."""

    because: Because


class Revoke(Request):
    """Revoke a statement, key, identity or artifact; `since` is the cut-off, by default now."""

    kind: Revoked
    target: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    because: Because
    since: AwareDatetime | None = None
    from_the_beginning: bool = False


class Train(Request):
    """Train a version of `model` inside a standing authorisation."""

    authorisation: str
    features: Path
    model: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._-]*$")]
    purpose: Because
    code_digest: DigestText
    parameters: dict[str, int | float | str] = {}
    holdout_share: float = Field(default=0.3, gt=0, lt=1)
    seed: int = Field(default=0, ge=0, lt=2**32)


class ManifestFile(Request):
    """One file of a model version, or a reference to another version by digest (role weights, a base model)."""

    path: str = Field(min_length=1, max_length=500)
    digest: DigestText
    size: int = Field(ge=0)
    role: FileRole = FileRole.WEIGHTS


class Register(Request):
    """Register a model version whose files are in the zone already."""

    zone: Name
    files: list[ManifestFile] = Field(min_length=1, max_length=1000)
    parents: list[str] = []
    bases: list[DigestText] = []
    tags: list[Tag] = []


class CreateModel(Request):
    """Create a registered model; tier 1 is the highest risk."""

    description: str = Field(default="", max_length=5000)
    tier: int = Field(default=2, ge=1, le=3)


class Evaluate(Request):
    """Evaluate a version on its held-out data.

    Thresholds name metrics: ``{"roc_auc": {"min": 0.95, "interval": true}}``; subgroups name rows:
    ``{"large": {"column": "mean_radius", "quantile": [0.5, 1.0]}}``.
    """

    thresholds: dict[str, dict[str, float | bool]] = {"roc_auc": {"min": 0.95}}
    subgroups: dict[str, dict[str, Any]] = {}


class Obligation(Request):
    """What must be done by when for an approval to go on."""

    text: Because
    due_at: AwareDatetime


class ChangeTicket(Request):
    """A change ticket as the approver sees it now: its id, its state there, its title and address."""

    id: Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,100}$")]
    state: str = Field(default="", max_length=100)
    title: str = Field(default="", max_length=300)
    url: Annotated[str, StringConstraints(pattern=r"^(https://[!-~]{1,500})?$")] = ""


class Answered(Request):
    """Say how obligation *number* (from 1) of a conditional approval was met."""

    number: int = Field(ge=1, le=20)
    said: Because


class Approve(Request):
    """Approve a version in one role; with obligations until the first of them is due."""

    role: Role
    meaning: Because
    comment: str = Field(default="", max_length=5000)
    valid_days: int = Field(default=365, ge=1, le=1096)
    ticket: ChangeTicket | None = None
    obligations: list[Obligation] = Field(default=[], max_length=20)
    seen: DigestText | Literal[""] = ""  # the binding that was looked at, as the gate's report names it


class SelfAttest(Request):
    """Say of one's own work that every item of the profile's checklist was looked at; it is no approval."""

    checked: list[Name] = Field(max_length=50)
    meaning: Because
    valid_days: int = Field(default=90, ge=1, le=366)


class Promote(Request):
    """Move a version to another stage."""

    to: Stage
    because: Because


class SetAlias(Request):
    """Point an alias at a version number; `because` stands in its history."""

    because: Annotated[str, StringConstraints(max_length=2000, strip_whitespace=True)] = ""

    number: int = Field(ge=1)


class Deploy(Request):
    """Serve a version in a zone."""

    version: Path
    zone: Name
    purpose: Purpose = ""


class Invite(Request):
    """Make a one-time enrolment token for an agent of a zone."""

    zone: Name
    ttl_s: int = Field(default=600, ge=10, le=86_400)
