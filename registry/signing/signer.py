# SPDX-License-Identifier: Apache-2.0
"""Signing a statement: an ephemeral key, a ten-minute certificate, a timestamp, a log entry, one bundle.

Two signers, one way of signing: `LocalSigner` works with an authority in this process, `RemoteSigner` asks one over
HTTP (the protocols of Fulcio v2, RFC 3161 and Rekor v2).  The private key never leaves the process that signs.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Protocol

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)

from khatim.errors import KhatimError, Malformed, SignatureInvalid, Unavailable, from_problem
from registry.signing import bundle, statements, timestamp
from registry.signing.authority import Authority
from registry.signing.certificates import HOSTILE, der
from registry.signing.encoding import b64, strict_json
from registry.signing.outside_clock import NOBODY, OutsideClock
from registry.signing.possession import HEADER
from registry.signing.trust import LOG_ENTRIES_PATH, SIGNING_CERT_PATH, TIMESTAMP_PATH

_NONCE_BITS = 64
_CLIENT_ERROR = 400


class Signer(Protocol):
    """Whatever signs statements: the one way in which the rest of Khatim asks for a signature."""

    def sign(self, statement: bytes) -> str:
        """Return the Sigstore bundle (JSON) over *statement* (see `registry.signing.statements`)."""
        ...


class _Services(Protocol):
    """What signing needs from an authority."""

    def certificate(self, key: EllipticCurvePrivateKey) -> x509.Certificate: ...

    def timestamps(self, signature: bytes) -> Sequence[bytes]: ...

    def entry(self, digest: bytes, signature: bytes, certificate: bytes) -> Mapping[str, Any]: ...


def _ephemeral() -> EllipticCurvePrivateKey:
    return generate_private_key(SECP256R1())


def _signed(services: _Services, statement: bytes, keys: Callable[[], EllipticCurvePrivateKey] = _ephemeral) -> str:
    statements.parse(statement)  # raises Malformed before anything is logged
    key = keys()
    certificate = services.certificate(key)
    signed = statements.pae(statement)
    signature = key.sign(signed, ECDSA(hashes.SHA256()))
    stamps = services.timestamps(signature)
    entry = services.entry(sha256(signed).digest(), signature, der(certificate))
    return bundle.dumps(bundle.build(statement, signature, der(certificate), entry, *stamps))


class LocalSigner:
    """Signs for one identity with the authority in this process (local mode; the server's own statements)."""

    def __init__(  # noqa: PLR0913 - who signs with whose authority, with which key, and who else dates it
        self,
        authority: Authority,
        identity: str,
        issuer: str,
        clock: Callable[[], datetime],
        *,
        keys: Callable[[], EllipticCurvePrivateKey] = _ephemeral,
        outside: OutsideClock = NOBODY,
    ) -> None:
        """Sign as *identity* (URI or email), for whom *issuer* (URL) vouches.

        *keys* gives the key to sign with, a fresh one by default; *outside* gives a second timestamp.
        """
        self._authority = authority
        self._identity = identity
        self._issuer = issuer
        self._clock = clock
        self._keys = keys
        self._outside = outside

    def sign(self, statement: bytes) -> str:
        """Return the bundle over *statement*; raises `Malformed` if it is none, `Unavailable` for want of a clock."""
        return _signed(self, statement, self._keys)

    def certificate(self, key: EllipticCurvePrivateKey) -> x509.Certificate:
        """Return a certificate for *key*."""
        return self._authority.issue_certificate(key.public_key(), self._identity, self._issuer, self._clock())[0]

    def timestamp(self, signature: bytes) -> bytes:
        """Return the timestamp response over *signature*."""
        return self._authority.stamp(signature, self._clock())

    def timestamps(self, signature: bytes) -> Sequence[bytes]:
        """Return it, and that of an authority outside when there is one to ask."""
        return (self.timestamp(signature), *self._outside.stamps(signature, self._clock()))

    def entry(self, digest: bytes, signature: bytes, certificate: bytes) -> Mapping[str, Any]:
        """Return the log entry of *signature*."""
        return self._authority.log.append(bundle.entry_body(digest, signature, certificate))


@dataclass(frozen=True, slots=True)
class Places:
    """Where an authority's services answer: whole addresses, or paths below the base URL of the client."""

    certificates: str = SIGNING_CERT_PATH
    timestamps: str = TIMESTAMP_PATH
    entries: str = LOG_ENTRIES_PATH


class RemoteSigner:
    """Signs as whoever the token says, with an authority at the other end of HTTP (zone agents, private Sigstore)."""

    def __init__(
        self,
        http: httpx.Client,
        token_source: Callable[[], str],
        *,
        places: Places | None = None,
        keys: Callable[[], EllipticCurvePrivateKey] = _ephemeral,
        prove: Callable[[bytes, str], str] | None = None,
    ) -> None:
        """Take a client whose base URL is the authority's host, and what returns a valid bearer token each time.

        *keys* gives the key to sign with: a fresh one by default, or one on a PKCS#11 token, which proves with its
        certificate request that it is there.  *prove* makes an agent's proof from certificate request and token
        (`registry.signing.possession.prove_request`).
        """
        self._http = http
        self._token_source = token_source
        self._places = places or Places()
        self._keys = keys
        self._prove = prove

    def sign(self, statement: bytes) -> str:
        """Return the bundle over *statement*.

        Raises `Malformed` if it is no statement, the authority's own refusal, `Unavailable` if it does not answer.
        """
        return _signed(self, statement, self._keys)

    def certificate(self, key: EllipticCurvePrivateKey) -> x509.Certificate:
        """Return a certificate for *key*, asked for with a certificate request that the key signs."""
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
        pem = request.public_bytes(serialization.Encoding.PEM)
        token = self._token_source()
        proof = self._prove(pem, token) if self._prove else ""
        answer = self._json(self._places.certificates, {"certificateSigningRequest": b64(pem)}, token, proof)
        try:
            chain = answer["signedCertificateEmbeddedSct"]["chain"]["certificates"]
            certificate = x509.load_pem_x509_certificate(chain[0].encode())
            public = certificate.public_key()
        except (KeyError, IndexError, AttributeError, *HOSTILE) as wrong:
            raise _not_understood("certificate") from wrong
        if public != key.public_key():
            raise SignatureInvalid("the authority issued a certificate for another key than the one that asked")
        return certificate

    def timestamp(self, signature: bytes) -> bytes:
        """Return the timestamp response over *signature*."""
        query = timestamp.request(signature, nonce=secrets.randbits(_NONCE_BITS))
        try:
            return timestamp.granted(self._post(self._places.timestamps, query, "application/timestamp-query"))
        except Malformed as wrong:
            raise _not_understood("timestamp") from wrong

    def timestamps(self, signature: bytes) -> Sequence[bytes]:
        """Return the timestamp of the authority that is asked, and no other."""
        return (self.timestamp(signature),)

    def entry(self, digest: bytes, signature: bytes, certificate: bytes) -> Mapping[str, Any]:
        """Return the log entry of *signature*."""
        verifier = {"keyDetails": bundle.KEY_DETAILS, "x509Certificate": {"rawBytes": b64(certificate)}}
        record = {"digest": b64(digest), "signature": {"content": b64(signature), "verifier": verifier}}
        return self._json(self._places.entries, {"hashedRekordRequestV002": record})

    def _json(self, path: str, body: Mapping[str, Any], token: str = "", proof: str = "") -> Mapping[str, Any]:
        answer = self._post(path, bundle.dumps(body).encode(), "application/json", token, proof)
        try:
            found = strict_json(answer, "the answer")
        except Malformed as wrong:
            raise _not_understood("answer") from wrong
        if not isinstance(found, dict):
            raise _not_understood("answer")
        return found

    def _post(self, path: str, content: bytes, content_type: str, token: str = "", proof: str = "") -> bytes:
        # The token goes to the certificate authority alone: whoever else saw it could sign in its bearer's name.
        headers = {"Content-Type": content_type, **({"Authorization": f"Bearer {token}"} if token else {})}
        headers |= {HEADER: proof} if proof else {}
        try:
            response = self._http.post(path, content=content, headers=headers)
        except httpx.HTTPError as wrong:
            raise Unavailable(
                f"the signing authority does not answer: {type(wrong).__name__}", advice="Try again in a moment."
            ) from wrong
        if response.status_code >= _CLIENT_ERROR:
            raise _refused(response)
        return response.content


def _refused(response: httpx.Response) -> KhatimError:
    try:
        problem = strict_json(response.content, "the problem")
    except Malformed:
        problem = None
    if isinstance(problem, dict) and "type" in problem:
        return from_problem(problem, response.status_code)
    return Unavailable(f"the signing authority answered with status {response.status_code}")


def _not_understood(what: str) -> Unavailable:
    return Unavailable(f"the signing authority did not return a {what} that can be read")
