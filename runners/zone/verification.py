# SPDX-License-Identifier: Apache-2.0
"""What a runner verifies before it answers: bytes, signature, lineage, approvals, revocation.  Fails closed.

The registry's word is not enough here: every statement is verified again with the trust root that the agent got at its
enrolment, and what the registry says is compared with what was signed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from khatim.errors import SignatureInvalid, VerificationFailed
from khatim.vocabulary import Assurance, Digest, Stage, VersionStatus
from khatim.wire import answers, proofs
from policies import quorum
from registry import manifests
from registry.signing import identity, oms, statements
from registry.signing.appointments import appointed
from registry.signing.attesters import attesters_in
from registry.signing.identity import IdentityPolicy
from registry.signing.revocation import Book, Marks, Verdict
from registry.signing.verification import TrustRoot, VerifiedStatement, verify_bundle

KINDS = {
    "dataset": statements.DATASET_SNAPSHOT,
    "features": statements.FEATURE_MATERIALIZATION,
    "version": statements.TRAINING,
}


@dataclass(frozen=True)
class Trust:
    """Whom this agent believes: the trust root and the instance's identities."""

    root: TrustRoot
    instance: str
    issuer: str
    book: Book

    def verified(
        self, statement: answers.Statement, subjects: Sequence[Digest] = (), *, zone: str, at: datetime
    ) -> VerifiedStatement:
        """Verify one statement about something of *zone*: of its agents only that zone's count.

        Raises `SignatureInvalid`, also for one that is revoked at *at*.
        """
        policy = IdentityPolicy.of_instance(self.instance, self.issuer, attesters_in(zone))
        verified = verify_bundle(statement.bundle, self.root, policy, list(subjects))
        verdict = self.book.verdict(verified.marks, at)
        if not verdict.holds:
            raise SignatureInvalid(verdict.sentence, advice=verdict.advice)
        return verified


@dataclass(frozen=True)
class Verification:
    """What was verified, as the deployment's statement says it, and what of it a revocation could strike."""

    said: dict[str, Any]
    marks: tuple[Marks, ...]
    digests: frozenset[str]

    def struck(self, book: Book, at: datetime) -> Verdict:
        """Return whether everything that was relied on still stands."""
        verdicts = [*(book.verdict(marks, at) for marks in self.marks), book.forbids(self.digests, at)]
        reasons = tuple(dict.fromkeys(one for verdict in verdicts for one in verdict.reasons))
        return Verdict(not reasons, reasons)


@dataclass(frozen=True)
class _Asked:
    """What somebody's word must be bound to, and when it must be live."""

    version: str
    zone: str
    policy: str
    at: datetime


def verify(  # noqa: PLR0913 - what a dossier is judged by
    dossier: proofs.Dossier,
    trust: Trust,
    *,
    digest: str,
    zone: str,
    policy: str,
    seats: Sequence[Sequence[str]],
    at: datetime,
    is_self_attested: bool = False,
) -> Verification:
    """Verify everything about the version of *dossier*; return what was verified, for the deployment's statement.

    Raises `VerificationFailed` (or `SignatureInvalid`) naming the first thing that does not hold.
    """
    version = dossier.version
    _check_version(version, digest)
    trust = replace(trust, root=appointed(trust.root, dossier.appointments, trust.instance))
    files = [(str(file["path"]), Digest.parse(str(file["digest"]))) for file in version.files]
    own = dossier.nodes[0]
    digests = frozenset([digest, *(str(one) for _, one in files), *(node.digest for node in dossier.nodes)])
    _check_bytes(trust.book.forbids(digests, at))
    signature = _one(own, trust, statements.OMS_SIGNATURE, [oms.root_digest(files)], at)
    oms.check_files(signature.parsed, files)
    walked = [(node.ref, _attested(node, trust, at)) for node in dossier.nodes if node.kind in KINDS]
    if {"dataset"} - {node.kind for node in dossier.nodes}:
        raise VerificationFailed(f"{version.ref} names no dataset that it was trained on")
    asked = _Asked(digest, zone, policy, at)
    granted = _approvals(dossier, trust, asked)
    voices = {number: {who for role in seat for who in granted.get(role, {})} for number, seat in enumerate(seats)}
    empty = voices.keys() - quorum.saturated(voices)
    alone = _attestation(dossier, trust, asked) if is_self_attested else None
    if empty or not (seats or alone):
        missing = [" or ".join(seats[number]) for number in sorted(empty)]
        raise VerificationFailed(
            f"{version.ref} lacks valid approvals by different people: {', '.join(missing) or 'none was required'}",
            missing=missing,
        )
    said = {
        "version": version.ref,
        "digest": digest,
        "signed_by": signature.identity,
        "lineage": [ref for ref, _ in walked],
        "approvals": {role: ", ".join(sorted(given)) for role, given in sorted(granted.items())},
        "policy": policy,
        "assurance": Assurance.INDEPENDENT.value if seats else f"{Assurance.SELF_ATTESTED}: not independently approved",
    }
    approvals = [marks for given in granted.values() for marks in given.values()] + ([alone] if alone else [])
    return Verification(said, (signature.marks, *(marks for _, marks in walked), *approvals), digests)


