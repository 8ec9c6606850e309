# SPDX-License-Identifier: Apache-2.0
"""Whom an agent's name belongs to: the holder of a key that the agent made itself, and nobody on a token alone.

The web server holds the key of the instance's tokens, so a token of an agent proves nothing against a server that was
taken over.  At its enrolment an agent makes a key of its own (Ed25519), whose public half the signer keeps
(`registry.signing.agent_book`); a certificate in the agent's name is for whoever proves to hold that key, over this
very request.  Proofs have the shape of RFC 9449 (DPoP).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from khatim import tokens
from khatim.errors import Unauthenticated
from registry.signing.encoding import unb64
from registry.signing.trust import SIGNING_CERT_PATH

HEADER = "DPoP"
ENROLMENT_PATH = "/v1/agent/enrolment"
RENEWAL_PATH = "/v1/agent/identity"
_REQUEST = "csr"  # our own claim beside those of RFC 9449: SHA-256 of the certificate request, hexadecimal
_AUDIENCE = "khatim"
_VOUCHER = "enrolment:"
_ADVICE = "An agent proves with the key of its enrolment; if that is lost, enrol it anew: khatim agent invite."


@dataclass(frozen=True, slots=True)
class Enrolment:
    """An agent as it asked to be known: its id is that of its voucher, so one voucher makes one agent."""

    agent: str
    zone: str
    key: str  # SHA-256 of the raw public key, hexadecimal


def prove_enrolment(key: Ed25519PrivateKey, voucher: str, at: datetime) -> str:
    """Return the proof with which an agent brings its key; *voucher* is its one-time token."""
    address = tokens.issuer_of(voucher) + ENROLMENT_PATH
    return tokens.prove(key, method="POST", address=address, token=voucher, at=at)


def enrolment(voucher: str, proof: str, key: Ed25519PublicKey, *, issuer: str, at: datetime) -> Enrolment:
    """Return who enrols with *voucher*, a one-time token signed by *key*; raises `Unauthenticated`."""
    claims = tokens.read(voucher, key, audience=_AUDIENCE, at=at, kind="enrolment")
    agent, zone = str(claims["jti"]), claims.get("zone")
    if claims.get("iss") != issuer or claims["sub"] != _VOUCHER + agent or not isinstance(zone, str) or not zone:
        raise Unauthenticated("the enrolment token is not valid")
    try:
        named = str(uuid.UUID(agent))
    except ValueError as wrong:
        raise Unauthenticated("the enrolment token is not valid") from wrong
    if named != agent:
        raise Unauthenticated("the enrolment token is not valid")
    held, _ = tokens.read_proof(proof, method="POST", address=issuer + ENROLMENT_PATH, token=voucher, at=at)
    return Enrolment(agent, zone, fingerprint(held))


def prove_renewal(key: Ed25519PrivateKey, token: str, issuer: str, at: datetime) -> str:
    """Return the proof with which an agent comes back after its identity, *token*, has ended."""
    return tokens.prove(key, method="POST", address=issuer + RENEWAL_PATH, token=token, at=at)


def returning(token: str, proof: str, *, issuer: str, at: datetime) -> str:
    """Return the fingerprint of the key that proves to come back with *token*; raises `Unauthenticated`."""
    held, _ = tokens.read_proof(proof, method="POST", address=issuer + RENEWAL_PATH, token=token, at=at)
    return fingerprint(held)


def prove_request(key: Ed25519PrivateKey, csr: bytes, token: str, issuer: str, at: datetime) -> str:
    """Return the proof that goes with a request for a certificate: for this *csr* (PEM) and *token*, and no other."""
    address = issuer + SIGNING_CERT_PATH
    return tokens.prove(key, method="POST", address=address, token=token, at=at, csr=sha256(csr).hexdigest())


def requester(body: Mapping[str, Any], token: str, proof: str, *, issuer: str, at: datetime) -> str:
    """Return the fingerprint of the key that proves the request in *body*; raises `Unauthenticated`.

    A proof that is played back earns a certificate for the same ephemeral key again, which the thief does not have.
    """
    if not proof or "certificateSigningRequest" not in body:
        raise Unauthenticated("a certificate in an agent's name needs a proof by that agent's own key", advice=_ADVICE)
    held, claims = tokens.read_proof(proof, method="POST", address=issuer + SIGNING_CERT_PATH, token=token, at=at)
    csr = unb64(body["certificateSigningRequest"], "the certificate request")
    if claims.get(_REQUEST) != sha256(csr).hexdigest():
        raise Unauthenticated("the proof of the agent's key is for another certificate request", advice=_ADVICE)
    return fingerprint(held)


def fingerprint(key: Ed25519PublicKey) -> str:
    """Return how a key is written down: SHA-256 of its 32 bytes, hexadecimal."""
    return sha256(key.public_bytes_raw()).hexdigest()
