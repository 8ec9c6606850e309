# SPDX-License-Identifier: Apache-2.0
"""Answers about what was in production, and where aliases pointed."""

from __future__ import annotations

from datetime import datetime

from khatim.wire.answers import Answer


class Voice(Answer):
    """Somebody whose approval stood when the period began."""

    role: str
    approver: str


class StagePeriod(Answer):
    """A version stood in a stage from `since` until `until`, null while it does."""

    version: str
    digest: str
    zone: str
    stage: str
    since: datetime
    by: str
    because: str
    policy: str
    approvals: list[Voice]
    until: datetime | None
    ended_by: str
    ended_to: str
    ended_because: str


class AliasMove(Answer):
    """An alias came to point at a version."""

    alias: str
    number: int
    because: str
    moved_by: str
    at: datetime
