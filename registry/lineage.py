# SPDX-License-Identifier: Apache-2.0
"""Lineage: what was made from what, from the model back to the raw file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Text, cast, select

from audit.transaction import Reader, Transaction
from registry import queries
from registry.tables import DatasetVersion, Edge, FeatureViewVersion, ModelVersion, Statement


@dataclass(frozen=True)
class Node:
    """One thing in a lineage: its reference, digest and zone, what it was made from, and what is attested about it."""

    ref: str
    kind: str
    digest: str
    zone: str
    made_from: tuple[tuple[str, str], ...]
    statements: tuple[Statement, ...]
    made_by: str = ""
    tags: frozenset[str] = frozenset()


def draw(tx: Transaction, child: str, parents: Iterable[tuple[str, str]]) -> None:
    """Draw edges from *child* to (parent reference, role); the child's event covers them."""
    for parent, role in dict.fromkeys(parents):
        tx.add(Edge(child=child, parent=parent, role=role))


def of(reader: Reader, ref: str) -> list[Node]:
    """Return the whole lineage of *ref*, itself first, roots last.  Four queries, whatever the depth."""
    edges = queries.edges_above(reader, ref)
    order = list(dict.fromkeys([ref, *(edge.child for edge in edges), *(edge.parent for edge in edges)]))
    with reader.whole():  # duties, tags and signatures are looked up through all of it, whoever asks
        known = {**_numbered(reader, order), **_artifacts(reader, order)}
    statements = queries.statements_of(reader, order)
    return [
        Node(
            ref=name,
            kind=name.partition(":")[0],
            made_from=tuple((edge.parent, edge.role) for edge in edges if edge.child == name),
            statements=tuple(row for row in statements if row.about == name),
            **known.get(name, {"digest": "", "zone": ""}),
        )
        for name in order
    ]


def below(reader: Reader, refs: Iterable[str]) -> list[str]:
    """Return *refs* and everything that was made from any of them."""
    start = list(dict.fromkeys(refs))
    return list(dict.fromkeys([*start, *queries.made_from(reader, start)])) if start else []


def authors_of(nodes: Sequence[Node]) -> frozenset[str]:
    """Return everybody who registered something in the lineage: separation of duties looks through all of it."""
    return frozenset(node.made_by for node in nodes if node.made_by)


def tags_of(nodes: Sequence[Node]) -> frozenset[str]:
    """Return the union of the data tags of everything that the first node was made from."""
    return frozenset().union(*(node.tags for node in nodes[1:]))


def _numbered(reader: Reader, refs: Sequence[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for table in (ModelVersion, FeatureViewVersion, DatasetVersion):
        paths = [ref.partition(":")[2] for ref in refs if ref.startswith(f"{table.KIND}:")]
        if paths:
            path = table.namespace + "/" + table.name + "@" + cast(table.number, Text)
            for row in reader.scalars(select(table).where(path.in_(paths))):
                found[row.ref] = {
                    "digest": row.digest,
                    "zone": row.zone,
                    "made_by": row.registered_by,
                    "tags": frozenset(row.tags),
                }
    return found


def _artifacts(reader: Reader, refs: Sequence[str]) -> dict[str, dict[str, Any]]:
    digests = [ref.partition(":")[2] for ref in refs if ref.startswith("artifact:")]
    rows = queries.placements_of(reader, digests) if digests else []
    return {row.ref: {"digest": row.digest, "zone": row.zone, "tags": frozenset(row.tags)} for row in rows}
