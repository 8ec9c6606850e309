# SPDX-License-Identifier: Apache-2.0
"""Answers that prove: lineage with its statements, dossiers, gate reports, ledger entries and their receipts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from khatim.wire.answers import Answer, Approval, Deployment, Evidence, SelfAttestation, Statement, Version


class Node(Answer):
    """One thing in a lineage."""

    ref: str
    kind: str
    digest: str
    zone: str
    made_from: list[tuple[str, str]] = Field(description="(parent reference, role)")
    statements: list[Statement]


class Dossier(Answer):
    """Everything needed to judge a version offline: its lineage, statements, approvals, stage and revocations."""

    version: Version
    nodes: list[Node]
    approvals: list[Approval]
    attestations: list[SelfAttestation] = Field(default=[], description="by who made it; nobody else approved it")
    evidence: list[Evidence]
    deployments: list[Deployment]
    decisions: list[dict[str, Any]]
    trusted_root: dict[str, Any]
    appointments: list[str] = Field(
        default=[], description="who signs for the registry, on its authority's signed word: Sigstore bundles"
    )
    identities: dict[str, Any] = Field(description="who may sign which predicate type")
    revocations: str = Field(default="", description="the registry's signed list of revocations, a Sigstore bundle")
    at: datetime


class GateReport(Answer):
    """What a transition requires and what of it is met."""

    gate: str
    is_open: bool
    met: list[dict[str, Any]]
    unmet: list[dict[str, Any]]
    excepted: list[dict[str, Any]] = Field(default=[])
    binding: str = ""  # digest of what an approval would be bound to now: the entity tag of this report


class Entry(Answer):
    """One ledger entry."""

    index: int
    kind: str
    actor: str
    resource: str
    namespace: str
    zone: str
    at: datetime
    leaf: str
    body: dict[str, Any]


class Opening(Answer):
    """The entry that opened a later epoch of the ledger: its index and its very bytes (base64)."""

    index: int
    entry: str


class Receipt(Answer):
    """Proof that an entry stands in the ledger (RFC 9162 inclusion proof; hashes and bytes are base64)."""

    index: int
    leaf: str
    size: int
    proof: list[str]
    checkpoint: str = Field(description="the signed note, with the cosignatures that came for it")
    entry: str = Field(default="", description="the very bytes of the entry")
    openings: list[Opening] = Field(
        default=[], description="the entries that opened later epochs: how one key leads to the next"
    )
    is_witnessed: bool = Field(default=False, description="whether the registry's own policy of witnesses is met")


class Archive(Answer):
    """Entries [first, end) of the ledger in a file; `link` is the SHA-256 of the last one, in hexadecimal.

    `size` and `root` are of the checkpoint that it was made under; `online` says whether its rows are there as well.
    """

    first: int
    end: int
    place: str
    digest: str
    link: str
    size: int
    root: str
    online: bool
