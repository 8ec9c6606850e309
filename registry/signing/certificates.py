# SPDX-License-Identifier: Apache-2.0
"""The certificates of a sovereign Sigstore: root, intermediate, timestamping, and the ten-minute ones that sign.

A signing certificate has the shape that Fulcio gives it, so that every Sigstore verifier accepts it (trust.md A2b.d):
empty subject, identity as critical subject alternative name, the issuer of the identity as extension, and one signed
certificate timestamp (RFC 6962) embedded.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from khatim.errors import Malformed
from registry.signing.identity import Identity

CLOCK_SKEW = timedelta(minutes=5)  # how far clocks may be apart: certificates start this much earlier
LEAF_LIFE = timedelta(minutes=10)  # from start to end, the skew included
ROOT_LIFE = timedelta(days=3653)
SERVICE_LIFE = timedelta(days=1827)  # intermediate and timestamping certificates: renewed by the root at ceremonies

ISSUER_V1 = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")  # Fulcio: the OIDC issuer, raw text
ISSUER_V2 = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8")  # Fulcio: the OIDC issuer, DER UTF8String
HOSTILE = (
    ValueError,
    TypeError,
    InvalidSignature,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.ExtensionNotFound,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""All that ``cryptography`` raises over keys, requests, certificates and signatures that others made badly."""

_SCTS = ExtensionOID.PRECERT_SIGNED_CERTIFICATE_TIMESTAMPS
_URI = re.compile(r"[a-z][a-z0-9+.-]*://[\x21-\x7e]+\Z")
_EMAIL = re.compile(r"[^@\s/:]+@[A-Za-z0-9.-]+\Z", re.ASCII)
_IDENTITY_MAX = 1000


@dataclass(frozen=True, slots=True)
class Issuer:
    """A certificate and its private key: what issues other certificates."""

    certificate: x509.Certificate
    key: EllipticCurvePrivateKey


def key_id(public: EllipticCurvePublicKey | Ed25519PublicKey) -> bytes:
    """Return the id of a key: SHA-256 over its SubjectPublicKeyInfo (RFC 6962 section 3.2)."""
    return sha256(spki(public)).digest()


def spki(public: EllipticCurvePublicKey | Ed25519PublicKey) -> bytes:
    """Return the SubjectPublicKeyInfo (DER) of a public key."""
    return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def der(certificate: x509.Certificate) -> bytes:
    """Return a certificate's DER."""
    return certificate.public_bytes(serialization.Encoding.DER)


def root(instance: str, key: EllipticCurvePrivateKey, at: datetime, number: int = 1) -> x509.Certificate:
    """Return the self-signed root of an instance; *number* counts its roots."""
    name = _name(instance, "root", number)
    builder = _builder(name, name, key.public_key(), at - CLOCK_SKEW, ROOT_LIFE)
    return _authority(builder, path_length=1).sign(key, hashes.SHA256())


def intermediate(
    instance: str, key: EllipticCurvePrivateKey, issuer: Issuer, at: datetime, number: int = 1
) -> x509.Certificate:
    """Return the certificate that issues signing certificates, for code signing only."""
    name = _name(instance, "signing", number)
    builder = _builder(name, issuer.certificate.subject, key.public_key(), at - CLOCK_SKEW, _within(issuer, at))
    builder = _issued(_authority(builder, path_length=0), issuer)
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])
    return builder.add_extension(usage, critical=False).sign(issuer.key, hashes.SHA256())


def timestamping(
    instance: str, key: EllipticCurvePrivateKey, issuer: Issuer, at: datetime, number: int = 1
) -> x509.Certificate:
    """Return the certificate of the timestamp authority (RFC 3161 section 2.3: this use only, critical)."""
    name = _name(instance, "timestamping", number)
    builder = _builder(name, issuer.certificate.subject, key.public_key(), at - CLOCK_SKEW, _within(issuer, at))
    builder = _issued(builder, issuer).add_extension(_usage(signs=True), critical=True)
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
    return builder.add_extension(usage, critical=True).sign(issuer.key, hashes.SHA256())


