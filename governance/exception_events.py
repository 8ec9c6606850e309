# SPDX-License-Identifier: Apache-2.0
"""The events of exceptions: waivers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from audit.events import Event


@dataclass(frozen=True, kw_only=True)
class WaiverRequested(Event):
    """Somebody asked that a requirement be excused for a time."""

    kind: ClassVar[str] = "waiver.requested"
    waiver: str
    rule: str
    days: int
    reason: str
    control: str
    policy: str


@dataclass(frozen=True, kw_only=True)
class WaiverApproved(Event):
    """Another person excused it until a day; the binding names the bytes."""

    kind: ClassVar[str] = "waiver.approved"
    waiver: str
    rule: str
    binding: Mapping[str, Any]
    excuses: Sequence[str]
    expires_at: str
    because: str
    statement: str
    policy: str


@dataclass(frozen=True, kw_only=True)
class WaiverEnded(Event):
    """A waiver was taken back, or ran out."""

    kind: ClassVar[str] = "waiver.ended"
    waiver: str
    rule: str
    state: str
    because: str
