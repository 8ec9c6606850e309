# SPDX-License-Identifier: Apache-2.0
"""What the report tells, gathered once and told in two languages by `document`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from audit.checkpoint import Checkpoint
from audit.transaction import Transaction
from governance import promotion, queries
from governance.reports import measures
from governance.reports.attestations import Attestation
from governance.reports.graphs import Edge, Node
from governance.reports.measures import Evaluation
from governance.reports.sheets import Sheet
from khatim.vocabulary import Digest, Stage
from policies.facts import Transition
from policies.loading import PolicyBundle
from policies.outcomes import GateDecision
from registry import queries as registered
from registry.lineage import Node as Made
from registry.notary import Notary
from registry.tables import ModelVersion


@dataclass(frozen=True, slots=True)
class Signed:
    """An approval with the file of its statement; *expired* as of the export, whatever its row says."""

    record: Mapping[str, Any]
    file: str
    is_expired: bool


@dataclass(frozen=True, slots=True)
class Drawn:
    """One thing of the lineage; *source* are (reference, role) of what it was made from, *state* is a deployment's."""

    ref: str
    kind: str
    name: str
    zone: str
    digest: str
    statements: int
    is_subject: bool
    source: tuple[tuple[str, str], ...]
    state: str = ""

    @property
    def place(self) -> str:
        """Return zone and the beginning of the digest."""
        return " · ".join(text for text in (self.zone, self.digest.removeprefix("sha256:")[:10]) if text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """Everything that the report tells."""

    version: ModelVersion
    tier: int
    at: datetime
    by: str
    instance: str
    ledger: Checkpoint
    vkey: str
    policy: Digest
    home: str
    approvals: tuple[Signed, ...]
    passages: Sequence[Mapping[str, Any]]
    gate: GateDecision
    residency: Sequence[Mapping[str, Any]]
    refusals: Sequence[Mapping[str, Any]]
    evaluations: tuple[Evaluation, ...]
    scans: Sequence[Mapping[str, Any]]
    deployments: Sequence[Mapping[str, Any]]
    monitor_runs: Sequence[Mapping[str, Any]]
    findings: Sequence[Mapping[str, Any]]
    lineage: tuple[Drawn, ...]
    attestations: tuple[Attestation, ...]
    sheets: tuple[Sheet, ...]

    @property
    def open_findings(self) -> int:
        """Return how many findings are open."""
        return sum(row["state"] == "open" for row in self.findings)

    @property
    def in_force(self) -> int:
        """Return how many approvals are in force."""
        return sum(one.record["state"] == "active" and not one.is_expired for one in self.approvals)

    @property
    def boxes(self) -> list[Node]:
        """Return the lineage as boxes, roots first, deployments last; labels are codes."""
        return [
            Node(
                id=one.ref,
                kind=one.kind,
                name=one.name,
                note=one.state or one.place,
                mark=str(one.statements) if one.statements else "",
                style="subject" if one.is_subject else "",
            )
            for one in self.lineage
        ]

    @property
    def arrows(self) -> list[Edge]:
        """Return what was made from what; labels are codes."""
        return [Edge(source, one.ref, role) for one in self.lineage for source, role in one.source]


def gather(  # noqa: PLR0913, PLR0917 - a report is about a version, its rows and its rules
    tx: Transaction,
    version: ModelVersion,
    nodes: Sequence[Made],
    sheets: Mapping[str, Sheet],
    attestations: tuple[Attestation, ...],
    ledger: Checkpoint,
    *,
    notary: Notary,
    rules: PolicyBundle,
    vkey: str,
) -> Contents:
    """Gather what the report tells; the sheets are what the populations hold."""
    rows = {name: sheet.records for name, sheet in sheets.items()}
    files = {str(one.record["digest"]): one.file for one in attestations}
    transition = Transition.DEPLOY if version.stage == Stage.PRODUCTION.value else Transition.PRODUCTION
    evidence = [row for row in rows["evidence"] if row["resource"] == version.ref]
    details = {row.id: row for row in queries.evidence_of(tx, version.ref)}
    return Contents(
        version=version,
        tier=registered.tier_of(tx, version),
        at=tx.now,
        by=tx.actor.ref,
        instance=notary.instance,
        ledger=ledger,
        vkey=vkey,
        policy=rules.digest,
        home=version.zone,
        approvals=tuple(
            Signed(row, files.get(str(row["statement"]), ""), row["expires_at"] <= tx.now) for row in rows["approvals"]
        ),
        passages=[row for row in rows["gate-decisions"] if row["resource"] == version.ref],
        gate=promotion.gate_of(tx, version, transition, zone=version.zone, notary=notary, rules=rules),
        residency=rows["residency-decisions"],
        refusals=rows["refusals"],
        evaluations=tuple(
            measures.evaluation(details[row["id"]], row["ledger_index"], files.get(str(row["statement"]), ""))
            for row in evidence
            if row["evidence_kind"] == "evaluation"
        ),
        scans=[
            {**row, "files": details[row["id"]].details.get("files", [])}
            for row in evidence
            if row["evidence_kind"] == "scan"
        ],
        deployments=rows["deployments"],
        monitor_runs=rows["monitor-runs"],
        findings=rows["findings"],
        lineage=_lineage(version, nodes, rows["deployments"]),
        attestations=attestations,
        sheets=tuple(sheets.values()),
    )


def _lineage(
    version: ModelVersion, nodes: Sequence[Made], deployments: Sequence[Mapping[str, Any]]
) -> tuple[Drawn, ...]:
    """Return the lineage, what came first standing first, and then the deployments."""
    drawn = [
        Drawn(
            ref=node.ref,
            kind=node.kind,
            name=_name(node.ref),
            zone=node.zone,
            digest=node.digest,
            statements=len(node.statements),
            is_subject=node.ref == version.ref,
            source=node.made_from,
        )
        for node in _roots_first(nodes)
    ]
    drawn += [
        Drawn(
            ref=row["resource"],
            kind="deployment",
            name=row["zone"],
            zone=row["zone"],
            digest="",
            statements=0,
            is_subject=False,
            source=((version.ref, "deployed"),),
            state=row["state"],
        )
        for row in deployments
    ]
    return tuple(drawn)


def _roots_first(nodes: Sequence[Made]) -> list[Made]:
    waiting = {node.ref: node for node in reversed(nodes)}
    placed: list[Made] = []
    while waiting:
        ready = [one for one in waiting.values() if not any(ref in waiting for ref, _ in one.made_from)]
        # Lineage has no circles; if rows say otherwise, they are shown as they stand.
        placed += [waiting.pop(one.ref) for one in ready or list(waiting.values())]
    return placed


def _name(ref: str) -> str:
    kind, _, name = ref.partition(":")
    return name.removeprefix("sha256:")[:16] if kind == "artifact" else name
