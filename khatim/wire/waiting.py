# SPDX-License-Identifier: Apache-2.0
"""Answers about what waits for somebody."""

from __future__ import annotations

from datetime import datetime

from khatim.wire.answers import Answer


class Waits(Answer):
    """One thing that waits for the caller: what it is, since when, by when, and the command that answers it."""

    kind: str
    ref: str
    title: str
    since: datetime
    due: datetime | None
    command: str


class Waiting(Answer):
    """Everything that waits for the caller; `mark` differs when the list does."""

    mark: str
    items: list[Waits]
