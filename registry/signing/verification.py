# SPDX-License-Identifier: Apache-2.0
"""Verifying a bundle, offline: all that sigstore-python checks, and what it leaves open.  The door of ``sigstore``.

sigstore-python checks certificate chain, embedded SCT, timestamp, signature, log proof and checkpoint signature.
Beyond that: one of everything, the log's origin and size bound (`registry.signing.binding`), the authorities in office
at the time of the timestamp, the identity allowed to make this kind of statement, and the subjects expected.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from cryptography import x509
from sigstore.errors import CertValidationError
from sigstore.models import Bundle as SigstoreBundle
from sigstore.models import ClientTrustConfig
from sigstore.verify import Verifier
from sigstore.verify.policy import Identity as SigstoreIdentity

from khatim.errors import Malformed, Misconfigured, SignatureInvalid
from khatim.vocabulary import Digest
from registry.signing import bare_key, statements
from registry.signing import bundle as bundles
from registry.signing.binding import ASK_ROOT, ASK_SIGNER, Anchors, identity_of
from registry.signing.bundle import Bundle
from registry.signing.certificates import HOSTILE
from registry.signing.clocks import Clocks, Dated
from registry.signing.deputies import Deputy, Root
from registry.signing.encoding import strict_json
from registry.signing.identity import Identity, IdentityPolicy
from registry.signing.marking import authority_of, marks_of
from registry.signing.revocation import Marks
from registry.signing.statements import Statement, Subject
from registry.signing.trust import CLIENT_TRUST_CONFIG, SIGNING_CONFIG, TRUSTED_ROOT

# Words in sigstore-python's exceptions, what they mean, and what to do.
_MEANINGS = (
    ("verified time", "no timestamp by a timestamp authority of this trust root vouches for the signature", ASK_ROOT),
    ("SCT", "the certificate is not recorded in a certificate log of this trust root", ASK_ROOT),
    ("DSSE: invalid signature", "the signature is not over this statement by the certificate's key", ASK_SIGNER),
    ("expired at time of signing", "the certificate was not valid at the time of the timestamp", ASK_SIGNER),
    ("other materials", "the log entry is about another statement, signature or certificate", ASK_SIGNER),
    ("log entry", "the log does not vouch for this signature: proof or checkpoint do not hold", ASK_SIGNER),
)


@dataclass(frozen=True, slots=True)
class VerifiedStatement:
    """A statement that holds: what it says, who signed it, on whose word, when, and where it stands in the log."""

    statement: Mapping[str, Any]
    predicate_type: str
    kind: str  # the SLSA build type of a provenance, else the predicate type
    subjects: tuple[Subject, ...]
    identity: str
    issuer: str
    signed_at: datetime
    log_index: int
    clock: str  # address of the timestamp authority, as the trust root names it
    marks: Marks  # how a revocation recognises it
    outside: str = ""  # address of a second timestamp authority, which the operator does not run, that agrees
    spoken_for: str = ""  # in whose name a deputy signed (`registry.signing.deputies`); empty: the signer's own
    degraded: str = ""  # what is weaker about the signature, in words; empty when nothing is

    @property
    def speaker(self) -> str:
        """In whose name the statement speaks: the certificate's, or that of whom a deputy signed for."""
        return self.spoken_for or self.identity

    @property
    def parsed(self) -> Statement:
        """The statement in the form that `oms` reads."""
        return Statement(b"", self.subjects, self.predicate_type, self.predicate)

    @property
    def predicate(self) -> Mapping[str, Any]:
        """What is claimed about the subjects."""
        predicate: Mapping[str, Any] = self.statement["predicate"]
        return predicate

    @property
    def digests(self) -> frozenset[Digest]:
        """The digests of the subjects."""
        return frozenset(subject.digest for subject in self.subjects)