def _check_bytes(verdict: Verdict) -> None:
    if not verdict.holds:
        raise VerificationFailed(verdict.sentence, advice=verdict.advice)


def _check_version(version: answers.Version, digest: str) -> None:
    manifest = {"files": version.files, "bases": version.bases}
    if version.digest != digest or str(manifests.digest_of(manifest)) != digest:
        raise VerificationFailed(f"the manifest of {version.ref} is not the one that was dispatched", expected=digest)
    if version.status != VersionStatus.READY.value:
        raise VerificationFailed(f"{version.ref} is {version.status}")
    if version.stage != Stage.PRODUCTION.value:
        raise VerificationFailed(f"{version.ref} stands in stage {version.stage}, not in production")
    if version.revoked_because is not None:
        raise VerificationFailed(f"{version.ref} was revoked: {version.revoked_because}")


def _one(node: proofs.Node, trust: Trust, kind: str, subjects: Sequence[Digest], at: datetime) -> VerifiedStatement:
    failure: SignatureInvalid | None = None
    for statement in node.statements:
        try:
            verified = trust.verified(statement, subjects, zone=node.zone, at=at)
        except SignatureInvalid as error:
            failure = error
            continue
        if verified.kind == kind:
            return verified
    raise failure or SignatureInvalid(f"{node.ref} has no statement of the kind {kind}")


def _attested(node: proofs.Node, trust: Trust, at: datetime) -> Marks:
    subjects = [] if node.kind == "version" else [Digest.parse(node.digest)]
    return _one(node, trust, KINDS[node.kind], subjects, at).marks


def _attestation(dossier: proofs.Dossier, trust: Trust, what: _Asked) -> Marks | None:
    """Return the marks of a self-attestation of exactly this that is in force, None without one."""
    active = {one.attester for one in dossier.attestations if one.state == "active"}
    given = _said(dossier, trust, what, statements.SELF_ATTESTATION, "attester")
    return next((said.marks for said in given if str(said.predicate["attester"]) in active), None)


def _approvals(dossier: proofs.Dossier, trust: Trust, what: _Asked) -> dict[str, dict[str, Marks]]:
    """Return who approved in each role; whoever stood in for somebody counts as them."""
    active = {(one.approver, one.role) for one in dossier.approvals if one.state == "active"}
    granted: dict[str, dict[str, Marks]] = {}
    for verified in _said(dossier, trust, what, statements.APPROVAL, "approver"):
        said: Mapping[str, Any] = verified.predicate
        approver, role = str(said["approver"]), str(said["role"])
        if (approver, role) in active:
            granted.setdefault(role, {})[str(said.get("standsInFor", approver))] = verified.marks
    return granted


def _said(dossier: proofs.Dossier, trust: Trust, what: _Asked, kind: str, speaker: str) -> Iterator[VerifiedStatement]:
    """Yield the statements of *kind* about exactly *what*, live, each signed by the person whom *speaker* names.

    One that does not verify grants nothing; whether enough is granted without it is decided by who counts.
    """
    for statement in dossier.nodes[0].statements:
        if statement.predicate_type != kind:
            continue
        try:
            verified = trust.verified(statement, zone=what.zone, at=what.at)
        except SignatureInvalid:
            continue
        said: Mapping[str, Any] = verified.predicate
        is_bound = all(said["binding"][name] == getattr(what, name) for name in ("version", "zone", "policy"))
        is_own = verified.speaker == identity.person(trust.instance, str(said[speaker]))
        expires = datetime.fromisoformat(str(said["expiresAt"])).astimezone(UTC)
        if is_bound and is_own and what.at < expires:
            yield verified
