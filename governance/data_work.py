# SPDX-License-Identifier: Apache-2.0
"""Asking for dataset versions and feature view versions: the zone's agent makes them, the registry never sees a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit.transaction import Transaction
from governance import work
from governance.tables import Job
from khatim import contracts
from khatim.vocabulary import Action, JobKind, Resource
from policies.loading import PolicyBundle
from policies.requirements import UNDECLARED
from policies.residency import MovementKind
from registry import artifacts, queries
from registry.naming import checked
from registry.tables import DatasetVersion


def ingest(  # noqa: PLR0913 - where, what and by which contract
    tx: Transaction,
    namespace: str,
    name: str,
    *,
    zone: str,
    source: str,
    contract: Mapping[str, Any],
    rules: PolicyBundle,
) -> Job:
    """Ask for a dataset version of the file *source*, which stands in *zone* already, checked against *contract*.

    It carries the tags of the contract and those of the file: a contract takes none away.
    """
    read = contracts.contract_of(contract)
    tags = frozenset(read.all_tags)
    tx.require(Action.DATASET_INGEST, Resource("dataset", checked(name, "dataset"), namespace, zone, tags))
    artifacts.decide_movement(tx, MovementKind.DISPATCH, zone, zone, sorted(tags), rules)
    placed = queries.placement(tx, source, zone)
    tags |= frozenset(placed.tags) or UNDECLARED
    artifacts.decide_movement(tx, MovementKind.DISPATCH, zone, zone, sorted(tags), rules)
    spec = {
        "namespace": checked(namespace, "namespace"),
        "name": name,
        "source": placed.digest,
        "contract": read.model_dump(mode="json"),
        "tags": sorted(tags),
    }
    return work.request(
        tx, JobKind.INGEST, namespace=namespace, zone=zone, about=f"dataset:{namespace}/{name}", spec=spec
    )


def materialise(tx: Transaction, name: str, *, dataset: str, spec: Mapping[str, Any], rules: PolicyBundle) -> Job:
    """Ask for a feature view version from a dataset version, in the dataset's zone."""
    view = contracts.feature_view_of(spec)
    source = queries.numbered(tx, DatasetVersion, dataset)
    tags = frozenset(source.tags)
    resource = Resource("features", checked(name, "feature view"), source.namespace, source.zone, tags)
    tx.require(Action.FEATURES_MATERIALISE, resource)
    artifacts.decide_movement(tx, MovementKind.DISPATCH, source.zone, source.zone, source.tags, rules)
    asked = {"name": name, "dataset": source.path, "source": source.digest, "view": view.model_dump(mode="json")}
    about = f"features:{source.namespace}/{name}"
    return work.request(tx, JobKind.MATERIALISE, namespace=source.namespace, zone=source.zone, about=about, spec=asked)