@dataclass(frozen=True, slots=True)
class TrustRoot:
    """A parsed ``trusted_root.json``: whom a verifier believes.  Parse once, verify often; safe for several threads."""

    anchors: Anchors
    clocks: Clocks
    _verifier: Verifier
    deputies: tuple[Deputy, ...] = ()  # whom its authority appointed to sign for the registry

    @classmethod
    def load(cls, trusted_root: str) -> TrustRoot:
        """Read a trusted root (JSON text); the last few are kept parsed.  Raises `Misconfigured` if it is not one."""
        return _load(trusted_root)

    def check(self, bundle: str, who: Identity) -> None:
        """Have sigstore-python verify *bundle* as signed by *who*; raises `SignatureInvalid`."""
        try:
            parsed = SigstoreBundle.from_json(bundle)
            self._verifier.verify_dsse(parsed, SigstoreIdentity(identity=who.name, issuer=who.issuer))
        except Exception as wrong:  # fed with hostile bytes: whatever it raises, the bundle is not verified
            raise _translated(wrong) from wrong

    def deputies_of(self, parts: Bundle) -> list[Deputy]:
        """Return those appointed signers who may have signed: none for what this root's own authority certified."""
        if not self.deputies:
            return []
        if parts.hint:
            return [one for one in self.deputies if one.key and bare_key.hint_of(one.key) == parts.hint]
        issuer = authority_of(_certificate(parts.certificate))
        if any(key == issuer for key, _ in self.anchors.authorities):
            return []
        known = [one for one in self.deputies if one.root is not None]
        return [one for one in known if one.root and any(key == issuer for key, _ in one.root.anchors.authorities)]


@lru_cache(maxsize=8)
def _load(trusted_root: str) -> TrustRoot:
    try:
        body = strict_json(trusted_root, "the trusted root")
        # The public way to a TrustedRoot from text leads through a client configuration.
        whole = {"mediaType": CLIENT_TRUST_CONFIG, "trustedRoot": body, "signingConfig": {"mediaType": SIGNING_CONFIG}}
        verifier = Verifier(trusted_root=ClientTrustConfig.from_json(json.dumps(whole)).trusted_root)
        anchors, clocks = Anchors.of(body), Clocks.of(body)
        known = body["mediaType"] == TRUSTED_ROOT
    except Exception as wrong:  # ours or the vendor's: this is not a trusted root
        raise Misconfigured(f"the trusted root cannot be read: {str(wrong)[:200]}", advice=ASK_ROOT) from wrong
    if not known:
        raise Misconfigured(f"the trusted root is not of media type {TRUSTED_ROOT}", advice=ASK_ROOT)
    return TrustRoot(anchors, clocks, verifier)


def verify_bundle(
    bundle: str, root: TrustRoot, policy: IdentityPolicy, expected_subjects: Collection[Digest] | None = None
) -> VerifiedStatement:
    """Verify a Sigstore bundle (JSON text) without any network; return what it says and who said so.

    *expected_subjects* must all be subjects of the statement (none are asked for by default).  Raises
    `SignatureInvalid` with a sentence that says what does not hold and, as advice, what to do.
    """
    try:
        parts = bundles.parse(bundle)
        statement = statements.parse(parts.payload)
    except Malformed as wrong:
        raise SignatureInvalid(f"the bundle cannot be read: {wrong.detail}", advice=ASK_SIGNER) from wrong
    if parts.payload_type != statements.PAYLOAD_TYPE:
        raise SignatureInvalid(f"what is signed is not an in-toto statement but {parts.payload_type[:80]!r}")
    failure: SignatureInvalid | None = None
    for deputy in root.deputies_of(parts):
        try:
            return _by_deputy(bundle, parts, statement, root, deputy, policy, expected_subjects)
        except SignatureInvalid as wrong:
            failure = wrong
    if failure is not None:
        raise failure
    if parts.hint:
        raise SignatureInvalid("it is signed by a bare key that nobody appointed: it names nobody", advice=ASK_SIGNER)
    certificate = _certificate(parts.certificate)
    who = identity_of(certificate)
    dated = _dated(bundle, parts, certificate, who, root)
    _check_claim(statement, who, policy, expected_subjects)
    return _found(parts, statement, who, dated, marks_of(parts, certificate, who.name, dated.at, statement.digests))


