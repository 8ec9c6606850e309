# SPDX-License-Identifier: Apache-2.0
"""What the ledger is told about deployments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from audit.events import Event


@dataclass(frozen=True, kw_only=True)
class DeploymentRequested(Event):
    """Somebody asked that a version serve in a zone, and residency and gate allowed it."""

    kind: ClassVar[str] = "deployment.requested"
    subject: str
    purpose: str
    rule: str
    because: str
    policy: str
    runtime: Mapping[str, Any]
    approved_until: str
    assurance: str = ""


@dataclass(frozen=True, kw_only=True)
class DeploymentChanged(Event):
    """A deployment serves, was refused by its runner, is suspended or stopped."""

    kind: ClassVar[str] = "deployment.changed"
    subject: str
    state: str
    because: str = ""
    endpoint: str = ""
    finding: str = ""
    verification: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class DeploymentRenewed(Event):
    """The approvals of what serves stand longer than they did: somebody approved again."""

    kind: ClassVar[str] = "deployment.renewed"
    subject: str
    until: str


@dataclass(frozen=True, kw_only=True)
class DeploymentExpiring(Event):
    """The approvals of what serves end within so many days, unless somebody approves again."""

    kind: ClassVar[str] = "deployment.expiring"
    subject: str
    until: str
    days: int
