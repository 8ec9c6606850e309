# SPDX-License-Identifier: Apache-2.0
"""By which marks a revocation recognises a signature: read from a bundle, verified or to be found among many."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from khatim.errors import SignatureInvalid
from khatim.vocabulary import Digest
from registry.signing import bundle as bundles
from registry.signing import statements
from registry.signing.binding import identity_of
from registry.signing.bundle import Bundle
from registry.signing.certificates import HOSTILE, der
from registry.signing.revocation import Marks


def marks_of(
    parts: Bundle, certificate: x509.Certificate | None, identity: str, signed_at: datetime, digests: frozenset[Digest]
) -> Marks:
    """Return the marks of a bundle's signature; raises `SignatureInvalid` for a certificate that names no issuer.

    A bare key has no certificate: the key is all by which it can be named.
    """
    if certificate is None:
        key = Digest(parts.hint)
        entry = Digest(sha256(parts.entry.body).hexdigest())
        return Marks(entry, key, key, "", "", parts.entry.index, identity, signed_at, digests)
    issuer = authority_of(certificate)
    try:
        public = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except HOSTILE as wrong:
        raise SignatureInvalid("the certificate does not say whose it is") from wrong
    return Marks(
        entry=Digest(sha256(parts.entry.body).hexdigest()),
        certificate=Digest.of(der(certificate)),
        key=Digest.of(public),
        serial=f"{certificate.serial_number:x}",
        authority=issuer.hex(),
        log_index=parts.entry.index,
        identity=identity,
        signed_at=signed_at,
        digests=digests,
    )


def authority_of(certificate: x509.Certificate) -> bytes:
    """Return the identifier of the key that issued *certificate*; raises `SignatureInvalid` when it does not say."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except HOSTILE as wrong:
        raise SignatureInvalid("the certificate does not say whose it is") from wrong
    return found or b""


def marks_in(bundle: str, signed_at: datetime) -> Marks:
    """Return the marks of a bundle that was verified when it came, at the time that was found then.

    Nothing is verified here: it is for finding, among all statements that were admitted, those that a revocation names.
    """
    parts = bundles.parse(bundle)
    said = statements.parse(parts.payload)
    if parts.hint:
        return marks_of(parts, None, f"key:sha256:{parts.hint}", signed_at, said.digests)
    try:
        certificate = x509.load_der_x509_certificate(parts.certificate)
    except HOSTILE as wrong:
        raise SignatureInvalid("the certificate in the bundle cannot be read") from wrong
    return marks_of(parts, certificate, identity_of(certificate).name, signed_at, said.digests)
