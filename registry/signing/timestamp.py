# SPDX-License-Identifier: Apache-2.0
"""A timestamp authority: signed answers to "these bytes existed at this second" (RFC 3161).

Requests and tokens are written and read with the DER types of ``cryptography``.  The token is CMS SignedData with
ESSCertIDv2 (RFC 5816); ``openssl ts -verify`` and all Sigstore verifiers read it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey

from khatim.errors import Malformed
from registry.signing.certificates import der

# The policy that sigstore's own timestamp authority states: "when asked, with this clock", no more.
POLICY = x509.ObjectIdentifier("1.3.6.1.4.1.57264.2")
ACCURACY_SECONDS = 1

_DATA_TST_INFO = x509.ObjectIdentifier("1.2.840.113549.1.9.16.1.4")
_SIGNED_DATA = x509.ObjectIdentifier("1.2.840.113549.1.7.2")
_CONTENT_TYPE = x509.ObjectIdentifier("1.2.840.113549.1.9.3")
_MESSAGE_DIGEST = x509.ObjectIdentifier("1.2.840.113549.1.9.4")
_SIGNING_CERTIFICATE_V2 = x509.ObjectIdentifier("1.2.840.113549.1.9.16.2.47")
_SHA256 = x509.ObjectIdentifier("2.16.840.1.101.3.4.2.1")
_SHA384 = x509.ObjectIdentifier("2.16.840.1.101.3.4.2.2")
_SHA512 = x509.ObjectIdentifier("2.16.840.1.101.3.4.2.3")
_ECDSA_SHA256 = x509.ObjectIdentifier("1.2.840.10045.4.3.2")
_DIGEST_SIZES = {_SHA256: 32, _SHA384: 48, _SHA512: 64}

_GRANTED = 0
_REJECTION = 2
_BAD_ALGORITHM, _BAD_FORMAT, _BAD_POLICY, _BAD_EXTENSION = 0, 5, 15, 16  # PKIFailureInfo (RFC 3161 2.4.2)


@asn1.sequence
class _Algorithm:
    algorithm: x509.ObjectIdentifier
    parameters: asn1.Null | None = None


@asn1.sequence
class _Imprint:
    algorithm: _Algorithm
    digest: bytes


@asn1.sequence
class _Request:
    version: int
    imprint: _Imprint
    policy: x509.ObjectIdentifier | None = None
    nonce: int | None = None
    certificate: Annotated[bool, asn1.Default(value=False)] = False
    extensions: Annotated[list[asn1.TLV] | None, asn1.Implicit(0)] = None


@asn1.sequence
class _Accuracy:
    seconds: int


@asn1.sequence
class _Info:
    version: int
    policy: x509.ObjectIdentifier
    imprint: _Imprint
    serial: int
    time: asn1.GeneralizedTime
    accuracy: _Accuracy
    nonce: int | None = None


@asn1.sequence
class _Attribute:
    kind: x509.ObjectIdentifier
    values: asn1.SetOf[asn1.TLV]


@asn1.sequence
class _CertificateId:
    digest: bytes


@asn1.sequence
class _SigningCertificates:
    certificates: list[_CertificateId]


@asn1.sequence
class _SignerId:
    issuer: asn1.TLV
    serial: int


@asn1.sequence
class _Signer:
    version: int
    signer: _SignerId
    digest_algorithm: _Algorithm
    attributes: Annotated[asn1.SetOf[_Attribute], asn1.Implicit(0)]
    signature_algorithm: _Algorithm
    signature: bytes


@asn1.sequence
class _Content:
    kind: x509.ObjectIdentifier
    content: Annotated[bytes, asn1.Explicit(0)]


@asn1.sequence
class _SignedData:
    version: int
    digest_algorithms: asn1.SetOf[_Algorithm]
    content: _Content
    certificates: Annotated[asn1.SetOf[x509.Certificate] | None, asn1.Implicit(0)]
    signers: asn1.SetOf[_Signer]


@asn1.sequence
class _Token:
    kind: x509.ObjectIdentifier
    signed_data: Annotated[_SignedData, asn1.Explicit(0)]


@asn1.sequence
class _Status:
    status: int
    failure: asn1.BitString | None = None


@asn1.sequence
class _Granted:
    status: _Status
    token: _Token


@asn1.sequence
class _Rejected:
    status: _Status


@asn1.sequence
class _Answer:
    status: asn1.TLV
    token: asn1.TLV


def _tlv(value: object) -> asn1.TLV:
    return asn1.decode_der(asn1.TLV, asn1.encode_der(value))


_PLAIN_SHA256 = _Algorithm(algorithm=_SHA256)
_CONTENT_TYPE_ATTRIBUTE = _Attribute(kind=_CONTENT_TYPE, values=asn1.SetOf([_tlv(_DATA_TST_INFO)]))


def request(message: bytes, nonce: int | None = None) -> bytes:
    """Return a TimeStampReq (DER) over SHA-256 of *message* that asks for the certificate too."""
    imprint = _Imprint(algorithm=_PLAIN_SHA256, digest=sha256(message).digest())
    return asn1.encode_der(_Request(version=1, imprint=imprint, nonce=nonce, certificate=True))


def granted(response: bytes) -> bytes:
    """Return *response* (TimeStampResp, DER) if it holds a token; raises `Malformed` if it is a rejection or none.

    The token's signature is not checked here: verification does that, over the whole bundle.
    """
    try:
        asn1.decode_der(_Answer, response)
    except ValueError as wrong:
        raise Malformed("the timestamp authority did not grant a timestamp") from wrong
    return response


class TimestampAuthority:
    """Signs timestamps with one key and its certificate; safe for several threads."""

    def __init__(self, key: EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        """Take the key (P-256) and the certificate with the critical use ``timeStamping``."""
        self._key = key
        self._certificate = certificate
        issuer = asn1.decode_der(asn1.TLV, certificate.issuer.public_bytes())
        self._signer = _SignerId(issuer=issuer, serial=certificate.serial_number)
        # RFC 5816: which certificate signs is inside the signature.
        named = _SigningCertificates(certificates=[_CertificateId(digest=sha256(der(certificate)).digest())])
        self._named = _Attribute(kind=_SIGNING_CERTIFICATE_V2, values=asn1.SetOf([_tlv(named)]))

    def stamp(self, message: bytes, at: datetime) -> bytes:
        """Return the TimeStampResp (DER) that SHA-256 of *message* existed at the second *at*."""
        imprint = _Imprint(algorithm=_PLAIN_SHA256, digest=sha256(message).digest())
        return self._grant(_Request(version=1, imprint=imprint, certificate=True), at)

    def answer(self, query: bytes, at: datetime) -> bytes:
        """Return the TimeStampResp (DER) to a TimeStampReq (DER): granted, or a rejection that says why.

        As RFC 3161 wants it, a request that cannot be served is answered, not raised.
        """
        try:
            asked = asn1.decode_der(_Request, query)
        except ValueError:
            return _rejection(_BAD_FORMAT)
        if asked.version != 1:
            return _rejection(_BAD_FORMAT)
        if _DIGEST_SIZES.get(asked.imprint.algorithm.algorithm) != len(asked.imprint.digest):
            return _rejection(_BAD_ALGORITHM)
        if asked.policy not in (None, POLICY):
            return _rejection(_BAD_POLICY)
        if asked.extensions is not None:
            return _rejection(_BAD_EXTENSION)
        return self._grant(asked, at)

    def _grant(self, asked: _Request, at: datetime) -> bytes:
        info = _Info(
            version=1,
            policy=POLICY,
            imprint=asked.imprint,
            serial=x509.random_serial_number(),
            # Whole seconds, which every reader of DER understands.
            time=asn1.GeneralizedTime(at.astimezone(UTC).replace(microsecond=0)),
            accuracy=_Accuracy(seconds=ACCURACY_SECONDS),
            nonce=asked.nonce,
        )
        content = asn1.encode_der(info)
        digest = _Attribute(kind=_MESSAGE_DIGEST, values=asn1.SetOf([_tlv(sha256(content).digest())]))
        attributes = asn1.SetOf([_CONTENT_TYPE_ATTRIBUTE, digest, self._named])
        signer = _Signer(
            version=1,
            signer=self._signer,
            digest_algorithm=_PLAIN_SHA256,
            attributes=attributes,
            signature_algorithm=_Algorithm(algorithm=_ECDSA_SHA256),
            # RFC 5652 5.4: what is signed is the attributes as a SET OF, not under their implicit tag.
            signature=self._key.sign(asn1.encode_der(attributes), ECDSA(hashes.SHA256())),
        )
        signed = _SignedData(
            version=3,
            digest_algorithms=asn1.SetOf([_PLAIN_SHA256]),
            content=_Content(kind=_DATA_TST_INFO, content=content),
            certificates=asn1.SetOf([self._certificate]) if asked.certificate else None,
            signers=asn1.SetOf([signer]),
        )
        token = _Token(kind=_SIGNED_DATA, signed_data=signed)
        return asn1.encode_der(_Granted(status=_Status(status=_GRANTED), token=token))


def _rejection(reason: int) -> bytes:
    bits = bytearray(reason // 8 + 1)
    bits[-1] = 0x80 >> reason % 8
    failure = asn1.BitString(bytes(bits), 7 - reason % 8)
    return asn1.encode_der(_Rejected(status=_Status(status=_REJECTION, failure=failure)))
