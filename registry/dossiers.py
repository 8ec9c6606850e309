# SPDX-License-Identifier: Apache-2.0
"""Lineage as it goes out: nodes with the signed statements about them."""

from __future__ import annotations

from audit.transaction import Reader
from khatim.vocabulary import Action, Resource
from khatim.wire import answers, proofs
from registry import lineage
from registry.lineage import Node


def nodes_of(reader: Reader, ref: str) -> list[proofs.Node]:
    """Return the lineage of *ref*; a node that the actor may not read keeps its digest and loses its statements."""
    return [
        proofs.Node(
            ref=node.ref,
            kind=node.kind,
            digest=node.digest,
            zone=node.zone,
            made_from=list(node.made_from),
            statements=[answers.Statement.model_validate(row) for row in node.statements] * _may_read(reader, node),
        )
        for node in lineage.of(reader, ref)
    ]


def _may_read(reader: Reader, node: Node) -> bool:
    namespace, _, name = node.ref.partition(":")[2].rpartition("/")
    return bool(reader.may(Action.READ, Resource(node.kind, name, namespace, node.zone, node.tags)))
