# SPDX-License-Identifier: Apache-2.0
"""What runs: deployments, the monitors that watch them, and the findings that monitors open."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from datetime import datetime

from khatim.calls import addresses
from khatim.calls.connection import PAGE, Connection, body
from khatim.errors import Unavailable, VerificationFailed
from khatim.vocabulary import Severity
from khatim.wire import answers, requests
from khatim.wire import findings as wire

POLL_S = 0.1
REQUESTED, REFUSED = "requested", "refused"


class Deployments:
    """Versions that serve in a zone."""

    def __init__(self, connection: Connection) -> None:
        """Call through *connection*."""
        self._connection = connection

    def request(self, version: str, *, zone: str, purpose: str = "") -> answers.Deployment:
        """Ask that *version* serve in *zone*; `wait` until its runner has verified and loaded it.

        *purpose* is that of the transfer authorisation, where one opens the way.

        Raises `ResidencyRefused` with rule, legal basis and certainty, or `GateNotSatisfied`.
        """
        given = body(requests.Deploy, version=addresses.numbered(version), zone=zone, purpose=purpose)
        return self._connection.send(answers.Deployment, "/v1/deployments", given)

    def get(self, deployment: str | uuid.UUID) -> answers.Deployment:
        """Return one deployment."""
        return self._connection.ask(answers.Deployment, addresses.identified("deployments", deployment))

    def list(self) -> Iterator[answers.Deployment]:
        """Yield the deployments, newest first."""
        return self._connection.pages(answers.Deployment, "/v1/deployments", {"limit": PAGE})

    def wait(self, deployment: str | uuid.UUID, *, timeout_s: float = 120) -> answers.Deployment:
        """Return the deployment when its runner has answered.

        Raises `VerificationFailed` with the runner's reason when it refused to serve, `Unavailable` after *timeout_s*.
        """
        until = time.monotonic() + timeout_s
        while (found := self.get(deployment)).state == REQUESTED:
            if time.monotonic() > until:
                raise Unavailable(
                    f"deployment {found.id} did not start in {timeout_s:g} s",
                    advice=f"Does an agent run in zone {found.zone}?",
                )
            self._connection.sleep(POLL_S)
        if found.state == REFUSED:
            raise VerificationFailed(f"the runner refused to serve {found.version_ref}: {found.because}")
        return found

    def stop(self, deployment: str | uuid.UUID, *, because: str) -> answers.Deployment:
        """Stop a deployment; its endpoint is gone within seconds."""
        where = addresses.identified("deployments", deployment)
        return self._connection.send(answers.Deployment, f"{where}/stop", body(requests.Reason, because=because))


class Monitors:
    """Comparisons of what flows through an endpoint with what its model learnt from."""

    def __init__(self, connection: Connection) -> None:
        """Call through *connection*."""
        self._connection = connection

    def run(self, deployment: str | uuid.UUID) -> answers.Job:
        """Ask the deployment's zone to compare; drift opens a finding, and what follows is policy."""
        where = addresses.identified("deployments", deployment)
        return self._connection.send(answers.Job, f"{where}/monitor-runs")


class Findings:
    """What monitors, the ledger or people found, until a person resolves it."""

    def __init__(self, connection: Connection) -> None:
        """Call through *connection*."""
        self._connection = connection

    def get(self, finding: str | uuid.UUID) -> wire.Finding:
        """Return one finding."""
        return self._connection.ask(wire.Finding, addresses.identified("findings", finding))

    def list(self) -> Iterator[wire.Finding]:
        """Yield the findings, newest first."""
        return self._connection.pages(wire.Finding, "/v1/findings", {"limit": PAGE})

    def open(
        self,
        about: str,
        *,
        severity: Severity | str,
        summary: str,
        owner: str = "",
        due_at: datetime | None = None,
        suspend: bool = False,
    ) -> wire.Finding:
        """Open a finding about ``version:…`` or ``deployment:…``; *suspend*: its approvals do not count."""
        given = body(
            wire.OpenFinding, about=about, severity=severity, summary=summary, owner=owner, due_at=due_at,
            suspend=suspend,
        )  # fmt: skip
        return self._connection.send(wire.Finding, "/v1/findings", given)

    def assign(
        self, finding: str | uuid.UUID, *, owner: str, because: str, due_at: datetime | None = None
    ) -> wire.Finding:
        """Let *owner* answer for a finding, by *due_at* when it is given."""
        where = addresses.identified("findings", finding)
        given = body(wire.AssignFinding, owner=owner, because=because, due_at=due_at)
        return self._connection.send(wire.Finding, f"{where}/assignment", given)

    def resolve(self, finding: str | uuid.UUID, *, because: str) -> wire.Finding:
        """Resolve a finding: what it suspended counts again."""
        where = addresses.identified("findings", finding)
        return self._connection.send(wire.Finding, f"{where}/resolution", body(requests.Reason, because=because))
