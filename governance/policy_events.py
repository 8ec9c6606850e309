# SPDX-License-Identifier: Apache-2.0
"""The events of policy changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from audit.events import Event


@dataclass(frozen=True, kw_only=True)
class PolicyProposed(Event):
    """Somebody proposed other rules; `files` are the digests of the texts by name."""

    kind: ClassVar[str] = "policy.proposed"
    base: str
    digest: str
    files: Mapping[str, str]
    reason: str
    ticket: str


@dataclass(frozen=True, kw_only=True)
class PolicyActivated(Event):
    """Another person put them in force."""

    kind: ClassVar[str] = "policy.activated"
    replaces: str
    digest: str
    files: Mapping[str, str]
    because: str
    ticket: str
    statement: str
    approvals: int


@dataclass(frozen=True, kw_only=True)
class PolicyWithdrawn(Event):
    """A proposal was taken back or turned down."""

    kind: ClassVar[str] = "policy.withdrawn"
    digest: str
    because: str


@dataclass(frozen=True, kw_only=True)
class PolicyLoaded(Event):
    """Workers apply other rules than before: those of `change`, or without one what is shipped and configured."""

    kind: ClassVar[str] = "policy.loaded"
    digest: str
    replaces: str
    change: str
