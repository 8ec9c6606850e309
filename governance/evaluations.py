# SPDX-License-Identifier: Apache-2.0
"""Evidence from the zone: the scan that makes a version ready, and signed test results on held-out data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit.canonical import canonical
from audit.transaction import Transaction
from governance import work
from governance.events import EvidenceSubmitted
from governance.tables import Evidence, Job
from khatim.errors import Conflict, Malformed, SignatureInvalid
from khatim.vocabulary import Action, Digest, JobKind, VersionStatus
from khatim.wire import work as wire
from registry import manifests, queries, versions
from registry.notary import Notary
from registry.signing import statements
from registry.signing.verification import VerifiedStatement
from registry.tables import ModelVersion, Statement


def request(tx: Transaction, path: str, *, thresholds: Mapping[str, Any], subgroups: Mapping[str, Any]) -> Job:
    """Ask the version's zone to evaluate it on the held-out data of its training."""
    version = queries.numbered(tx, ModelVersion, path)
    tx.require(Action.VERSION_EVALUATE, version.resource)
    if version.status != VersionStatus.READY.value:
        raise Conflict(f"{path} is {version.status}: {version.status_message}", advice="Wait until its scan is done.")
    if "holdout" not in version.training:
        raise Malformed(f"{path} was not trained here, so no held-out data of it is known")
    model = next((file for file in version.files if file["format"] == "onnx"), None)
    if model is None:
        raise Malformed(f"{path} has no ONNX file to evaluate")
    spec = {
        "version": version.path,
        "digest": version.digest,
        "model": model["digest"],
        "holdout": version.training["holdout"],
        "label": version.training["label"],
        "features": version.training["features"],
        "thresholds": dict(thresholds),
        "subgroups": dict(subgroups),
        "seed": 0,
    }
    return work.request(
        tx, JobKind.EVALUATE, namespace=version.namespace, zone=version.zone, about=version.ref, spec=spec
    )


def submit(tx: Transaction, job: Job, outcome: wire.Evaluated, *, notary: Notary) -> str:
    """Take in a signed test result; the statement must be about the version's very files."""
    version = queries.numbered(tx, ModelVersion, job.spec["version"])
    subjects = [Digest.parse(job.spec["model"])]
    verified = notary.check(outcome.statement, statements.TEST_RESULT, subjects, zone=job.zone)
    if outcome.evaluation != verified.predicate:
        raise SignatureInvalid("the evaluation is not the one that was signed", advice="Do the evaluation again.")
    result = str(verified.predicate["result"])
    statement = notary.admit(tx, version.ref, outcome.statement, verified)
    row = _keep(tx, version, kind="evaluation", result=result, details=verified.predicate, statement=statement)
    return f"evidence:{row.id}"


def submit_scan(
    tx: Transaction, job: Job, outcome: wire.Scanned, verified: VerifiedStatement, *, notary: Notary
) -> str:
    """Take in a signed and verified scan: the version becomes READY, or FAILED with the reason."""
    version = queries.numbered(tx, ModelVersion, job.spec["version"], for_update=True)
    statement = notary.admit(tx, version.ref, outcome.statement, verified)
    failures = [f"{file['path']}: {file['reason']}" for file in outcome.files if not file["passed"]]
    version.manifest = manifests.manifest_of(
        (
            {**file, "format": found["format"], "verdict": found["verdict"]}
            for file in version.files
            for found in outcome.files
            if found["path"] == file["path"]
        ),
        version.manifest["bases"],
    )
    if str(manifests.digest_of(version.manifest)) != version.digest:
        raise Malformed("the scan does not speak about every file of the version")
    versions.mark_scanned(tx, version, findings=outcome.files, failure="; ".join(failures), statement=statement)
    result = "FAILED" if failures else "PASSED"
    row = _keep(tx, version, kind="scan", result=result, details={"files": outcome.files}, statement=statement)
    return f"evidence:{row.id}"


def _keep(  # noqa: PLR0913 - the columns of one piece of evidence
    tx: Transaction,
    version: ModelVersion,
    *,
    kind: str,
    result: str,
    details: Mapping[str, Any],
    statement: Statement,
) -> Evidence:
    row = Evidence(
        id=tx.new_id(),
        about=version.ref,
        kind=kind,
        result=result,
        digest=str(Digest.of(canonical(dict(details)))),
        details=dict(details),
        statement_id=statement.id,
        submitted_by=tx.actor.ref,
        at=tx.now,
    )
    tx.add(row)
    tx.record(
        EvidenceSubmitted(
            about=version.ref,
            namespace=version.namespace,
            zone=version.zone,
            evidence_kind=kind,
            result=result,
            digest=row.digest,
            statement=str(statement.id),
        )
    )
    return row
