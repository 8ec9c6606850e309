# SPDX-License-Identifier: Apache-2.0
"""Policy changes: what is in force, what other rules would change, propose, put in force, withdraw."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping

from khatim.calls import addresses
from khatim.calls.connection import Connection, body
from khatim.wire import requests, rules

_CHANGES = "policy/changes"


class Policies:
    """The rules of an installation, and how they become others."""

    def __init__(self, connection: Connection) -> None:
        """Call through *connection*."""
        self._connection = connection

    def overlay(self) -> rules.Overlay:
        """Return the texts that lie over the shipped rules, by file name, and the digest of all rules."""
        return self._connection.ask(rules.Overlay, "/v1/policy/overlay")

    def simulate(self, files: Mapping[str, str], *, limit: int = 50) -> rules.Simulation:
        """Say what would be decided differently if *files* were the whole overlay; changes nothing.

        The *limit* newest versions are judged.  Raises `Malformed` with file, line and key.
        """
        given = body(rules.SimulatePolicy, files=dict(files), limit=limit)
        return self._connection.send(rules.Simulation, "/v1/policy/simulation", given)

    def propose(self, files: Mapping[str, str], *, because: str, ticket: str = "") -> rules.PolicyChange:
        """Propose *files* as the whole overlay; somebody else puts it in force."""
        given = body(rules.ProposePolicy, files=dict(files), because=because, ticket=ticket)
        return self._connection.send(rules.PolicyChange, f"/v1/{_CHANGES}", given)

    def approve(self, change: str | uuid.UUID, *, because: str) -> rules.PolicyChange:
        """Put rules in force.  Raises `SeparationOfDuties` for one's own, `Conflict` once others are."""
        where = addresses.identified(_CHANGES, change)
        return self._connection.send(rules.PolicyChange, f"{where}/approval", body(requests.Reason, because=because))

    def withdraw(self, change: str | uuid.UUID, *, because: str) -> rules.PolicyChange:
        """Take a proposal back, or turn it down."""
        where = addresses.identified(_CHANGES, change)
        given = body(requests.Reason, because=because)
        return self._connection.send(rules.PolicyChange, f"{where}/withdrawal", given)

    def get(self, change: str | uuid.UUID) -> rules.PolicyChangeWithFiles:
        """Return a policy change with its texts."""
        return self._connection.ask(rules.PolicyChangeWithFiles, addresses.identified(_CHANGES, change))

    def list(self) -> Iterator[rules.PolicyChange]:
        """Yield the policy changes, the newest first, whatever their state."""
        return self._connection.pages(rules.PolicyChange, f"/v1/{_CHANGES}")
