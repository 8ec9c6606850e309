# SPDX-License-Identifier: Apache-2.0
"""Verifying a bundle by a bare key: no certificate, so nobody vouches for who holds the key.

Such a bundle still has a timestamp and a log entry, and Sigstore's verifiers read it with the key in hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey

from khatim.errors import LedgerInvalid, Malformed, SignatureInvalid
from khatim.vocabulary import Digest
from registry.signing import bundle as bundles
from registry.signing import statements
from registry.signing.binding import ASK_SIGNER, Anchors
from registry.signing.bundle import Bundle
from registry.signing.certificates import HOSTILE, spki
from registry.signing.statements import Statement

DEGRADED = "no certificate: identity is the key only, and the time is not bound to a verified timestamp"


@dataclass(frozen=True, slots=True)
class KeyOnlyStatement:
    """A statement by a key.  It is another type than a verified statement, so that no gate takes it for one."""

    statement: Statement
    key: Digest
    log_index: int
    degraded: str = DEGRADED


def hint_of(public: EllipticCurvePublicKey) -> str:
    """Return the hint by which a bundle names a key: SHA-256 of its SubjectPublicKeyInfo, hexadecimal."""
    return sha256(spki(public)).hexdigest()


def verify_key_only(bundle: str, anchors: Anchors, keys: Mapping[str, EllipticCurvePublicKey]) -> KeyOnlyStatement:
    """Verify a bundle by one of *keys* (by hint), and that a log of *anchors* has it; raises `SignatureInvalid`.

    What comes back says that it is degraded.
    """
    try:
        parts = bundles.parse(bundle)
        statement = statements.parse(parts.payload)
    except Malformed as wrong:
        raise SignatureInvalid(f"the bundle cannot be read: {wrong.detail}", advice=ASK_SIGNER) from wrong
    public = keys.get(parts.hint)
    if public is None or hint_of(public) != parts.hint:
        raise SignatureInvalid("the bundle is signed by a key that is not known here", advice=ASK_SIGNER)
    check_signature(parts, public)
    log = anchors.logs.get(parts.entry.log_id)
    if log is None or parts.entry.body != body_of(parts, public):
        raise SignatureInvalid("no known log has an entry about this signature", advice=ASK_SIGNER)
    try:
        log.check(parts.entry)
    except LedgerInvalid as wrong:
        raise SignatureInvalid(f"the log does not vouch for this signature: {wrong.detail}") from wrong
    return KeyOnlyStatement(statement, Digest(parts.hint), parts.entry.index)


def check_signature(parts: Bundle, public: EllipticCurvePublicKey) -> None:
    """Check that the signature of a bundle is by the key over its statement; raises `SignatureInvalid`."""
    try:
        public.verify(parts.signature, statements.pae(parts.payload, parts.payload_type), ECDSA(hashes.SHA256()))
    except HOSTILE as wrong:
        raise SignatureInvalid("the signature is not over this statement by the key", advice=ASK_SIGNER) from wrong


def body_of(parts: Bundle, public: EllipticCurvePublicKey) -> bytes:
    """Return the log entry that a bundle by the key must have."""
    signed = sha256(statements.pae(parts.payload, parts.payload_type)).digest()
    return bundles.entry_body(signed, parts.signature, b"", spki(public))
