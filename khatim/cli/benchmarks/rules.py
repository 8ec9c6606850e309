# SPDX-License-Identifier: Apache-2.0
"""The two other decisions of rules: where bytes may be, and which gates are open for a thousand versions."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import TYPE_CHECKING

from khatim.cli.benchmarks.figures import Figure, Section, percentile, timed
from khatim.vocabulary import Digest, FileRole, Role, Stage, VersionStatus

if TYPE_CHECKING:
    from policies.facts import Facts
    from policies.loading import PolicyBundle
    from policies.transfers import Movement

TIMES = 20_000
VERSIONS = 1_000
_AT = datetime(2026, 11, 23, 9, tzinfo=UTC)
_VOICES = (
    ("p-1", Role.VALIDATOR),
    ("p-2", Role.PRIVACY_OFFICER),
    ("p-3", Role.MODEL_RISK_APPROVER),
    ("p-4", Role.VALIDATOR),
)


def measure() -> Section:
    """Measure the shipped rules."""
    from policies.loading import PolicyBundle
    from policies.residency import decide

    bundle = PolicyBundle.load()
    movements = _movements(bundle)
    residency = timed(
        "may these bytes be there?",
        lambda n: decide(bundle.residency, movements[n % len(movements)], at=_AT),
        TIMES,
        note=f"{len(movements):,} movements: every pair of zones, every tag, every kind",
    )
    return Section(
        "Residency and gates",
        "The shipped zones, matrix and gates, one thread, no cache. A gate is asked about facts that are there "
        "already: files, evidence, four approvals bound to these facts, residency.",
        (residency, _gates(bundle)),
    )


def _movements(bundle: PolicyBundle) -> list[Movement]:
    from policies.transfers import Movement, MovementKind

    zones = sorted({zone.name for family in bundle.zones.families for zone in bundle.zones.family_members(family)})
    tags = sorted(bundle.residency.transfers.tags)
    return [
        Movement(kind=kind, from_zone=origin, to_zone=target, tags=frozenset({tag}), purpose="triage")
        for kind, origin, target, tag in product(MovementKind, zones, zones, tags)
    ]


def _gates(bundle: PolicyBundle) -> Figure:
    from policies.facts import Transition
    from policies.gates import evaluate

    versions = [_facts(bundle, number) for number in range(VERSIONS)]
    taken = []
    began = time.perf_counter()
    for facts in versions:
        start = time.perf_counter()
        evaluate(bundle.gates, Transition.PRODUCTION, facts, _AT)
        taken.append(time.perf_counter() - start)
    whole = time.perf_counter() - began
    note = f"{VERSIONS:,} versions in {whole * 1000:.0f} ms"
    return Figure(
        "is the gate to production open?", VERSIONS / whole, percentile(taken, 0.5), percentile(taken, 0.99), note=note
    )


def _facts(bundle: PolicyBundle, number: int) -> Facts:
    from dataclasses import replace

    from policies.facts import Approval, Evidence, Facts, FileFact, Measure, Transition, Verdict
    from policies.gates import binding_of
    from policies.residency import decide
    from policies.transfers import Movement, MovementKind

    version = Digest.of(f"version {number}".encode())
    place = Movement(kind=MovementKind.PLACE, from_zone="ae-health", to_zone="ae-health", tags=frozenset({"health.ae"}))
    facts = Facts(
        version=f"version:bench/m@{number}",
        digest=version,
        stage=Stage.STAGING,
        status=VersionStatus.READY,
        tier=1 + number % 3,
        zone="ae-health",
        policy=bundle.digest,
        requester="p-9",
        authors=frozenset({"p-9", "agent:ae-health"}),
        tags=place.tags,
        inherited_tags=place.tags,
        datasets=frozenset({Digest.of(b"dataset")}),
        files=(
            FileFact(path="model.onnx", role=FileRole.WEIGHTS, verdict=Verdict.SERVABLE, runner="onnxruntime"),
            FileFact(path="config.json", role=FileRole.CONFIG, verdict=Verdict.SERVABLE),
        ),
        evidence=(
            Evidence(
                kind="evaluation",
                digest=Digest.of(f"evaluation {number}".encode()),
                subject=version,
                passed=True,
                at=_AT - timedelta(days=1),
                is_signed=True,
                metrics={"roc_auc": Measure(value=0.99, lower=0.97, upper=1.0)},
            ),
        ),
        residency=decide(bundle.residency, place, at=_AT),
        is_signature_verified=True,
        is_lineage_verified=True,
    )
    binding = binding_of(bundle.gates, Transition.PRODUCTION, facts)
    approvals = tuple(
        Approval(
            ref=f"approval:{number}-{who}",
            role=role,
            approver=who,
            binding=binding,
            at=_AT - timedelta(hours=1),
            expires=_AT + timedelta(days=30),
            is_signed=True,
        )
        for who, role in _VOICES
    )
    return replace(facts, approvals=approvals)
