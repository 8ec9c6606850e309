# SPDX-License-Identifier: Apache-2.0
"""Answers about what was revoked: rows, the signed list, and what a revocation would reach."""

from __future__ import annotations

import uuid
from datetime import datetime

from khatim.wire.answers import Answer, Deployment, Job


class Revocation(Answer):
    """One revocation, or the lifting of one (`lifts` is its number); `since` null is from the beginning."""

    id: uuid.UUID
    number: int
    kind: str
    target: str
    about: str
    since: datetime | None
    because: str
    lifts: int | None
    recorded_by: str
    recorded_at: datetime


class SignedList(Answer):
    """The registry's signed list of revocations: `bundle` is Sigstore v0.3 JSON, `number` that of the newest row."""

    number: int
    bundle: str


class Struck(Answer):
    """A statement that a revocation strikes."""

    id: uuid.UUID
    about: str
    predicate_type: str
    identity: str
    signed_at: datetime
    digest: str


class Touched(Answer):
    """What a revocation reaches: statements that fall, versions made from it, deployments of these, work under way."""

    statements: list[Struck]
    versions: list[str]
    deployments: list[Deployment]
    jobs: list[Job]
