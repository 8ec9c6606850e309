# SPDX-License-Identifier: Apache-2.0
"""Dataset versions and feature view versions: immutable, signed, in one zone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from audit.transaction import Transaction
from khatim.vocabulary import Action, Resource
from registry import lineage, queries
from registry.events import DatasetRegistered, FeaturesRegistered
from registry.tables import DatasetVersion, FeatureViewVersion


@dataclass(frozen=True)
class Snapshot:
    """What an ingest made: digests, the contract it was checked against, and the report."""

    digest: str
    source_digest: str
    quarantine_digest: str | None
    contract: Mapping[str, Any]
    report: Mapping[str, Any]
    tags: Sequence[str]


@dataclass(frozen=True)
class Materialisation:
    """What a materialisation made."""

    digest: str
    spec: Mapping[str, Any]
    arrow_schema: Sequence[Mapping[str, Any]]
    schema_digest: str
    rows: int


def next_dataset(tx: Transaction, namespace: str, name: str) -> int:
    """Return the number of the next dataset version, holding the name until the transaction ends."""
    tx.lock(f"dataset:{namespace}/{name}")
    return queries.next_number(tx, DatasetVersion, namespace, name)


def register(  # noqa: PLR0913 - a version is named by namespace, name, number and zone
    tx: Transaction, namespace: str, name: str, made: Snapshot, *, zone: str, by: str, statement_id: str
) -> DatasetVersion:
    """Register the next version of a dataset.  The actor is the zone's agent; *by* is who asked for the ingest."""
    tx.require(Action.JOB_REPORT, Resource("dataset", name, namespace, zone))
    row = DatasetVersion(
        id=tx.new_id(),
        namespace=namespace,
        name=name,
        number=next_dataset(tx, namespace, name),
        zone=zone,
        tags=sorted(set(made.tags)),
        digest=made.digest,
        source_digest=made.source_digest,
        quarantine_digest=made.quarantine_digest,
        contract=dict(made.contract),
        report=dict(made.report),
        registered_by=by,
        registered_at=tx.now,
    )
    tx.add(row)
    lineage.draw(tx, row.ref, [(f"artifact:{made.source_digest}", "source")])
    tx.record(
        DatasetRegistered(
            about=row.ref,
            namespace=namespace,
            zone=zone,
            digest=row.digest,
            source=row.source_digest,
            rows=int(made.report.get("accepted", 0)),
            quarantined=int(made.report.get("quarantined", 0)),
            tags=row.tags,
            statement=statement_id,
        )
    )
    return row


def register_features(  # noqa: PLR0913 - as above
    tx: Transaction, dataset: DatasetVersion, name: str, made: Materialisation, *, by: str, statement_id: str
) -> FeatureViewVersion:
    """Register the next version of a feature view of *dataset*; it inherits the dataset's zone and tags."""
    tx.require(Action.JOB_REPORT, Resource("features", name, dataset.namespace, dataset.zone))
    tx.lock(f"features:{dataset.namespace}/{name}")
    row = FeatureViewVersion(
        id=tx.new_id(),
        namespace=dataset.namespace,
        name=name,
        number=queries.next_number(tx, FeatureViewVersion, dataset.namespace, name),
        zone=dataset.zone,
        tags=dataset.tags,
        digest=made.digest,
        dataset_ref=dataset.ref,
        spec=dict(made.spec),
        arrow_schema=[dict(column) for column in made.arrow_schema],
        schema_digest=made.schema_digest,
        rows=made.rows,
        registered_by=by,
        registered_at=tx.now,
    )
    tx.add(row)
    lineage.draw(tx, row.ref, [(dataset.ref, "dataset")])
    tx.record(
        FeaturesRegistered(
            about=row.ref,
            namespace=row.namespace,
            zone=row.zone,
            digest=row.digest,
            dataset=dataset.ref,
            schema=row.schema_digest,
            rows=row.rows,
            tags=row.tags,
            statement=statement_id,
        )
    )
    return row
