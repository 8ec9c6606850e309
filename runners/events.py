# SPDX-License-Identifier: Apache-2.0
"""The events of agents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from audit.events import Event


@dataclass(frozen=True, kw_only=True)
class AgentInvited(Event):
    """A one-time enrolment token for a zone was issued."""

    kind: ClassVar[str] = "agent.invited"
    token: str
    expires_at: str


@dataclass(frozen=True, kw_only=True)
class AgentEnrolled(Event):
    """An agent redeemed the token and holds an identity bound to its zone."""

    kind: ClassVar[str] = "agent.enrolled"
    token: str
    key: str  # SHA-256 of the public key that the signer keeps for it, hexadecimal


@dataclass(frozen=True, kw_only=True)
class AgentMoved(Event):
    """An agent's zone door has another address."""

    kind: ClassVar[str] = "agent.moved"
    before: str
    door: str


@dataclass(frozen=True, kw_only=True)
class AgentRetired(Event):
    """An agent may not work any more."""

    kind: ClassVar[str] = "agent.retired"
    because: str


@dataclass(frozen=True, kw_only=True)
class EndpointHalted(Event):
    """An agent took an endpoint down by itself because of the signed list of revocations with that number."""

    kind: ClassVar[str] = "endpoint.halted"
    agent: str
    because: str
    number: int


@dataclass(frozen=True, kw_only=True)
class EndpointPaused(Event):
    """An agent let an endpoint not answer, by what was agreed for it; `until` when it answers again."""

    kind: ClassVar[str] = "endpoint.paused"
    agent: str
    because: str
    since: str
    until: str = ""
