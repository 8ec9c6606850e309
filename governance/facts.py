# SPDX-License-Identifier: Apache-2.0
"""What is known about a version, as the pure gates read it.  Signatures are verified again here, not remembered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from audit.events import moment
from audit.transaction import Reader
from governance import queries
from governance.tables import Approval, Evidence, Finding
from khatim.errors import SignatureInvalid
from khatim.vocabulary import Digest, FileRole, Role, Stage, VersionStatus
from policies import facts as values
from policies import residency
from policies.loading import PolicyBundle
from policies.residency import Movement, MovementKind
from registry import lineage
from registry import queries as registered
from registry.lineage import Node
from registry.notary import Notary
from registry.signing import oms, statements
from registry.tables import ModelVersion, Statement

ATTESTED_BY = {
    "dataset": statements.DATASET_SNAPSHOT,
    "features": statements.FEATURE_MATERIALIZATION,
    "version": statements.TRAINING,
}


def facts_of(reader: Reader, version: ModelVersion, *, zone: str, notary: Notary, rules: PolicyBundle) -> values.Facts:
    """Return the facts of *version* for *zone* at the reader's moment."""
    nodes = lineage.of(reader, version.ref)
    approvals = queries.approvals_of(reader, version.ref)
    findings = queries.findings_about(
        reader, [version.ref, *(row.ref for row in queries.deployments_of(reader, version.ref))]
    )
    movement = Movement(kind=MovementKind.DEPLOY, from_zone=version.zone, to_zone=zone, tags=frozenset(version.tags))
    return values.Facts(
        version=version.ref,
        digest=Digest.parse(version.digest),
        stage=Stage(version.stage),
        status=VersionStatus(version.status),
        tier=registered.tier_of(reader, version),
        zone=zone,
        policy=rules.digest,
        requester=version.registered_by,
        authors=lineage.authors_of(nodes),
        tags=frozenset(version.tags),
        inherited_tags=lineage.tags_of(nodes),
        datasets=frozenset(Digest.parse(node.digest) for node in nodes if node.kind == "dataset"),
        files=tuple(_file(file, rules) for file in version.files),
        evidence=tuple(_evidence(row, version) for row in queries.evidence_of(reader, version.ref)),
        approvals=tuple(_approval(row, nodes[0].statements, notary) for row in approvals),
        residency=residency.decide(rules.residency, movement, at=reader.now),
        open_findings=_open(findings),
        is_signature_verified=_is_signed(version, nodes[0].statements, notary),
        is_lineage_verified=all(_is_attested(node, notary) for node in nodes if node.kind in ATTESTED_BY),
        is_revoked=version.revoked_because is not None,
        is_suspended=any(row.state == "suspended" for row in approvals),
    )


def _file(file: dict[str, object], rules: PolicyBundle) -> values.FileFact:
    verdict = rules.formats.by_name(str(file["path"]), FileRole(str(file["role"])))
    return values.FileFact(
        path=str(file["path"]),
        role=FileRole(str(file["role"])),
        verdict=values.Verdict(str(file.get("verdict", verdict.verdict.value))),
        runner=verdict.runner,
        reason=verdict.reason,
        advice=verdict.advice,
    )


def _evidence(row: Evidence, version: ModelVersion) -> values.Evidence:
    metrics = {
        name: values.Measure(value=one["value"], lower=one.get("low"), upper=one.get("high"))
        for name, one in row.details.get("metrics", {}).items()
        if one["value"] is not None
    }
    # Evidence was admitted only with a verified statement whose subjects are this version's files.
    return values.Evidence(
        kind=row.kind,
        digest=Digest.parse(row.digest),
        subject=Digest.parse(version.digest),
        passed=row.result == "PASSED",
        at=row.at,
        is_signed=row.statement_id is not None,
        metrics=metrics,
    )


def _approval(row: Approval, about: Sequence[Statement], notary: Notary) -> values.Approval:
    return values.Approval(
        ref=str(row.id),
        role=Role(row.role),
        approver=row.approver,
        binding=values.Binding.parse(row.binding),
        at=row.approved_at,
        expires=row.expires_at,
        is_signed=_is_approved(row, about, notary),
        revoked_at=None if row.state == "active" else row.approved_at,
    )


def _is_approved(row: Approval, about: Sequence[Statement], notary: Notary) -> bool:
    """Whether the person's own signed statement says what the row says: a row alone approves nothing."""
    statement = next((one for one in about if one.id == row.statement_id), None)
    if statement is None or statement.revoked_because is not None:
        return False
    try:
        verified = notary.check(statement.bundle, statements.APPROVAL, [])
    except SignatureInvalid:
        return False
    said = verified.predicate
    return verified.identity == notary.person(row.approver) and (
        said.get("approver"),
        said.get("role"),
        said.get("binding"),
        said.get("expiresAt"),
    ) == (row.approver, row.role, row.binding, moment(row.expires_at))


def _open(findings: Iterable[Finding]) -> tuple[str, ...]:
    return tuple(row.ref for row in findings if row.state == "open")


def _is_signed(version: ModelVersion, about: Sequence[Statement], notary: Notary) -> bool:
    files = [(str(file["path"]), Digest.parse(str(file["digest"]))) for file in version.files]
    for row in about:
        if row.predicate_type != statements.OMS_SIGNATURE or row.revoked_because is not None:
            continue
        try:
            verified = notary.check(row.bundle, statements.OMS_SIGNATURE, [oms.root_digest(files)], zone=version.zone)
            oms.check_files(verified.parsed, files)
        except SignatureInvalid:
            continue
        return True
    return False


def _is_attested(node: Node, notary: Notary) -> bool:
    for row in node.statements:
        if row.revoked_because is not None:
            continue
        try:
            subjects = [] if node.kind == "version" else [Digest.parse(node.digest)]
            notary.check(row.bundle, ATTESTED_BY[node.kind], subjects, zone=node.zone)
        except SignatureInvalid:
            continue
        return True
    return False
