# SPDX-License-Identifier: Apache-2.0
"""The authority's answers in the shapes of Fulcio v2, RFC 3161 and Rekor v2: pure functions from request to response.

Who mounts them (at a host root: Fulcio's clients drop any path) has authenticated the caller: *who* is what the token
stands for.  Both ways to ask for a certificate are understood: a certificate request (sigstore-python) and a public
key with proof of possession (cosign).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from khatim.errors import Malformed
from registry.signing.authority import Authority
from registry.signing.bundle import KEY_DETAILS, entry_body
from registry.signing.certificates import HOSTILE
from registry.signing.encoding import members, text_of, unb64
from registry.signing.identity import Identity
from registry.signing.record import PublicRecord

TIMESTAMP_REPLY = "application/timestamp-reply"


def token_of(body: Mapping[str, Any], authorization: str | None) -> str | None:
    """Return the token of a certificate request: from the Authorization header, else from the body (cosign)."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    credentials = body.get("credentials")
    inside = credentials.get("oidcIdentityToken") if isinstance(credentials, dict) else None
    return inside if isinstance(inside, str) and inside else None


def signing_cert(
    authority: Authority, body: Mapping[str, Any], who: Identity, at: datetime, challenge: str = ""
) -> dict[str, Any]:
    """Answer ``POST /api/v2/signingCert``: the certificate chain in Fulcio's JSON.

    *challenge* is what a proof of possession signs: the token's email, or else its subject; by default the identity
    itself.  Raises `Malformed` naming what is wrong with the request or the proof.
    """
    asked = members(body, (), ("credentials", "certificateSigningRequest", "publicKeyRequest"), "the request")
    if ("certificateSigningRequest" in asked) == ("publicKeyRequest" in asked):
        raise Malformed("the request has either a certificateSigningRequest or a publicKeyRequest")
    if "certificateSigningRequest" in asked:
        csr = unb64(asked["certificateSigningRequest"], "the certificate request")
        chain = authority.issue_for_csr(csr, who.name, who.issuer, at)
    else:
        request = members(asked["publicKeyRequest"], ("publicKey", "proofOfPossession"), (), "the public key request")
        public = members(request["publicKey"], ("content",), ("algorithm",), "the public key")
        proof = unb64(request["proofOfPossession"], "the proof of possession")
        pem = text_of(public["content"], "the public key").encode()
        chain = authority.issue_for_proof(pem, (proof, challenge or who.name), who.name, who.issuer, at)
    return {"signedCertificateEmbeddedSct": {"chain": {"certificates": _pem(chain)}}}


def trust_bundle(record: PublicRecord) -> dict[str, Any]:
    """Answer ``GET /api/v2/trustBundle``: the chains from which signing certificates are issued."""
    return {"chains": [{"certificates": list(one.chain)} for one in record.signing]}


def discovery(url: str) -> dict[str, Any]:
    """Answer ``GET /.well-known/openid-configuration``: what clients look for that were given a token anyway.

    Nobody is signed in there: tokens come from ``khatim token sigstore`` or from an allowed issuer of its own.
    """
    here = url.rstrip("/")
    return {"issuer": here, "authorization_endpoint": f"{here}/sign-in", "token_endpoint": f"{here}/sign-in"}


def timestamp(authority: Authority, query: bytes, at: datetime) -> bytes:
    """Answer ``POST /api/v1/timestamp``: a TimeStampResp (DER), a rejection for a request that cannot be served."""
    return authority.timestamp(query, at)


def log_entry(authority: Authority, body: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    """Answer ``POST /api/v2/log/entries``: the TransparencyLogEntry of a signature.

    Only a signature that verifies, by a certificate that this authority issued and that is valid now, is logged;
    raises `Malformed` otherwise.
    """
    asked = members(body, ("hashedRekordRequestV002",), (), "the request")
    record = members(asked["hashedRekordRequestV002"], ("digest", "signature"), (), "the record")
    signature = members(record["signature"], ("content", "verifier"), (), "the signature")
    verifier = members(signature["verifier"], ("keyDetails", "x509Certificate"), (), "the verifier")
    if verifier["keyDetails"] != KEY_DETAILS:
        raise Malformed(f"only {KEY_DETAILS} is logged")
    raw = members(verifier["x509Certificate"], ("rawBytes",), (), "the certificate")
    digest = unb64(record["digest"], "the digest")
    content = unb64(signature["content"], "the signature")
    certificate = _certificate(unb64(raw["rawBytes"], "the certificate"))
    if not authority.issued(certificate, at):
        raise Malformed("the certificate is not of this authority, or not valid now", advice="Ask for a new one.")
    _check_signature(certificate, digest, content)
    encoded = certificate.public_bytes(serialization.Encoding.DER)
    return authority.log.append(entry_body(digest, content, encoded))


def _pem(chain: list[x509.Certificate]) -> list[str]:
    return [one.public_bytes(serialization.Encoding.PEM).decode() for one in chain]


def _certificate(raw: bytes) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(raw)
    except HOSTILE as wrong:
        raise Malformed("the certificate is not DER") from wrong


def _check_signature(certificate: x509.Certificate, digest: bytes, signature: bytes) -> None:
    try:
        public = certificate.public_key()
        if not isinstance(public, EllipticCurvePublicKey):
            raise Malformed("the certificate's key is not ECDSA")
        public.verify(signature, digest, ECDSA(Prehashed(hashes.SHA256())))
    except HOSTILE as wrong:
        raise Malformed("the signature is not by the certificate's key over the digest") from wrong
