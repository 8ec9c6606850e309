# SPDX-License-Identifier: Apache-2.0
"""One select each, over what is decided."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import TypeVar

from sqlalchemy import select

from audit.transaction import Reader
from governance.tables import Approval, Authorisation, Deployment, Evidence, Finding, Job, MonitorRun
from khatim.errors import Malformed, NotFound
from khatim.vocabulary import Action
from registry.queries import PAGE_LIMIT, decode_cursor, encode_cursor

Identified = TypeVar("Identified", Authorisation, Deployment, Finding, Job)


def identified(reader: Reader, table: type[Identified], name: str, *, for_update: bool = False) -> Identified:
    """Return the row that the id *name* means, if the actor may read it; raises `NotFound`."""
    noun = table.__name__.lower()
    try:
        key = uuid.UUID(name)
    except ValueError as error:
        raise NotFound(f"there is no {noun} {name[:80]!r}") from error
    query = select(table).where(table.id == key)
    row = reader.scalar(query.with_for_update() if for_update else query)
    if row is None:
        raise NotFound(f"there is no {noun} {name}")
    reader.require(Action.READ, row.resource)
    found: Identified = row
    return found


def page_of(
    reader: Reader, table: type[Identified], *, cursor: str = "", limit: int = 50
) -> tuple[list[Identified], str | None]:
    """Return one page, newest first (ids are UUIDv7, so id order is time order), and the next cursor."""
    limit = min(max(limit, 1), PAGE_LIMIT)
    query = select(table).order_by(table.id.desc()).limit(limit + 1)
    if cursor:
        query = query.where(table.id < _id_of(cursor))
    found = list(reader.scalars(query))
    following = encode_cursor(str(found[limit - 1].id)) if len(found) > limit else None
    return [row for row in found[:limit] if reader.may(Action.READ, row.resource)], following


def _id_of(cursor: str) -> uuid.UUID:
    try:
        return uuid.UUID(decode_cursor(cursor, str)[0])
    except ValueError as error:
        raise Malformed("the cursor belongs to another list", advice="Start again without a cursor.") from error


def evidence_of(reader: Reader, ref: str) -> list[Evidence]:
    """Return the evidence about *ref*, oldest first."""
    return list(reader.scalars(select(Evidence).where(Evidence.about == ref).order_by(Evidence.id)))


def approvals_of(reader: Reader, ref: str) -> list[Approval]:
    """Return the approvals of *ref*, oldest first, whatever their state."""
    return list(reader.scalars(select(Approval).where(Approval.about == ref).order_by(Approval.id)))


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
