# SPDX-License-Identifier: Apache-2.0
"""Is a training run inside a standing authorisation?  Inside it needs no further approval, outside it is refused.

A standing authorisation is what PDPL Art 5 calls purpose limitation, made checkable: these datasets, for this purpose,
with this code, in this zone, so much, until then.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from khatim.vocabulary import Certainty, Decision, Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How much may be used in all.  None is no limit of that kind; one of the two must stand."""

    runs: int | None = None
    cpu_seconds: float | None = None

    def __post_init__(self) -> None:
        """Refuse a budget without a limit."""
        if self.runs is None and self.cpu_seconds is None:
            raise ValueError("a budget limits runs, CPU seconds or both")
        if (self.runs or 0) < 0 or not (self.cpu_seconds or 0) >= 0:
            raise ValueError("a budget is not negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingAuthorisation:
    """A standing authorisation.  `approver` is empty until another person approved it; `ends` itself is outside.

    `used` is what earlier runs under it have taken, running ones included.
    """

    ref: str
    datasets: frozenset[str]
    purpose: str
    code: Digest
    zone: str
    budget: Budget
    starts: datetime
    ends: datetime
    requester: str
    approver: str = ""
    revoked_at: datetime | None = None
    used_runs: int = 0
    used_cpu_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRun:
    """A run about to start: `datasets` are references with version, `cpu_seconds` the most that it will take."""

    datasets: frozenset[str]
    purpose: str
    code: Digest
    zone: str
    cpu_seconds: float = 0.0


def inside(authorisation: TrainingAuthorisation, run: TrainingRun, at: datetime, *, policy: str = "") -> Decision:
    """Decide whether *run* may start at *at* under *authorisation*; the reason names everything that is outside."""
    outside = tuple(_outside(authorisation, run, at))
    if not outside:
        return Decision(
            allowed=True,
            rule="training/inside",
            reason=f"Inside the standing authorisation {authorisation.ref}.",
            legal_basis="PDPL Art 5",
            certainty=Certainty.SECONDARY,
            policy=policy,
        )
    return Decision(
        allowed=False,
        rule=outside[0][0],
        reason=f"Outside {authorisation.ref}: {'; '.join(words for _, words in outside)}.",
        legal_basis="PDPL Art 5",
        certainty=Certainty.SECONDARY,
        advice="Change the run, or ask for an authorisation that covers it and have another person approve it.",
        policy=policy,
    )


def _outside(authorisation: TrainingAuthorisation, run: TrainingRun, at: datetime) -> list[tuple[str, str]]:
    extra = ", ".join(sorted(run.datasets - authorisation.datasets))
    runs, seconds = authorisation.budget.runs, authorisation.budget.cpu_seconds
    total = authorisation.used_cpu_seconds + run.cpu_seconds
    checks = (
        (bool(authorisation.approver), "training/not-approved", "nobody has approved it"),
        (
            authorisation.approver != authorisation.requester,
            "training/self-approved",
            "it was approved by the person who asked for it",
        ),
        (
            authorisation.revoked_at is None or at < authorisation.revoked_at,
            "training/revoked",
            "it was revoked",
        ),
        (authorisation.starts <= at, "training/not-begun", f"it begins on {authorisation.starts:%Y-%m-%d %H:%M}"),
        (at < authorisation.ends, "training/ended", f"it ended on {authorisation.ends:%Y-%m-%d %H:%M}"),
        (bool(run.datasets), "training/no-dataset", "the run names no dataset"),
        (not extra, "training/dataset", f"it does not cover {extra}"),
        (
            run.purpose == authorisation.purpose,
            "training/purpose",
            f"it is for {authorisation.purpose!r}, not {run.purpose!r}",
        ),
        (run.code == authorisation.code, "training/code", f"it is for code {authorisation.code}, not {run.code}"),
        (run.zone == authorisation.zone, "training/zone", f"it is for zone {authorisation.zone}, not {run.zone}"),
        (
            runs is None or authorisation.used_runs < runs,
            "training/budget-runs",
            f"its budget of {runs} runs is used up",
        ),
        (
            seconds is None or (run.cpu_seconds >= 0 and total <= seconds),
            "training/budget-cpu",
            f"{total:g} CPU seconds would exceed its budget of {seconds if seconds is not None else 0:g}",
        ),
    )
    return [(rule, words) for holds, rule, words in checks if not holds]
