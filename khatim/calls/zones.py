# SPDX-License-Identifier: Apache-2.0
"""Zones, and the agents that work in them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from khatim.calls import addresses
from khatim.calls.connection import Connection, body
from khatim.wire import answers, requests


class Zones:
    """Where bytes can be, by the policy of this installation."""

    def __init__(self, connection: Connection) -> None:
        """Call through *connection*."""
        self._connection = connection

    def list(self) -> Iterator[answers.Zone]:
        """Yield every zone."""
        return self._connection.pages(answers.Zone, "/v1/zones")


class Agents:
    """The processes that do the zones' work."""

    def __init__(self, connection: Connection) -> None:
        """Call through *connection*."""
        self._connection = connection

    def list(self) -> Iterator[answers.Agent]:
        """Yield the agents, newest first, with when each was last heard of."""
        return self._connection.pages(answers.Agent, "/v1/agents")

    def invite(self, zone: str, *, ttl_s: int = 600) -> answers.Invitation:
        """Make a one-time enrolment token for an agent of *zone*, valid for *ttl_s* seconds; it is shown once."""
        given = body(requests.Invite, zone=zone, ttl_s=ttl_s)
        return self._connection.send(answers.Invitation, "/v1/agents/invitations", given)

    def retire(self, agent: str | uuid.UUID, *, because: str) -> answers.Agent:
        """Retire an agent: its identity is refused from now on."""
        where = addresses.identified("agents", agent)
        return self._connection.send(answers.Agent, f"{where}/retirement", body(requests.Reason, because=because))
