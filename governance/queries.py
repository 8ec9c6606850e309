# SPDX-License-Identifier: Apache-2.0
"""One select each, over what is decided."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from audit.transaction import Reader
from governance.tables import SELF, Approval, Deployment, Evidence, Finding, MonitorRun
from governance.waiver_tables import Waiver
from registry import identified as by_id

identified, page_of = by_id.one, by_id.page


def evidence_of(reader: Reader, ref: str) -> list[Evidence]:
    """Return the evidence about *ref*, oldest first."""
    return list(reader.scalars(select(Evidence).where(Evidence.about == ref).order_by(Evidence.id)))


def approvals_of(reader: Reader, ref: str) -> list[Approval]:
    """Return the approvals of *ref*, oldest first, whatever their state."""
    return [row for row in given_to(reader, ref) if row.role != SELF]


def attestations_of(reader: Reader, ref: str) -> list[Approval]:
    """Return the self-attestations of a version, oldest first."""
    return [row for row in given_to(reader, ref) if row.role == SELF]


def given_to(reader: Reader, ref: str) -> list[Approval]:
    """Return approvals and self-attestations of a version, oldest first."""
    return list(reader.scalars(select(Approval).where(Approval.about == ref).order_by(Approval.id)))


def waivers_of(reader: Reader, ref: str) -> list[Waiver]:
    """Return the waivers of *ref*, oldest first, whatever their state."""
    return list(reader.scalars(select(Waiver).where(Waiver.about == ref).order_by(Waiver.id)))


def approvals_of_many(reader: Reader, refs: Sequence[str]) -> list[Approval]:
    """Return the approvals of several references in one query."""
    return list(reader.scalars(select(Approval).where(Approval.about.in_(refs)).order_by(Approval.id)))


def deployments_of(reader: Reader, version_ref: str) -> list[Deployment]:
    """Return the deployments of a version, oldest first."""
    query = select(Deployment).where(Deployment.version_ref == version_ref).order_by(Deployment.id)
    return list(reader.scalars(query))


def deployments_in(reader: Reader, zone: str) -> list[Deployment]:
    """Return the deployments of a zone that an agent must know about, oldest first."""
    query = select(Deployment).where(Deployment.zone == zone, Deployment.state != "requested")
    return list(reader.scalars(query.order_by(Deployment.id)))


def findings_about(reader: Reader, refs: Sequence[str]) -> list[Finding]:
    """Return the findings about any of *refs*, oldest first."""
    return list(reader.scalars(select(Finding).where(Finding.about.in_(refs)).order_by(Finding.number)))


def monitor_runs_of(reader: Reader, deployment: Deployment) -> list[MonitorRun]:
    """Return the monitor runs of a deployment, oldest first."""
    query = select(MonitorRun).where(MonitorRun.deployment_id == deployment.id).order_by(MonitorRun.id)
    return list(reader.scalars(query))
