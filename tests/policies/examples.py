# SPDX-License-Identifier: Apache-2.0
"""Facts that tests start from: a movement, an authorisation that opens it, a version with everything in order."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from khatim.vocabulary import Decision, Digest, FileRole, Role, Stage, VersionStatus
from policies.facts import Approval, Evidence, Facts, FileFact, Measure, Transition, Verdict
from policies.gates import binding_of
from policies.requirements import Gates
from policies.transfers import Movement, MovementKind, TransferAuthorisation
from policies.zones import Zones

NOW = datetime(2026, 11, 23, 2, 30, tzinfo=UTC)
PURPOSE = "malignancy triage"
ARTEFACT = "version:oncology/malignancy@1"
SAFEGUARDS = frozenset(
    {
        "accredited-provider",
        "encryption",
        "equal-safeguards",
        "minimum-necessary",
        "signed-media",
        "supervisory-access",
    }
)
APPROVERS = (
    ("yousef", Role.VALIDATOR),
    ("noura", Role.PRIVACY_OFFICER),
    ("omar", Role.MODEL_RISK_APPROVER),
    ("salma", Role.VALIDATOR),
)


def movement(from_zone: str, to_zone: str, *tags: str, kind: MovementKind = MovementKind.DEPLOY) -> Movement:
    return Movement(
        kind=kind, from_zone=from_zone, to_zone=to_zone, tags=frozenset(tags), purpose=PURPOSE, artefact=ARTEFACT
    )


def authorisation(zones: Zones, of: Movement, mechanism: str, **changes: Any) -> TransferAuthorisation:
    """Return a record with every field filled, that covers *of* by *mechanism*."""
    target = zones.get(of.to_zone)
    assert target is not None
    filled: dict[str, Any] = {
        "ref": f"transfer:{mechanism}",
        "from_zone": of.from_zone,
        "to_zone": of.to_zone,
        "from_regimes": frozenset(zones.regimes),
        "to_location": target.location,
        "purpose": of.purpose,
        "data_tags": of.tags,
        "artefact_scope": ("version:oncology/*",),
        "mechanism": mechanism,
        "mechanism_evidence_digest": str(Digest.of(b"contract")),
        "valid_from": NOW - timedelta(days=1),
        "valid_to": NOW + timedelta(days=1),
        "review_due": NOW + timedelta(days=1),
        "approvals": ("approval:1",),
        "importer_party": "processor:1",
        "legal_basis_locator": "locator",
        "dpia_ref": "dpia:1",
        "tia_ref": "tia:1",
        "dpo_opinion": "opinion:1",
        "regulator_approval_ref": "approval:regulator",
        "customer_consent_scope": "scope",
        "acknowledgement_ref": "acknowledgement:1",
        "exception_id": "exception:3",
        "safeguards": SAFEGUARDS,
    }
    return TransferAuthorisation(**{**filled, **changes})


def bare(gates: Gates, *, tier: int | None = 2, tags: Iterable[str] = ("health.ae",), **changes: Any) -> Facts:
    """Return a version in order but for approvals."""
    version = Digest.of(b"model")
    filled: dict[str, Any] = {
        "version": ARTEFACT,
        "digest": version,
        "stage": Stage.NONE,
        "status": VersionStatus.READY,
        "tier": tier,
        "zone": "ae-health",
        "policy": Digest.parse(gates.policy) if gates.policy else Digest.of(b"policy"),
        "requester": "layla",
        "authors": frozenset({"layla", "hamad", "agent:ae-health"}),
        "tags": frozenset(tags),
        "inherited_tags": frozenset(tags),
        "datasets": frozenset({Digest.of(b"wdbc")}),
        "files": (
            FileFact(path="model.onnx", role=FileRole.WEIGHTS, verdict=Verdict.SERVABLE, runner="onnxruntime"),
            FileFact(path="config.json", role=FileRole.CONFIG, verdict=Verdict.SERVABLE),
        ),
        "evidence": (evaluation(version),),
        "residency": Decision(allowed=True, rule="ae-health/same-emirate", reason="Within the health zone."),
        "is_signature_verified": True,
        "is_lineage_verified": True,
    }
    return Facts(**{**filled, **changes})


def evaluation(subject: Digest, *, age_days: float = 1, passed: bool = True, lower: float = 0.97) -> Evidence:
    return Evidence(
        kind="evaluation",
        digest=Digest.of(f"{age_days}{passed}{lower}".encode()),
        subject=subject,
        passed=passed,
        at=NOW - timedelta(days=age_days),
        is_signed=True,
        metrics={"roc_auc": Measure(value=0.99, lower=lower, upper=1.0)},
    )


def approval(gates: Gates, facts: Facts, approver: str, role: Role, **changes: Any) -> Approval:
    """Return a live approval of exactly *facts*."""
    filled: dict[str, Any] = {
        "ref": f"approval:{approver}:{role.value}",
        "role": role,
        "approver": approver,
        "binding": binding_of(gates, Transition.PRODUCTION, facts),
        "at": NOW - timedelta(hours=1),
        "expires": NOW + timedelta(days=30),
        "is_signed": True,
    }
    return Approval(**{**filled, **changes})


def ready(gates: Gates, **changes: Any) -> Facts:
    """Return a version that every gate lets pass, approvals included."""
    facts = bare(gates, **changes)
    if "approvals" in changes:
        return facts
    given = tuple(approval(gates, facts, approver, role) for approver, role in APPROVERS)
    return bare(gates, **{**changes, "approvals": given})
