# SPDX-License-Identifier: Apache-2.0
"""What an agent's reports must say at least.  A report is kept as it came; what is named here is read when it comes.

A report that could not be read later would stop every gate that asks for it, so it is refused at the door.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from khatim.wire.requests import DigestText


class Report(BaseModel):
    """A report: strict about what is named, open for more."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)


class Counts(Report):
    """How many rows an ingest took in and how many it put aside."""

    accepted: int = Field(ge=0)
    quarantined: int = Field(ge=0)


class Training(Report):
    """What a training leaves for those who evaluate, serve and watch the model."""

    features: list[str]
    label: str
    holdout: DigestText
    reference: DigestText


class ScannedFile(Report):
    """What a scan says about one file."""

    path: str
    format: str
    verdict: Literal["servable", "record-only", "refused"]
    passed: bool
    reason: str


class Metric(Report):
    """One metric with its confidence interval; None where it could not be computed."""

    value: FiniteFloat | None
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None


class Subgroup(Report):
    """The metrics of some of the rows."""

    rows: int = Field(ge=0)
    metrics: dict[str, Metric]


class TestResult(Report):
    """A test result (in-toto test-result v0.1) with the metrics that it comes from."""

    result: Literal["PASSED", "WARNED", "FAILED"]
    metrics: dict[str, Metric]
    subgroups: dict[str, Subgroup] = {}


class Drift(Report):
    """What one engine says about captured inputs."""

    engine: str
    is_drift: bool
    drifted: list[str]


def _reads(kind: type[Report]) -> AfterValidator:
    def check(value: dict[str, Any]) -> dict[str, Any]:
        try:
            kind.model_validate(value)
        except ValidationError as error:
            told = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_url=False))
            raise ValueError("; ".join(told)) from None
        return value

    return AfterValidator(check)


CountsReport = Annotated[dict[str, Any], _reads(Counts)]
TrainingReport = Annotated[dict[str, Any], _reads(Training)]
FileReport = Annotated[dict[str, Any], _reads(ScannedFile)]
TestReport = Annotated[dict[str, Any], _reads(TestResult)]
DriftReport = Annotated[dict[str, Any], _reads(Drift)]
