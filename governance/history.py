# SPDX-License-Identifier: Apache-2.0
"""The history of stages and aliases: what was in production at a moment, since when, by whom, in one query."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from audit.transaction import Reader, Transaction
from governance.history_tables import AliasMove, StageChange
from governance.tables import Approval
from khatim.vocabulary import Stage
from khatim.wire import history as wire
from registry import queries as registered
from registry.tables import ModelVersion

PAGE = 500


def note(tx: Transaction, version: ModelVersion, stage: str, *, because: str, policy: str = "") -> None:
    """Add that *version* came into *stage*; the calling verb asked the permission and records the event."""
    tx.add(
        StageChange(
            id=tx.new_id(), namespace=version.namespace, model=version.name, version_ref=version.ref,
            digest=version.digest, zone=version.zone, stage=stage, because=because, policy=policy,
            changed_by=tx.actor.ref, at=tx.now,
        )
    )  # fmt: skip


def stages_of(
    reader: Reader, namespace: str, name: str, *, stage: Stage = Stage.PRODUCTION, at: datetime | None = None
) -> list[wire.StagePeriod]:
    """Return which versions of a model stood in *stage*, newest first; with *at*, those that stood there then."""
    registered.model(reader, namespace, name)
    changes = _periods(namespace, name)
    approvers = (
        select(func.json_agg(func.json_build_object("role", Approval.role, "approver", Approval.approver)))
        .where(Approval.about == changes.c.version_ref, Approval.approved_at <= changes.c.at)
        .where(Approval.expires_at > changes.c.at)
        .scalar_subquery()
    )
    query = select(changes, approvers.label("approvals")).where(changes.c.stage == stage.value)
    if at is not None:
        query = query.where(changes.c.at <= at, (changes.c.until.is_(None)) | (changes.c.until > at))
    rows = reader.rows(query.order_by(changes.c.at.desc(), changes.c.id.desc()).limit(PAGE))
    return [_period(row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name of a row as a mapping


def moves_of(reader: Reader, namespace: str, name: str, alias: str) -> list[AliasMove]:
    """Return where an alias pointed, newest first."""
    registered.model(reader, namespace, name)
    key = (AliasMove.namespace == namespace, AliasMove.model == name, AliasMove.alias == alias)
    return list(reader.scalars(select(AliasMove).where(*key).order_by(AliasMove.id.desc()).limit(PAGE)))


def _periods(namespace: str, name: str) -> Any:
    """Return every change with what ended it: the next change of the same version."""
    window: dict[str, Any] = {"partition_by": StageChange.version_ref, "order_by": (StageChange.at, StageChange.id)}
    return (
        select(
            StageChange,
            func.lead(StageChange.at).over(**window).label("until"),
            func.lead(StageChange.changed_by).over(**window).label("ended_by"),
            func.lead(StageChange.stage).over(**window).label("ended_to"),
            func.lead(StageChange.because).over(**window).label("ended_because"),
        )
        .where(StageChange.namespace == namespace, StageChange.model == name)
        .subquery()
    )


def _period(row: Any) -> wire.StagePeriod:
    return wire.StagePeriod(
        version=row["version_ref"].partition(":")[2],
        digest=row["digest"],
        zone=row["zone"],
        stage=row["stage"],
        since=row["at"],
        by=row["changed_by"],
        because=row["because"],
        policy=row["policy"],
        approvals=row["approvals"] or [],
        until=row["until"],
        ended_by=row["ended_by"] or "",
        ended_to=row["ended_to"] or "",
        ended_because=row["ended_because"] or "",
    )
