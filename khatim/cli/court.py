# SPDX-License-Identifier: Apache-2.0
"""The judge's work on one dossier: each statement, node, approval and piece of evidence, as of one moment and now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from khatim.cli.judgements import Check, Consent, Signed, Station
from khatim.errors import KhatimError, SignatureInvalid
from khatim.vocabulary import Basis, Digest
from khatim.wire import answers, proofs

if TYPE_CHECKING:
    from registry.signing.bases import Circumstances
    from registry.signing.revocation import Book, Standing
    from registry.signing.verification import TrustRoot, VerifiedStatement

REMAKE = "Make it again with a job of its zone, which signs what it makes."
ASK_AGAIN = "Have the version approved again."
COMPARE = "Fetch the dossier again; if it stays so, compare the registry's rows with its ledger: khatim ledger verify."
EVALUATE = "Evaluate or scan the version again: evidence counts as it was signed."
REPLACE = "Take it out of service and make a version that does not rest on it."


class Court:
    """What judging needs throughout: the dossier, whom to believe, what was revoked, then and now."""

    def __init__(
        self,
        dossier: proofs.Dossier,
        root: TrustRoot,
        instance: str,
        book: Book,
        at: datetime,
        now: datetime,
        around: Mapping[str, Circumstances],
    ) -> None:
        """Judge *dossier* by *root* and *book*, as of *at*, and say what changed until *now*."""
        self.dossier = dossier
        self.instance = instance
        self._root = root
        self._book = book
        self._at = at
        self._now = now
        self._around = around
        self._digests = {node.ref: node.digest for node in dossier.nodes}

    def station(self, node: proofs.Node) -> Station:
        """Judge one node: its statements, and what must be claimed about a thing of its kind."""
        statements = tuple(self._signed(one, node.zone) for one in node.statements)
        checks = list(self._provenance(node, statements))
        if node.ref == self.dossier.version.ref:
            checks += self._version(statements)
        if node.kind == "artifact":
            is_named = node.ref == f"artifact:{node.digest}"
            checks.append(_check("name", is_named, f"its digest is {node.digest}", COMPARE))
        return Station(node, statements, tuple(checks))

    def consent(self, approval: answers.Approval, own: Sequence[Signed]) -> Consent:
        """Judge one approval: whether that person signed it, and about exactly what stands here."""
        version, bound = self.dossier.version, approval.binding
        data = sorted(node.digest for node in self.dossier.nodes if node.kind == "dataset")
        known = {one.digest for one in self.dossier.evidence}
        unknown = sorted(set(bound.get("evidence", [])) - known)
        missing = f"bound to evidence that is not here: {', '.join(unknown)}"
        signed = self._yes(approval, own)
        checks = (
            signed[0],
            _check("version", bound.get("version") == version.digest, f"bound to {bound.get('version')}", ASK_AGAIN),
            _check("datasets", bound.get("datasets") == data, f"bound to {bound.get('datasets')}", ASK_AGAIN),
            _check("evidence", not unknown, missing, ASK_AGAIN),
            _check("zone", bound.get("zone") == version.zone, f"bound to zone {bound.get('zone')}", ASK_AGAIN),
        )
        return Consent(
            approval,
            checks,
            is_expired=self._at >= approval.expires_at.astimezone(UTC),
            # Timestamps have whole seconds, rows do not.
            is_given=approval.approved_at.astimezone(UTC).replace(microsecond=0) <= self._at,
            bases=signed[1].bases if signed[1] else (Basis.DECLARED,),
            rests=signed[1].rests if signed[1] else Basis.DECLARED.value,
        )

    def evidence(self, one: answers.Evidence, own: Sequence[Signed]) -> tuple[Check, tuple[Basis, ...]]:
        """Judge whether evidence is what its digest says and what a statement about this version says."""
        from audit.canonical import canonical
        from registry.signing import statements

        about = f"{one.kind} {one.digest}"
        if str(Digest.of(canonical(one.details))) != one.digest:
            why = "it does not have the digest that it was submitted with"
            return Check(about, holds=False, why=why, advice=COMPARE), (Basis.DECLARED,)
        files = one.details.get("files")
        scanned = None if files is None else Digest.of(canonical(files)).hex
        for signed in own:
            if signed.verified is None or signed.verified.kind != statements.TEST_RESULT:
                continue
            predicate = signed.verified.predicate
            listed = [part["digest"].get("sha256") for part in predicate.get("configuration", [])]
            if dict(predicate) == one.details or (scanned in listed and predicate.get("result") == one.result):
                return Check(about, holds=True), signed.bases
        why = "no verified statement about this version says so"
        return Check(about, holds=False, why=why, advice=EVALUATE), (Basis.DECLARED,)

    def bytes_allowed(self) -> Iterable[Check]:
        """Yield whether the version's bytes, and everything that it was made from, are not revoked."""
        version = self.dossier.version
        digests = {version.digest, *version.bases, *self._digests.values()}
        digests |= {str(file["digest"]) for file in version.files}
        verdict = self._book.forbids(digests, self._at)
        yield _check("bytes", verdict.holds, verdict.sentence, REPLACE)

    def version_stands(self) -> Check:
        """Say whether the version itself had been revoked by then."""
        version = self.dossier.version
        if version.revoked_because is None:
            return Check(version.ref, holds=True)
        told = (one for one in self.dossier.decisions if one.get("kind") == "version.revoked")
        since = min((datetime.fromisoformat(str(one["at"])) for one in told), default=None)
        if since is not None and self._at < since:
            return Check(version.ref, holds=True)
        return Check(version.ref, holds=False, why=f"it was revoked: {version.revoked_because}", advice=REPLACE)

    def _signed(self, statement: answers.Statement, zone: str) -> Signed:
        from registry.signing import bases
        from registry.signing.attesters import attesters_in
        from registry.signing.bases import Circumstances
        from registry.signing.identity import IdentityPolicy
        from registry.signing.verification import verify_bundle

        kind = statement.predicate_type
        try:
            # Whoever says what happened in a zone must be an agent of that very zone.
            policy = IdentityPolicy.of_instance(self.instance, f"https://{self.instance}", attesters_in(zone))
            found = verify_bundle(statement.bundle, self._root, policy)
        except KhatimError as error:
            check = Check(kind, holds=False, why=error.detail, advice=error.advice or COMPARE)
            return Signed(kind, statement.identity, statement.signed_at, check)
        standing = self._book.standing(found.marks, at=self._at, now=self._now)
        around = self._around.get(str(Digest.of(statement.bundle.encode())), Circumstances())
        rests = bases.bases_of(found, self.instance, around)
        return Signed(
            kind=found.kind,
            identity=found.identity,
            signed_at=found.signed_at,
            check=self._then(kind, standing),
            verified=found if standing.then.holds else None,
            standing=standing,
            bases=rests,
            rests=bases.told(rests, found, self.instance),
            now=standing.now.sentence,
        )

    def _then(self, kind: str, standing: Standing) -> Check:
        if standing.then.holds:
            return Check(kind, holds=True)
        if not standing.is_made:
            return Check(kind, holds=False, why="it was signed only later", advice="Ask about a later moment: --at.")
        known = " Nobody could know that then: it was recorded later." if standing.unforeseen else ""
        return Check(kind, holds=False, why=standing.then.sentence + known, advice=standing.then.advice)

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
        made = [one for one in _holding(statements) if one.kind == attested_by[node.kind]]
        made = [one for one in made if digests <= {str(digest) for digest in one.digests}]
        if not made:
            yield Check("provenance", holds=False, why="no verified statement says how it was made", advice=REMAKE)
            return
        inputs = made[-1].predicate.get("buildDefinition", {}).get("resolvedDependencies", [])
        named = {f"sha256:{one.get('digest', {}).get('sha256', '')}" for one in inputs}
        for parent, role in node.made_from:
            why = f"its provenance does not name {parent} ({self._digests.get(parent, 'unknown')})"
            yield _check(f"made from {parent} ({role})", self._digests.get(parent) in named, why, REMAKE)

    def _version(self, statements: Sequence[Signed]) -> Iterable[Check]:
        from registry import manifests
        from registry.signing import oms
        from registry.signing.statements import OMS_SIGNATURE

        version = self.dossier.version
        computed = str(manifests.digest_of({"files": version.files, "bases": version.bases}))
        yield _check("manifest", computed == version.digest, f"its files give {computed}", COMPARE)
        files = [(str(file["path"]), Digest.parse(str(file["digest"]))) for file in version.files]
        signatures = [one for one in _holding(statements) if one.kind == OMS_SIGNATURE]
        if not signatures:
            yield Check("files", holds=False, why="no verified signature covers its files", advice=REMAKE)
            return
        try:
            oms.check_files(signatures[-1].parsed, files)
        except SignatureInvalid as error:
            yield Check("files", holds=False, why=error.detail, advice=error.advice or COMPARE)
        else:
            yield Check("files", holds=True)

    def _yes(self, approval: answers.Approval, own: Sequence[Signed]) -> tuple[Check, Signed | None]:
        """Say whether the approver's own signed statement says this very thing, and which statement that is."""
        from registry.signing import identity
        from registry.signing.statements import APPROVAL

        person = identity.person(self.instance, approval.approver)
        for one in own:
            said = one.verified.predicate if one.verified and one.verified.kind == APPROVAL else {}
            same = (said.get("approver"), said.get("role")) == (approval.approver, approval.role)
            speaks = one.verified is not None and one.verified.speaker == person
            if same and said.get("binding") == approval.binding and speaks:
                return Check("signature", holds=True), one
        why = "no statement signed by the approver says so"
        return Check("signature", holds=False, why=why, advice=ASK_AGAIN), None


def _holding(statements: Sequence[Signed]) -> list[VerifiedStatement]:
    return [one.verified for one in statements if one.verified is not None]


def _check(about: str, holds: bool, why: str, advice: str) -> Check:  # noqa: FBT001 - the fact itself
    return Check(about, holds=True) if holds else Check(about, holds=False, why=why, advice=advice)