def _by_deputy(  # noqa: PLR0913, PLR0917 - a bundle in its parts, and who decides about it
    bundle: str,
    parts: Bundle,
    statement: Statement,
    root: TrustRoot,
    deputy: Deputy,
    policy: IdentityPolicy,
    expected: Collection[Digest] | None,
) -> VerifiedStatement:
    certificate = None
    if deputy.root is not None:
        certificate = _certificate(parts.certificate)
        if identity_of(certificate) != deputy.who:
            raise SignatureInvalid(f"it is not signed by {deputy.who.name}, who signs for the registry")
        dated = _dated(bundle, parts, certificate, deputy.who, deputy.root)
    else:
        dated = _dated_of_key(parts, deputy, root)
    deputy.check(statement.kind, dated.at)
    if statement.kind not in policy.allowed:
        raise _not_permitted(deputy.who, statement.kind)
    _check_subjects(statement, expected)
    speaker = deputy.speaker(statement.kind, statement.predicate)
    marks = marks_of(parts, certificate, speaker, dated.at, statement.digests)
    return _found(parts, statement, deputy.who, dated, marks, spoken_for=speaker, degraded=deputy.degraded)


def _dated(bundle: str, parts: Bundle, certificate: x509.Certificate, who: Identity, root: Root) -> Dated:
    root.check(bundle, who)
    # Nothing else could have dated it for sigstore-python: `bundle.parse` takes no time from a log entry.
    dated = root.clocks.dated(parts.timestamps, parts.signature, is_verified=True)
    root.anchors.check_log(parts, dated.at)
    root.anchors.check_time(certificate, dated.at)
    return dated


def _dated_of_key(parts: Bundle, deputy: Deputy, root: TrustRoot) -> Dated:
    if deputy.key is None:
        raise SignatureInvalid("it is signed by a bare key that nobody appointed: it names nobody", advice=ASK_SIGNER)
    bare_key.check_signature(parts, deputy.key)
    dated = root.clocks.dated(parts.timestamps, parts.signature)
    root.anchors.check_log(parts, dated.at, bare_key.body_of(parts, deputy.key))
    return dated


def _found(  # noqa: PLR0913 - what was verified, and by what it is recognised
    parts: Bundle, statement: Statement, who: Identity, dated: Dated, marks: Marks, *, spoken_for: str = "",
    degraded: str = "",
) -> VerifiedStatement:  # fmt: skip
    return VerifiedStatement(
        statement=json.loads(statement.payload),
        predicate_type=statement.predicate_type,
        kind=statement.kind,
        subjects=statement.subjects,
        identity=who.name,
        issuer=who.issuer,
        signed_at=dated.at,
        log_index=parts.entry.index,
        clock=dated.clock,
        marks=marks,
        outside=dated.outside,
        spoken_for=spoken_for,
        degraded=degraded,
    )


def _certificate(raw: bytes) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(raw)
    except HOSTILE as wrong:
        raise SignatureInvalid("the certificate in the bundle cannot be read", advice=ASK_SIGNER) from wrong


def _check_claim(
    statement: Statement, who: Identity, policy: IdentityPolicy, expected: Collection[Digest] | None
) -> None:
    if not policy.permits(statement.kind, who):
        raise _not_permitted(who, statement.kind)
    _check_subjects(statement, expected)


def _not_permitted(who: Identity, kind: str) -> SignatureInvalid:
    vouched = f" (vouched for by {who.issuer})" if who.issuer else ""
    return SignatureInvalid(
        f"{who.name}{vouched} may not make statements of the kind {kind}",
        advice="Let somebody sign who may, or change the policy of attesters.",
        identity=who.name,
        issuer=who.issuer,
        kind=kind,
    )


def _check_subjects(statement: Statement, expected: Collection[Digest] | None) -> None:
    missing = sorted(str(digest) for digest in set(expected or ()) - statement.digests)
    if missing:
        raise SignatureInvalid(
            f"the statement is not about {', '.join(missing)}",
            advice="Fetch the statement that belongs to these bytes, or check that the bytes are the right ones.",
            missing=missing,
        )


def _translated(wrong: Exception) -> SignatureInvalid:
    said = str(wrong)
    if isinstance(wrong, CertValidationError):
        sentence = "no authority of this trust root issued the certificate, or it was not valid at its timestamp"
        return SignatureInvalid(sentence, advice=ASK_ROOT, cause=said)
    for words, meaning, advice in _MEANINGS:
        if words in said:
            return SignatureInvalid(meaning, advice=advice, cause=said)
    return SignatureInvalid(f"the bundle does not verify: {said[:200]}", advice=ASK_SIGNER, cause=said)
