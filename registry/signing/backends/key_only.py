# SPDX-License-Identifier: Apache-2.0
"""Key-only mode, degraded: a bundle without a certificate, in which nobody vouches for who holds the key.

It is for places that have a key and no authority.  Such a bundle still has a timestamp and a log entry, and Sigstore's
verifiers read it with the key in hand; but no policy of identities accepts it, so it opens no gate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey, EllipticCurvePublicKey

from audit.canonical import canonical
from khatim.errors import LedgerInvalid, Malformed, SignatureInvalid
from khatim.vocabulary import Digest
from registry.signing import bundle as bundles
from registry.signing import statements
from registry.signing.authority import Authority
from registry.signing.binding import ASK_SIGNER, Anchors
from registry.signing.bundle import KEY_DETAILS, KIND, KIND_VERSION, LogEntry
from registry.signing.certificates import HOSTILE, spki
from registry.signing.encoding import b64, members, strict_json, text_of, unb64
from registry.signing.statements import Statement

DEGRADED = "no certificate: identity is the key only, and the time is not bound to a verified timestamp"


def hint_of(public: EllipticCurvePublicKey) -> str:
    """Return the hint by which a bundle names a key: SHA-256 of its SubjectPublicKeyInfo, hexadecimal."""
    return sha256(spki(public)).hexdigest()


@dataclass(frozen=True, slots=True)
class KeyOnlyStatement:
    """A statement by a key.  It is another type than a verified statement, so that no gate takes it for one."""

    statement: Statement
    key: Digest
    log_index: int
    degraded: str = DEGRADED


class KeyOnlySigner:
    """Signs with one key, with timestamp and log of an authority that does not vouch for it."""

    def __init__(self, key: EllipticCurvePrivateKey, authority: Authority, clock: Callable[[], Any]) -> None:
        """Take the key (P-256), and whose clock and log are used."""
        self._key, self._authority, self._clock = key, authority, clock

    def sign(self, statement: bytes) -> str:
        """Return the bundle over *statement*, with a key hint where the certificate would be."""
        statements.parse(statement)
        signed = statements.pae(statement)
        signature = self._key.sign(signed, ECDSA(hashes.SHA256()))
        public = self._key.public_key()
        stamp = self._authority.stamp(signature, self._clock())
        entry = self._authority.log.append(_entry_body(sha256(signed).digest(), signature, public))
        body = bundles.build(statement, signature, b"", entry, stamp)
        del body["verificationMaterial"]["certificate"]
        body["verificationMaterial"]["publicKey"] = {"hint": hint_of(public)}
        return bundles.dumps(body)


def verify_key_only(bundle: str, anchors: Anchors, keys: Mapping[str, EllipticCurvePublicKey]) -> KeyOnlyStatement:
    """Verify a bundle by one of *keys* (by hint), and that a log of *anchors* has it; raises `SignatureInvalid`.

    What comes back says that it is degraded.
    """
    try:
        body = members(
            strict_json(bundle, "the bundle"), ("mediaType", "verificationMaterial", "dsseEnvelope"), (), "the bundle"
        )
        material = members(
            body["verificationMaterial"], ("publicKey", "tlogEntries", "timestampVerificationData"), (), "the material"
        )
        hint = text_of(members(material["publicKey"], ("hint",), (), "the key")["hint"], "the hint of the key")
        envelope = members(body["dsseEnvelope"], ("payload", "payloadType", "signatures"), (), "the envelope")
        payload = unb64(envelope["payload"], "the payload")
        signature = unb64(_one(envelope["signatures"])["sig"], "the signature")
        statement = statements.parse(payload)
        entry = bundles.log_entry_of(_one(material["tlogEntries"]))
    except (Malformed, KeyError, TypeError) as wrong:
        raise SignatureInvalid(f"the bundle cannot be read: {wrong}", advice=ASK_SIGNER) from wrong
    public = keys.get(hint)
    if public is None or hint_of(public) != hint:
        raise SignatureInvalid("the bundle is signed by a key that is not known here", advice=ASK_SIGNER)
    signed = statements.pae(payload)
    try:
        public.verify(signature, signed, ECDSA(hashes.SHA256()))
    except HOSTILE as wrong:
        raise SignatureInvalid("the signature is not over this statement by the key", advice=ASK_SIGNER) from wrong
    _check_log(anchors, entry, _entry_body(sha256(signed).digest(), signature, public))
    return KeyOnlyStatement(statement, Digest(hint), entry.index)


def _check_log(anchors: Anchors, entry: LogEntry, expected: bytes) -> None:
    log = anchors.logs.get(entry.log_id)
    if log is None or entry.body != expected:
        raise SignatureInvalid("no known log has an entry about this signature", advice=ASK_SIGNER)
    try:
        log.check(entry)
    except LedgerInvalid as wrong:
        raise SignatureInvalid(f"the log does not vouch for this signature: {wrong.detail}") from wrong


def _entry_body(digest: bytes, signature: bytes, public: EllipticCurvePublicKey) -> bytes:
    verifier = {"keyDetails": KEY_DETAILS, "publicKey": {"rawBytes": b64(spki(public))}}
    record = {
        "data": {"algorithm": "SHA2_256", "digest": b64(digest)},
        "signature": {"content": b64(signature), "verifier": verifier},
    }
    return canonical({"apiVersion": KIND_VERSION, "kind": KIND, "spec": {"hashedRekordV002": record}})


def _one(value: object) -> Any:
    if not isinstance(value, list) or len(value) != 1:
        raise Malformed("exactly one signature and one log entry are wanted")
    return value[0]