def signing(
    public: EllipticCurvePublicKey, who: Identity, issuer: Issuer, log: EllipticCurvePrivateKey, at: datetime
) -> x509.Certificate:
    """Return a signing certificate for *who*, valid for ten minutes around *at*, with one embedded SCT.

    *log* is the key of the certificate log.  Raises `Malformed` for an identity that certificates cannot carry.
    """
    builder = _builder(x509.Name([]), issuer.certificate.subject, public, at - CLOCK_SKEW, LEAF_LIFE)
    builder = (
        _issued(builder, issuer)
        .add_extension(x509.SubjectAlternativeName([subject_alternative_name(who.name)]), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        .add_extension(x509.UnrecognizedExtension(ISSUER_V1, who.issuer.encode()), critical=False)
        .add_extension(x509.UnrecognizedExtension(ISSUER_V2, asn1.encode_der(who.issuer)), critical=False)
    )
    # RFC 6962 section 3.2: the log signs the certificate as it would be without the timestamp it is about to get.
    body = builder.sign(issuer.key, hashes.SHA256()).tbs_certificate_bytes
    timestamps = _timestamp_list(body, key_id(issuer.key.public_key()), log, at)
    extension = x509.UnrecognizedExtension(_SCTS, asn1.encode_der(timestamps))
    return builder.add_extension(extension, critical=False).sign(issuer.key, hashes.SHA256())


def subject_alternative_name(identity: str) -> x509.GeneralName:
    """Return *identity*, a URI or an email address, as certificates write it; raises `Malformed` for anything else."""
    if len(identity) <= _IDENTITY_MAX and _URI.match(identity):
        return x509.UniformResourceIdentifier(identity)
    if len(identity) <= _IDENTITY_MAX and _EMAIL.match(identity) and identity.isascii():
        return x509.RFC822Name(identity)
    raise Malformed(f"an identity is a URI (scheme://…) or an email address, not {identity[:120]!r}")


def _name(instance: str, what: str, number: int) -> x509.Name:
    """Return a name of its own for each generation: verifiers that look issuers up by name find the right one."""
    organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, instance)
    common = f"{instance} {what}" if number == 1 else f"{instance} {what} {number}"
    return x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _within(issuer: Issuer, at: datetime) -> timedelta:
    """Return how long a service certificate lives: not longer than its issuer."""
    return min(SERVICE_LIFE, issuer.certificate.not_valid_after_utc - (at - CLOCK_SKEW))


def _builder(
    subject: x509.Name, issuer: x509.Name, public: EllipticCurvePublicKey, start: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder(issuer, subject, public, x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _authority(builder: x509.CertificateBuilder, path_length: int) -> x509.CertificateBuilder:
    return builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True).add_extension(
        _usage(signs=False), critical=True
    )


def _issued(builder: x509.CertificateBuilder, issuer: Issuer) -> x509.CertificateBuilder:
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
    return builder.add_extension(identifier, critical=False)


def _usage(*, signs: bool) -> x509.KeyUsage:
    """Return the use of a key: signatures over data, or over certificates and revocation lists."""
    return x509.KeyUsage(
        digital_signature=signs,
        key_cert_sign=not signs,
        crl_sign=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _timestamp_list(body: bytes, issuer_id: bytes, log: EllipticCurvePrivateKey, at: datetime) -> bytes:
    """Return a SignedCertificateTimestampList of one (RFC 6962 sections 3.2 and 3.3)."""
    # Whole seconds: verifiers that go through floating point lose a millisecond now and then.
    stamp = int(at.timestamp()) * 1000
    precertificate = b"\x00\x01" + issuer_id + len(body).to_bytes(3, "big") + body
    signed = struct.pack("!BBQ", 0, 0, stamp) + precertificate + b"\x00\x00"  # version 1, certificate_timestamp
    signature = log.sign(signed, ECDSA(hashes.SHA256()))
    sha256_with_ecdsa = b"\x04\x03"  # RFC 5246 7.4.1.4.1
    entry = struct.pack("!B32sQH", 0, key_id(log.public_key()), stamp, 0) + sha256_with_ecdsa
    entry += struct.pack("!H", len(signature)) + signature
    return struct.pack("!HH", len(entry) + 2, len(entry)) + entry
