# SPDX-License-Identifier: Apache-2.0
"""What codes are called in front of people: stages, states, roles, event kinds.

The words are message ids of the catalogues.  A code that has no word here is shown as it is, in the monospaced face,
so that an event kind of a later release never breaks a page.
"""

from __future__ import annotations

from typing import Literal

Group = Literal[
    "stage", "status", "role", "file-role", "verdict", "tally", "approval", "deployment", "kind", "lineage", "relation",
    "result", "metric", "binding", "bound", "operation", "certainty", "predicate", "member",
    "job", "job-state", "finding",
]  # fmt: skip
Tone = Literal["good", "warn", "stop", "info", "quiet"]


def mark(message: str) -> str:
    """Mark *message* for extraction into the catalogues; returns it unchanged."""
    return message


LABELS: dict[Group, dict[str, str]] = {
    "stage": {
        "none": mark("No stage"),
        "staging": mark("Staging"),
        "production": mark("Production"),
        "archived": mark("Archived"),
        "deploy": mark("Being served"),
    },
    "status": {
        "PENDING_REGISTRATION": mark("Scanning"),
        "READY": mark("Ready"),
        "FAILED_REGISTRATION": mark("Registration failed"),
    },
    "role": {
        "data-engineer": mark("Data engineer"),
        "data-scientist": mark("Data scientist"),
        "validator": mark("Validator"),
        "privacy-officer": mark("Privacy officer"),
        "model-risk-approver": mark("Model risk approver"),
        "platform-engineer": mark("Platform engineer"),
        "access-administrator": mark("Access administrator"),
        "auditor": mark("Auditor"),
        "agent": mark("Agent"),
        "self-attestation": mark("Self-attestation"),
    },
    "file-role": {
        "weights": mark("Weights"),
        "tokenizer": mark("Tokenizer"),
        "adapter": mark("Adapter"),
        "prompt": mark("Prompt"),
        "config": mark("Configuration"),
        "code": mark("Code"),
    },
    "verdict": {
        "servable": mark("Servable"),
        "record-only": mark("Record only"),
        "refused": mark("Refused"),
    },
    "tally": {
        "none": mark("Not asked for"),
        "waiting": mark("Waiting"),
        "complete": mark("Complete"),
        "expired": mark("Expired"),
        "suspended": mark("Suspended"),
    },
    "approval": {
        "active": mark("In force"),
        "suspended": mark("Suspended"),
        "expired": mark("Expired"),
        "revoked": mark("Revoked"),
    },
    "deployment": {
        "requested": mark("Requested"),
        "serving": mark("Serving"),
        "refused": mark("Refused by its runner"),
        "suspended": mark("Suspended"),
        "stopped": mark("Stopped"),
    },
    "kind": {
        "agent.enrolled": mark("Agent enrolled"),
        "agent.invited": mark("Agent invited"),
        "agent.refused": mark("Agent request refused"),
        "agent.retired": mark("Agent retired"),
        "alias.moved": mark("Alias moved"),
        "alias.refused": mark("Alias change refused"),
        "approval.granted": mark("Approval granted"),
        "approvals.changed": mark("Approvals changed"),
        "artifact.download_authorised": mark("Download authorised"),
        "artifact.placed": mark("Artifact placed in a zone"),
        "artifact.refused": mark("Artifact transfer refused"),
        "artifact.upload_authorised": mark("Upload authorised"),
        "authorisation.approved": mark("Training authorisation approved"),
        "authorisation.refused": mark("Training authorisation refused"),
        "authorisation.requested": mark("Training authorisation requested"),
        "authorisation.revoked": mark("Training authorisation revoked"),
        "dataset.refused": mark("Dataset request refused"),
        "dataset.registered": mark("Dataset registered"),
        "deployment.changed": mark("Deployment changed"),
        "deployment.refused": mark("Deployment refused"),
        "deployment.requested": mark("Deployment requested"),
        "engagement.exported": mark("Audit bundle exported"),
        "engagement.refused": mark("Audit bundle refused"),
        "evidence.submitted": mark("Evidence submitted"),
        "features.refused": mark("Feature view request refused"),
        "features.registered": mark("Feature view registered"),
        "finding.opened": mark("Finding opened"),
        "finding.refused": mark("Finding request refused"),
        "finding.resolved": mark("Finding resolved"),
        "job.claimed": mark("Job claimed"),
        "job.ended": mark("Job ended"),
        "job.refused": mark("Job request refused"),
        "job.requested": mark("Job requested"),
        "job.requeued": mark("Job queued again"),
        "ledger.copied": mark("Ledger copied"),
        "ledger.opened": mark("Ledger opened"),
        "ledger.refused": mark("Reading the ledger refused"),
        "model.created": mark("Model created"),
        "monitor.ran": mark("Monitor ran"),
        "monitor.refused": mark("Monitor request refused"),
        "person.erased": mark("Erasure of a person done"),
        "person.erasure_requested": mark("Erasure of a person asked for"),
        "person.identified": mark("Person behind a reference shown"),
        "person.known": mark("Person first seen"),
        "person.refused": mark("Request about a person refused"),
        "person.signed_in": mark("Signed in"),
        "person.signed_out": mark("Sessions ended"),
        "service_account.opened": mark("Service account opened"),
        "service_account.closed": mark("Service account closed"),
        "service_account.refused": mark("Service account refused"),
        "service_token.issued": mark("Token of a program issued"),
        "service_token.revoked": mark("Token of a program revoked"),
        "read.refused": mark("Reading refused"),
        "refusals.counted": mark("Refusals of strangers counted"),
        "refusals.suppressed": mark("Refusals beyond the limit counted"),
        "request.refused": mark("Request refused"),
        "endpoint.halted": mark("Endpoint taken down by its agent"),
        "revocation.lifted": mark("Revocation lifted"),
        "revocation.recorded": mark("Revocation recorded"),
        "revocation.refused": mark("Revocation refused"),
        "statement.admitted": mark("Signed statement kept"),
        "statement.refused": mark("Statement refused"),
        "training.refused": mark("Training refused"),
        "version.promoted": mark("Version promoted"),
        "version.refused": mark("Version request refused"),
        "version.registered": mark("Version registered"),
        "version.revoked": mark("Version revoked"),
        "version.scanned": mark("Version scanned"),
    },
    "lineage": {
        "source": mark("Raw file"),
        "artifact": mark("File"),
        "dataset": mark("Dataset"),
        "features": mark("Feature view"),
        "version": mark("Model version"),
        "deployment": mark("Deployment"),
    },
    "relation": {
        "source": mark("as source file"),
        "dataset": mark("as data"),
        "features": mark("as features"),
        "version": mark("as base model"),
        "weights": mark("as weights"),
        "tokenizer": mark("as tokenizer"),
        "adapter": mark("as adapter"),
        "prompt": mark("as prompt"),
        "config": mark("as configuration"),
        "code": mark("as code"),
        "deployed": mark("deployed"),
    },
    "result": {
        "PASSED": mark("Passed"),
        "WARNED": mark("Passed with warnings"),
        "FAILED": mark("Failed"),
    },
    "metric": {
        "accuracy": mark("Accuracy"),
        "balanced_accuracy": mark("Balanced accuracy"),
        "brier": mark("Brier score"),
        "f1": mark("F1 score"),
        "log_loss": mark("Log loss"),
        "precision": mark("Precision"),
        "recall": mark("Recall"),
        "roc_auc": mark("Area under the ROC curve"),
        "sensitivity": mark("Sensitivity"),
        "specificity": mark("Specificity"),
    },
    "binding": {
        "server-attested": mark("Server-attested"),
    },
    "bound": {
        "model": mark("Model version"),
        "dataset": mark("Dataset"),
        "evidence": mark("Evidence"),
        "policy": mark("Policy"),
        "zone": mark("Zone"),
        "tier": mark("Risk tier"),
    },
    "operation": {
        "deploy": mark("Deployment"),
        "download": mark("Download"),
        "place": mark("Storage"),
    },
    "certainty": {
        "V": mark("Verified in the official text"),
        "S": mark("Confirmed by a second source"),
        "I": mark("Inferred from the text"),
        "R": mark("Recalled, not yet checked"),
        "U": mark("Unresolved in law"),
    },
    "predicate": {
        "https://model_signing/signature/v1.0": mark("Signed files"),
        "https://slsa.dev/provenance/v1": mark("Provenance"),
        "https://in-toto.io/attestation/test-result/v0.1": mark("Test result"),
        "https://khatim.dev/attestations/approval/v1": mark("Approval"),
        "https://khatim.dev/attestations/waiver/v1": mark("Waiver"),
        "https://khatim.dev/attestations/deployment/v1": mark("Deployment"),
    },
    "job": {
        "ingest": mark("Ingestion"),
        "materialise": mark("Feature materialisation"),
        "train": mark("Training"),
        "scan": mark("Scan of the files"),
        "evaluate": mark("Evaluation"),
        "deploy": mark("Deployment"),
        "monitor": mark("Monitoring"),
    },
    "job-state": {
        "done": mark("Done"),
        "failed": mark("Failed"),
        "cancelled": mark("Cancelled"),
    },
    "finding": {
        "drift": mark("Inputs have drifted"),
        "approval-expired": mark("Approvals have expired"),
        "waiver-expired": mark("A waiver has expired"),
    },
    "member": {
        "rule": mark("Rule"),
        "reason": mark("Reason"),
        "legal_basis": mark("Legal basis"),
        "certainty": mark("Certainty"),
        "policy": mark("Policy"),
        "finding": mark("Finding"),
        "unmet": mark("Unmet"),
        "excepted": mark("Excepted"),
        "action": mark("Action"),
        "transition": mark("Transition"),
        "met": mark("Met"),
        "role": mark("Role"),
        "from_zone": mark("From zone"),
        "to_zone": mark("To zone"),
        "movement": mark("Movement"),
    },
}

# Fixed sentences of the front door that a person may meet; `rendering` finds them by their text.
SENTENCES = (
    mark("this form was not made by your session"),
    mark("this form came from another site"),
    mark("Open the page again."),
    mark("the cursor is not one of ours"),
    mark("Start again without a cursor."),
)

TONES: dict[Group, dict[str, Tone]] = {
    "stage": {"production": "good", "staging": "info"},
    "status": {"READY": "good", "PENDING_REGISTRATION": "warn", "FAILED_REGISTRATION": "stop"},
    "verdict": {"servable": "good", "record-only": "warn", "refused": "stop"},
    "tally": {"waiting": "warn", "complete": "good", "expired": "warn", "suspended": "stop"},
    "approval": {"active": "good", "suspended": "stop", "expired": "warn", "revoked": "stop"},
    "deployment": {"requested": "info", "serving": "good", "refused": "stop", "suspended": "stop"},
    "result": {"PASSED": "good", "WARNED": "warn", "FAILED": "stop"},
}


def tone(group: Group, value: str) -> Tone:
    """Return how *value* is coloured; colour never stands alone, the word is always beside it."""
    return TONES.get(group, {}).get(value, "quiet")
