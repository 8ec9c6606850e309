# SPDX-License-Identifier: Apache-2.0
"""What is known about a version, as the pure gates read it.  Signatures are verified again here, not remembered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from audit.events import moment
from audit.transaction import Reader
from governance import queries
from governance.court import Court
from governance.tables import SELF, Approval, Evidence, Finding
from governance.waiver_tables import Waiver
from khatim.errors import SignatureInvalid
from khatim.vocabulary import Decision, Digest, FileRole, Role, Stage, VersionStatus
from policies import facts as values
from policies.loading import PolicyBundle
from policies.residency import Movement, MovementKind
from registry import accounts, lineage, standing, transfers
from registry import queries as registered
from registry.accounts import Naturals
from registry.lineage import Node
from registry.notary import Notary
from registry.signing import oms, statements
from registry.tables import ModelVersion, Statement

ATTESTED_BY = {
    "dataset": statements.DATASET_SNAPSHOT,
    "features": statements.FEATURE_MATERIALIZATION,
    "version": statements.TRAINING,
}


def facts_of(  # noqa: PLR0913 - the version, where, what for, and who judges
    reader: Reader, version: ModelVersion, *, zone: str, notary: Notary, rules: PolicyBundle, purpose: str = ""
) -> values.Facts:
    """Return the facts of *version* for *zone* at the reader's moment, were it to serve there for *purpose*."""
    nodes = lineage.of(reader, version.ref)
    given = queries.given_to(reader, version.ref)
    findings = queries.findings_about(
        reader, [version.ref, *(row.ref for row in queries.deployments_of(reader, version.ref))]
    )
    court = Court(notary, standing.book_of(reader), reader.now)
    who = accounts.naturals(reader)
    return values.Facts(
        version=version.ref,
        digest=Digest.parse(version.digest),
        stage=Stage(version.stage),
        status=VersionStatus(version.status),
        tier=registered.tier_of(reader, version),
        zone=zone,
        policy=rules.digest,
        requester=who(version.registered_by),
        authors=who.all(lineage.authors_of(nodes)),
        tags=frozenset(version.tags),
        inherited_tags=lineage.tags_of(nodes),
        datasets=frozenset(Digest.parse(node.digest) for node in nodes if node.kind == "dataset"),
        files=files_of(version, rules),
        evidence=tuple(
            _evidence(row, version, nodes[0].statements, court) for row in queries.evidence_of(reader, version.ref)
        ),
        approvals=tuple(_approval(row, nodes[0].statements, court, who) for row in given if row.role != SELF),
        attestations=tuple(_attestation(row, nodes[0].statements, court) for row in given if row.role == SELF),
        waivers=tuple(
            _waiver(row, nodes[0].statements, court, who)
            for row in queries.waivers_of(reader, version.ref)
            if row.approved_by is not None
        ),
        residency=residency_of(reader, version, zone=zone, rules=rules, purpose=purpose),
        open_findings=_open(findings),
        is_signature_verified=_is_signed(version, nodes[0].statements, court),
        is_lineage_verified=all(_is_attested(node, court) for node in nodes if node.kind in ATTESTED_BY),
        is_revoked=version.revoked_because is not None or not court.allows(bytes_of(version, nodes)),
        is_suspended=any(row.state == "suspended" for row in given),
    )


def residency_of(
    reader: Reader, version: ModelVersion, *, zone: str, rules: PolicyBundle, purpose: str = ""
) -> Decision:
    """Decide whether *version* may serve in *zone* for *purpose*."""
    movement = Movement(
        kind=MovementKind.DEPLOY,
        from_zone=version.zone,
        to_zone=zone,
        tags=frozenset(version.tags),
        purpose=purpose,
    )
    return transfers.decide(reader, movement, rules, lambda: (version.ref, f"artifact:{version.digest}"))


def files_of(version: ModelVersion, rules: PolicyBundle) -> tuple[values.FileFact, ...]:
    """Return what the formats of a version's files allow."""
    return tuple(_file(file, rules) for file in version.files)


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


def bytes_of(version: ModelVersion, nodes: Sequence[Node]) -> frozenset[str]:
    """Return the digests that the version is, consists of, and was made from."""
    files = (str(file["digest"]) for file in version.files)
    return frozenset([version.digest, *version.bases, *files, *(node.digest for node in nodes)])


def _said(row: Evidence | Approval | Waiver, about: Sequence[Statement]) -> Statement | None:
    """Return the signed statement that *row* rests on."""
    return next((one for one in about if one.id == row.statement_id), None)


def _evidence(row: Evidence, version: ModelVersion, about: Sequence[Statement], court: Court) -> values.Evidence:
    metrics = {
        name: values.Measure(value=one["value"], lower=one.get("low"), upper=one.get("high"))
        for name, one in row.details.get("metrics", {}).items()
        if one["value"] is not None
    }
    # Evidence was admitted only with a verified statement whose subjects are this version's files; it counts while
    # that statement stands.
    statement = _said(row, about)
    return values.Evidence(
        kind=row.kind,
        digest=Digest.parse(row.digest),
        subject=Digest.parse(version.digest),
        passed=row.result == "PASSED",
        at=row.at,
        is_signed=statement is not None and court.stands(statement, statements.TEST_RESULT, zone=version.zone),
        metrics=metrics,
    )


