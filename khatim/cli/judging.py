# SPDX-License-Identifier: Apache-2.0
"""Judging a version offline by its dossier: every signature, digest and binding from the model to the raw file.

The registry's word counts for nothing here: what it says is compared with what was signed, and who may sign what comes
from the trusted root and from the rules of this checkout, not from the registry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from khatim.errors import KhatimError, Misconfigured, SignatureInvalid
from khatim.vocabulary import Digest
from khatim.wire import answers, proofs

if TYPE_CHECKING:
    from registry.signing.verification import TrustRoot, VerifiedStatement


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: whether it holds, and if not why and what to do."""

    about: str
    holds: bool
    why: str = ""
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Signed:
    """One statement: what kind, by whom, when, and whether it holds."""

    kind: str
    identity: str
    signed_at: datetime
    check: Check
    verified: VerifiedStatement | None = None


@dataclass(frozen=True, slots=True)
class Station:
    """One thing on the way from the model to the raw file."""

    node: proofs.Node
    statements: tuple[Signed, ...]
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class Consent:
    """One approval, and whether it is about exactly this version, this data and this evidence."""

    approval: answers.Approval
    checks: tuple[Check, ...]
    is_expired: bool

    @property
    def counts(self) -> bool:
        """Whether it counts now: signed, bound, active, not expired."""
        return self.approval.state == "active" and not self.is_expired and all(one.holds for one in self.checks)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was found.  `faults` are claims that do not hold; a suspended approval is no fault but a state."""

    dossier: proofs.Dossier
    instance: str
    stations: tuple[Station, ...]
    consents: tuple[Consent, ...]
    evidence: tuple[Check, ...] = field(default=())

    @property
    def faults(self) -> tuple[Check, ...]:
        """Return everything that does not hold, with where it was found."""
        found: list[Check] = []
        for station in self.stations:
            where = station.node.ref
            found += _at(where, (one.check for one in station.statements))
            found += _at(where, station.checks)
        for consent in self.consents:
            found += _at(f"the approval as {consent.approval.role}", consent.checks)
        found += _at("evidence", self.evidence)
        revoked = self.dossier.version.revoked_because
        if revoked is not None:
            found.append(Check(self.dossier.version.ref, holds=False, why=f"it was revoked: {revoked}"))
        return tuple(found)


def judge(dossier: proofs.Dossier, trusted_root: Mapping[str, Any], *, at: datetime) -> Judgement:
    """Judge *dossier* against *trusted_root*; raises `Misconfigured` when that is no trusted root."""
    from registry.signing.trust import dumps
    from registry.signing.verification import TrustRoot

    court = _Court(dossier, TrustRoot.load(dumps(trusted_root)), instance_of(trusted_root))
    stations = tuple(court.station(node) for node in from_the_top(dossier.nodes))
    own = stations[0].statements
    return Judgement(
        dossier=dossier,
        instance=court.instance,
        stations=stations,
        consents=tuple(court.consent(one, own, at) for one in dossier.approvals),
        evidence=tuple(court.evidence(one, own) for one in dossier.evidence),
    )


def from_the_top(nodes: Sequence[proofs.Node]) -> list[proofs.Node]:
    """Return the nodes of a lineage, each after everything that was made from it: the model first, raw files last."""
    depth = {node.ref: 0 for node in nodes}
    for _ in nodes:  # as many rounds as the longest way can have steps, so that even a circle ends
        for node in nodes:
            for parent, _role in node.made_from:
                if parent in depth:
                    depth[parent] = min(max(depth[parent], depth[node.ref] + 1), len(nodes))
    return sorted(nodes, key=lambda node: depth[node.ref])


def instance_of(trusted_root: Mapping[str, Any]) -> str:
    """Return the name of the instance whose trusted root this is; raises `Misconfigured`."""
    try:
        host = urlsplit(trusted_root["certificateAuthorities"][0]["uri"]).hostname or ""
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise Misconfigured("this is not a trusted root: it names no certificate authority") from error
    if not (host.startswith("ca.") and host.endswith(".khatim")):
        raise Misconfigured(f"the authority {host!r} of this trusted root is not a Khatim instance's")
    return host.removeprefix("ca.").removesuffix(".khatim")


class _Court:
    """What judging needs throughout: the dossier and whom to believe."""

    def __init__(self, dossier: proofs.Dossier, root: TrustRoot, instance: str) -> None:
        self.dossier = dossier
        self.instance = instance
        self._root = root
        self._digests = {node.ref: node.digest for node in dossier.nodes}

    def station(self, node: proofs.Node) -> Station:
        """Judge one node: its statements, and what must be claimed about a thing of its kind."""
        statements = tuple(self._signed(one, node.zone) for one in node.statements)
        checks = list(self._provenance(node, statements))
        if node.ref == self.dossier.version.ref:
            checks += self._version(statements)
        if node.kind == "artifact":
            checks.append(_check("name", node.ref == f"artifact:{node.digest}", f"its digest is {node.digest}"))
        return Station(node, statements, tuple(checks))

    def consent(self, approval: answers.Approval, own: Sequence[Signed], at: datetime) -> Consent:
        """Judge one approval: whether that person signed it, and about exactly what stands here."""
        version, bound = self.dossier.version, approval.binding
        data = sorted(node.digest for node in self.dossier.nodes if node.kind == "dataset")
        known = {one.digest for one in self.dossier.evidence}
        unknown = sorted(set(bound.get("evidence", [])) - known)
        checks = (
            self._yes(approval, own),
            _check("version", bound.get("version") == version.digest, f"bound to {bound.get('version')}"),
            _check("datasets", bound.get("datasets") == data, f"bound to {bound.get('datasets')}"),
            _check("evidence", not unknown, f"bound to evidence that is not here: {', '.join(unknown)}"),
            _check("zone", bound.get("zone") == version.zone, f"bound to zone {bound.get('zone')}"),
        )
        return Consent(approval, checks, is_expired=at >= approval.expires_at.astimezone(UTC))

    def evidence(self, one: answers.Evidence, own: Sequence[Signed]) -> Check:
        """Judge whether evidence is what its digest says and what a statement about this version says."""
        from audit.canonical import canonical
        from registry.signing import statements

        about = f"{one.kind} {one.digest}"
        if str(Digest.of(canonical(one.details))) != one.digest:
            return Check(about, holds=False, why="it does not have the digest that it was submitted with")
        said = [s.verified.predicate for s in own if s.verified and s.verified.kind == statements.TEST_RESULT]
        files = one.details.get("files")
        scanned = None if files is None else Digest.of(canonical(files)).hex
        for predicate in said:
            listed = [part["digest"].get("sha256") for part in predicate.get("configuration", [])]
            if dict(predicate) == one.details or (scanned in listed and predicate.get("result") == one.result):
                return Check(about, holds=True)
        return Check(about, holds=False, why="no verified statement about this version says so")

    def _signed(self, statement: answers.Statement, zone: str) -> Signed:
        from registry.signing.attesters import attesters_in
        from registry.signing.identity import IdentityPolicy
        from registry.signing.verification import verify_bundle

        kind = statement.predicate_type
        try:
            if statement.revoked_because is not None:
                raise SignatureInvalid(f"it was revoked: {statement.revoked_because}")
            # Whoever says what happened in a zone must be an agent of that very zone.
            policy = IdentityPolicy.of_instance(self.instance, f"https://{self.instance}", attesters_in(zone))
            verified = verify_bundle(statement.bundle, self._root, policy)
        except KhatimError as error:
            check = Check(kind, holds=False, why=error.detail, advice=error.advice)
            return Signed(kind, statement.identity, statement.signed_at, check)
        return Signed(verified.kind, verified.identity, verified.signed_at, Check(kind, holds=True), verified)

    def _provenance(self, node: proofs.Node, statements: Sequence[Signed]) -> Iterable[Check]:
        """Yield whether a signed provenance says how the node was made, and from exactly the parents it claims."""
        from registry.signing import statements as kinds

        attested_by = {
            "dataset": kinds.DATASET_SNAPSHOT,
            "features": kinds.FEATURE_MATERIALIZATION,
            "version": kinds.TRAINING,
        }
        if node.kind not in attested_by:
            return
        digests = {node.digest}
        if node.kind == "version":
            digests = {str(file["digest"]) for file in self.dossier.version.files}
        made = [one.verified for one in statements if one.verified and one.verified.kind == attested_by[node.kind]]
        made = [one for one in made if digests <= {str(digest) for digest in one.digests}]
        if not made:
            yield Check("provenance", holds=False, why="no verified statement says how it was made", advice=_REMAKE)
            return
        inputs = made[-1].predicate.get("buildDefinition", {}).get("resolvedDependencies", [])
        named = {f"sha256:{one.get('digest', {}).get('sha256', '')}" for one in inputs}
        for parent, role in node.made_from:
            why = f"its provenance does not name {parent} ({self._digests.get(parent, 'unknown')})"
            yield _check(f"made from {parent} ({role})", self._digests.get(parent) in named, why, _REMAKE)

    def _version(self, statements: Sequence[Signed]) -> Iterable[Check]:
        from registry import manifests
        from registry.signing import oms
        from registry.signing.statements import OMS_SIGNATURE

        version = self.dossier.version
        computed = str(manifests.digest_of({"files": version.files, "bases": version.bases}))
        yield _check("manifest", computed == version.digest, f"its files give {computed}")
        files = [(str(file["path"]), Digest.parse(str(file["digest"]))) for file in version.files]
        signatures = [one.verified for one in statements if one.verified and one.verified.kind == OMS_SIGNATURE]
        if not signatures:
            yield Check("files", holds=False, why="no verified signature covers its files", advice=_REMAKE)
            return
        try:
            oms.check_files(signatures[-1].parsed, files)
        except SignatureInvalid as error:
            yield Check("files", holds=False, why=error.detail, advice=error.advice)
        else:
            yield Check("files", holds=True)

    def _yes(self, approval: answers.Approval, own: Sequence[Signed]) -> Check:
        """Say whether the approver's own signed statement says this very thing."""
        from registry.signing import identity
        from registry.signing.statements import APPROVAL

        person = identity.person(self.instance, approval.approver)
        for one in own:
            said = one.verified.predicate if one.verified and one.verified.kind == APPROVAL else {}
            same = (said.get("approver"), said.get("role")) == (approval.approver, approval.role)
            if same and said.get("binding") == approval.binding and one.identity == person:
                return Check("signature", holds=True)
        return Check("signature", holds=False, why="no statement signed by the approver says so", advice=_ASK_AGAIN)


_REMAKE = "Make it again with a job of its zone, which signs what it makes."
_ASK_AGAIN = "Have the version approved again."


def _check(about: str, holds: bool, why: str, advice: str = "") -> Check:  # noqa: FBT001 - the fact itself
    return Check(about, holds=True) if holds else Check(about, holds=False, why=why, advice=advice)


def _at(where: str, checks: Iterable[Check]) -> list[Check]:
    return [
        Check(f"{where}: {one.about}", holds=False, why=one.why, advice=one.advice) for one in checks if not one.holds
    ]
