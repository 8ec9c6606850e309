# SPDX-License-Identifier: Apache-2.0
"""Registered models, their versions and aliases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from audit.transaction import Transaction
from khatim.errors import AlreadyExists, Conflict
from khatim.vocabulary import Action, ActorKind, Resource, Stage, VersionStatus
from registry import lineage, manifests, queries
from registry.events import ModelCreated, VersionRegistered, VersionRevoked, VersionScanned
from registry.naming import checked
from registry.tables import Model, ModelVersion, Statement


def create_model(tx: Transaction, namespace: str, name: str, *, description: str = "", tier: int = 2) -> Model:
    """Create a registered model; raises `AlreadyExists`."""
    tx.require(Action.VERSION_REGISTER, Resource("model", checked(name, "model"), checked(namespace, "namespace")))
    tx.lock(f"model:{namespace}/{name}")
    if _model(tx, namespace, name) is not None:
        raise AlreadyExists(f"the model {namespace}/{name} exists already")
    return _created(tx, namespace, name, description=description, tier=tier, by=tx.actor.ref)


def register(  # noqa: PLR0913 - a version is its manifest, its parents, its training and its zone
    tx: Transaction,
    namespace: str,
    name: str,
    manifest: Mapping[str, Any],
    *,
    zone: str,
    tags: Sequence[str],
    parents: Sequence[tuple[str, str]],
    by: str,
    training: Mapping[str, Any] | None = None,
) -> ModelVersion:
    """Register the next version of a model: PENDING_REGISTRATION until its files are scanned.

    A person registers for themselves; an agent reports what a training job made, *by* being who asked for it.
    """
    asked = Action.JOB_REPORT if tx.actor.kind is ActorKind.AGENT else Action.VERSION_REGISTER
    tx.require(asked, Resource("version", name, checked(namespace, "namespace"), zone, frozenset(tags)))
    tx.lock(f"model:{namespace}/{checked(name, 'model')}")
    model = _model(tx, namespace, name) or _created(tx, namespace, name, description="", tier=2, by=by)
    row = ModelVersion(
        id=tx.new_id(),
        model_id=model.id,
        namespace=namespace,
        name=name,
        number=queries.next_number(tx, ModelVersion, namespace, name),
        zone=zone,
        tags=sorted(set(tags)),
        digest=str(manifests.digest_of(manifest)),
        manifest=dict(manifest),
        training=dict(training or {}),
        stage=Stage.NONE.value,
        status=VersionStatus.PENDING.value,
        status_message="waiting for the scan of its files",
        revoked_because=None,
        registered_by=by,
        registered_at=tx.now,
    )
    tx.add(row)
    lineage.draw(tx, row.ref, parents)
    tx.record(
        VersionRegistered(
            about=row.ref,
            namespace=namespace,
            zone=zone,
            digest=row.digest,
            files=[{key: file[key] for key in ("path", "digest", "role", "format")} for file in row.files],
            parents=[parent for parent, _ in parents],
            tags=row.tags,
        )
    )
    return row


def mark_scanned(
    tx: Transaction, version: ModelVersion, *, findings: Sequence[Mapping[str, Any]], failure: str, statement: Statement
) -> ModelVersion:
    """Make a pending version READY, or FAILED with the reason.  The actor is the zone's agent."""
    tx.require(Action.JOB_REPORT, version.resource)
    if version.status != VersionStatus.PENDING.value:
        raise Conflict(f"{version.path} was scanned already: {version.status}")
    version.status = (VersionStatus.FAILED if failure else VersionStatus.READY).value
    version.status_message = failure
    tx.record(
        VersionScanned(
            about=version.ref,
            namespace=version.namespace,
            zone=version.zone,
            status=version.status,
            findings=findings,
            statement=str(statement.id),
        )
    )
    return version


def give_up_scan(tx: Transaction, version: ModelVersion, *, because: str) -> ModelVersion:
    """Let a pending version fail because its files could not be scanned; the calling verb asked the permission."""
    version.status, version.status_message = VersionStatus.FAILED.value, f"not scanned: {because}"
    tx.record(
        VersionScanned(
            about=version.ref,
            namespace=version.namespace,
            zone=version.zone,
            status=version.status,
            because=version.status_message,
        )
    )
    return version


def revoke(tx: Transaction, version: ModelVersion, *, because: str) -> ModelVersion:
    """Revoke a version for good; runners stop it within seconds."""
    tx.require(Action.VERSION_REVOKE, version.resource)
    if version.revoked_because is not None:
        raise Conflict(f"{version.path} is revoked already: {version.revoked_because}")
    version.revoked_because = because
    tx.record(VersionRevoked(about=version.ref, namespace=version.namespace, zone=version.zone, because=because))
    return version


def _model(tx: Transaction, namespace: str, name: str) -> Model | None:
    row: Model | None = tx.scalar(select(Model).where(Model.namespace == namespace, Model.name == name))
    return row


def _created(  # noqa: PLR0913 - the columns of one model
    tx: Transaction, namespace: str, name: str, *, description: str, tier: int, by: str
) -> Model:
    row = Model(
        id=tx.new_id(),
        namespace=namespace,
        name=name,
        description=description,
        tier=tier,
        created_by=by,
        created_at=tx.now,
    )
    tx.add(row)
    tx.record(ModelCreated(about=row.ref, namespace=namespace, tier=tier))
    return row
