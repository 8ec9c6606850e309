# SPDX-License-Identifier: Apache-2.0
"""The events of access: roles on record, and people who are cut off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from audit.events import Event


@dataclass(frozen=True, kw_only=True)
class RoleRequested(Event):
    """Somebody asked that a person or group hold a role for a time."""

    kind: ClassVar[str] = "role.requested"
    subject: str
    role: str
    in_zone: str
    in_namespace: str
    days: int
    reason: str
    ticket: str
    policy: str
    stands_in_for: str = ""


@dataclass(frozen=True, kw_only=True)
class RoleApproved(Event):
    """Another person gave the role until a day."""

    kind: ClassVar[str] = "role.approved"
    subject: str
    role: str
    in_zone: str
    in_namespace: str
    expires_at: str
    because: str
    ticket: str
    statement: str
    policy: str
    stands_in_for: str = ""


@dataclass(frozen=True, kw_only=True)
class RoleEnded(Event):
    """A role on record was taken back or ran out, or its request was turned down."""

    kind: ClassVar[str] = "role.ended"
    subject: str
    role: str
    state: str
    because: str


@dataclass(frozen=True, kw_only=True)
class PersonSuspended(Event):
    """A person was cut off."""

    kind: ClassVar[str] = "person.suspended"
    because: str


@dataclass(frozen=True, kw_only=True)
class PersonRestored(Event):
    """A person who was cut off may come back."""

    kind: ClassVar[str] = "person.restored"
    because: str


@dataclass(frozen=True, kw_only=True)
class ReviewOpened(Event):
    """Somebody asked of every role on record in a scope whether it is still needed."""

    kind: ClassVar[str] = "review.opened"
    role: str
    in_namespace: str
    items: int
    due_at: str
    because: str


@dataclass(frozen=True, kw_only=True)
class ReviewDecided(Event):
    """A reviewer answered for one role on record."""

    kind: ClassVar[str] = "review.decided"
    review: str
    assignment: str
    subject: str
    role: str
    decision: str
    because: str


@dataclass(frozen=True, kw_only=True)
class ReviewClosed(Event):
    """A review is over; what nobody answered for was taken back."""

    kind: ClassVar[str] = "review.closed"
    kept: int
    revoked: int
    lapsed: int
    ended: int


@dataclass(frozen=True, kw_only=True)
class EmergencyRequested(Event):
    """Somebody asked to break the glass: for a role of their own, at once, for some hours."""

    kind: ClassVar[str] = "emergency.requested"
    role: str
    in_zone: str
    in_namespace: str
    hours: int
    reason: str
    ticket: str
    policy: str


@dataclass(frozen=True, kw_only=True)
class EmergencyConfirmed(Event):
    """A second person broke the glass; `review` is the finding that somebody else must resolve."""

    kind: ClassVar[str] = "emergency.confirmed"
    subject: str
    role: str
    in_zone: str
    in_namespace: str
    expires_at: str
    because: str
    ticket: str
    statement: str
    review: str
    policy: str