def _approval(row: Approval, about: Sequence[Statement], court: Court, who: Naturals) -> values.Approval:
    return values.Approval(
        ref=str(row.id),
        role=Role(row.role),
        approver=who(row.approver),
        binding=values.Binding.parse(row.binding),
        at=row.approved_at,
        expires=row.expires_at,
        is_signed=_is_approved(row, about, court),
        # Its own end says when an expired one stopped counting.
        revoked_at=None if row.state in ("active", "expired") else row.approved_at,
        stands_in_for=who(row.stands_in_for),
        ticket=str(row.ticket.get("id", "")),
    )


def approved(row: Approval) -> dict[str, Any]:
    """Return what an approver signs; the row must say the same for as long as it is to count."""
    extra = {"standsInFor": row.stands_in_for, "ticket": row.ticket, "obligations": row.obligations}
    return {
        "approver": row.approver,
        "role": row.role,
        "meaning": row.meaning,
        "binding": row.binding,
        "approvedAt": moment(row.approved_at),
        "expiresAt": moment(row.expires_at),
        "assurance": "server-attested",
        **{name: value for name, value in extra.items() if value},
    }


def attested(row: Approval) -> dict[str, Any]:
    """Return what a person signs who attests alone; the row must say the same for as long as it is to count."""
    return {
        "attester": row.approver,
        "meaning": row.meaning,
        "checklist": row.checklist,
        "binding": row.binding,
        "attestedAt": moment(row.approved_at),
        "expiresAt": moment(row.expires_at),
        "assurance": "not independently approved",
    }


def _attestation(row: Approval, about: Sequence[Statement], court: Court) -> values.Attestation:
    statement = _said(row, about)
    return values.Attestation(
        binding=values.Binding.parse(row.binding),
        checklist=frozenset(row.checklist),
        at=row.approved_at,
        expires=row.expires_at,
        is_signed=court.vouches(statement, statements.SELF_ATTESTATION, by=row.approver, says=attested(row)),
        is_standing=row.state in ("active", "expired"),
    )


def _is_approved(row: Approval, about: Sequence[Statement], court: Court) -> bool:
    """Whether the person's own signed statement says what the row says: a row alone approves nothing."""
    statement = _said(row, about)
    return court.vouches(statement, statements.APPROVAL, by=row.approver, says=approved(row))


def waived(row: Waiver, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an approver signs who gives a waiver: what was asked for, and what *given* adds to its row.

    The row must say the same for as long as it is to excuse anything.
    """
    return {
        "approver": given["approved_by"],
        "requester": row.requested_by,
        "rule": row.rule,
        "binding": given["binding"],
        "excuses": given["excuses"],
        "reason": row.reason,
        "control": row.control,
        "approvedAt": moment(given["approved_at"]),
        "expiresAt": moment(given["expires_at"]),
    }


def _waiver(row: Waiver, about: Sequence[Statement], court: Court, who: Naturals) -> values.Waiver:
    never = datetime.min.replace(tzinfo=UTC)
    return values.Waiver(
        ref=row.ref,
        rule=row.rule,
        binding=values.Binding.parse(row.binding),
        excuses=frozenset(row.excuses),
        requester=who(row.requested_by),
        approver=who(row.approved_by or ""),
        at=row.approved_at or never,
        expires=row.expires_at or never,
        is_signed=_is_waived(row, about, court),
        revoked_at=None if row.state == "approved" else row.ended_at or row.approved_at,
    )


def _is_waived(row: Waiver, about: Sequence[Statement], court: Court) -> bool:
    """Whether the approver's own signed statement says what the row says."""
    statement = _said(row, about)
    if row.approved_by is None or row.expires_at is None:
        return False
    return court.vouches(statement, statements.WAIVER, by=row.approved_by, says=waived(row, vars(row)))


def _open(findings: Iterable[Finding]) -> tuple[str, ...]:
    return tuple(row.ref for row in findings if row.state == "open")


def _is_signed(version: ModelVersion, about: Sequence[Statement], court: Court) -> bool:
    for row in about:
        if row.predicate_type != statements.OMS_SIGNATURE:
            continue
        try:
            root = oms.root_digest(version.subjects)
            verified = court.check(row, statements.OMS_SIGNATURE, [root], zone=version.zone)
            oms.check_files(verified.parsed, version.subjects)
        except SignatureInvalid:
            continue
        return True
    return False


def _is_attested(node: Node, court: Court) -> bool:
    for row in node.statements:
        try:
            subjects = [] if node.kind == "version" else [Digest.parse(node.digest)]
            court.check(row, ATTESTED_BY[node.kind], subjects, zone=node.zone)
        except SignatureInvalid:
            continue
        return True
    return False
