# SPDX-License-Identifier: Apache-2.0
"""Signed, short-lived tokens (RFC 7519 JWT, EdDSA): access, sign-in links, agent identities, tickets, job envelopes.

The only importer of PyJWT.  One key signs them all for one installation; the `kind` claim and the audience keep one
token from being used as another.  ``alg`` is pinned, so neither ``none`` nor HMAC-with-the-public-key is accepted.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from khatim.errors import TokenExpired, Unauthenticated

ALGORITHM = "EdDSA"
LEEWAY = timedelta(seconds=5)
PROOF_LIFE = timedelta(seconds=60)
_PROOF = "dpop+jwt"  # RFC 9449 section 4.2
_ALGORITHMS = {("RSA", ""): ("RS256", "PS256"), ("EC", "P-256"): ("ES256",), ("OKP", "Ed25519"): ("EdDSA",)}
KINDS = frozenset({"access", "link", "session", "agent", "enrolment", "ticket", "job", "signing", "sign-in"})


def public_pem(key: Ed25519PrivateKey | Ed25519PublicKey) -> str:
    """Return the public half of *key* as PEM (SubjectPublicKeyInfo)."""
    public = key.public_key() if isinstance(key, Ed25519PrivateKey) else key
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def public_key(pem: str) -> Ed25519PublicKey:
    """Read an Ed25519 public key from PEM; raises `Unauthenticated` for anything else."""
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Unauthenticated("the token key cannot be read") from error
    if not isinstance(key, Ed25519PublicKey):
        raise Unauthenticated("the token key is not an Ed25519 key")
    return key


def issue(  # noqa: PLR0913 - the claims of a token are many and all of them named
    key: Ed25519PrivateKey,
    *,
    kind: str,
    subject: str,
    audience: str,
    issuer: str,
    at: datetime,
    ttl: timedelta,
    **claims: Any,
) -> str:
    """Sign a token of *kind* for *subject*, valid from *at* for *ttl*; further claims must be JSON values."""
    if kind not in KINDS:
        raise ValueError(f"unknown kind of token: {kind}")
    body = {
        **claims,
        "kind": kind,
        "sub": subject,
        "aud": audience,
        "iss": issuer,
        "iat": int(at.timestamp()),
        "exp": int((at + ttl).timestamp()),
        "jti": claims.get("jti") or uuid.uuid4().hex,
    }
    return jwt.encode(body, key, algorithm=ALGORITHM)


def kind_of(token: str) -> str:
    """Return the kind that *token* claims to be, unverified: only to choose how to `read` it."""
    try:
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    except jwt.PyJWTError as error:
        raise Unauthenticated("the token is not valid") from error
    return str(claims.get("kind", ""))


def issuer_of(token: str) -> str:
    """Return the issuer that *token* claims, unverified: only to choose whose keys must have signed it."""
    try:
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    except jwt.PyJWTError as error:
        raise Unauthenticated("the token is not valid") from error
    return str(claims.get("iss", ""))


def key_id_of(token: str) -> str:
    """Return the ``kid`` of the header of *token*, unverified; empty without one."""
    try:
        return str(jwt.get_unverified_header(token).get("kid", ""))
    except jwt.PyJWTError as error:
        raise Unauthenticated("the token is not valid") from error


def read_foreign(  # noqa: PLR0913 - what a token is judged by
    token: str, key: Mapping[str, Any], *, issuer: str, audience: str, at: datetime, needs_subject: bool = True
) -> Mapping[str, Any]:
    """Verify a token of another issuer (OpenID Connect) with its published *key* (a JWK); return its claims.

    The kind of the key decides the algorithm, never the token: RSA means RS256 or PS256, P-256 means ES256, Ed25519
    means EdDSA, and a shared secret is no key at all.  Without *needs_subject* it may be about nobody, as a logout
    token that names a session.  Raises as `read` does.
    """
    algorithms = _ALGORITHMS.get((str(key.get("kty")), str(key.get("crv", ""))))
    if algorithms is None or key.get("use", "sig") != "sig":
        raise Unauthenticated("the issuer's key is not one for signatures that are understood here")
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            jwt.PyJWK(dict(key), algorithm=algorithms[0]).key,
            algorithms=list(algorithms),
            audience=audience,
            issuer=issuer,
            options={
                "require": ["exp", "iat", *(["sub"] if needs_subject else []), "aud", "iss"],
                "verify_exp": False, "verify_iat": False, "verify_nbf": False,  # checked below against `at`
            },
        )  # fmt: skip
    except jwt.InvalidAudienceError as error:
        raise Unauthenticated("the token is meant for another audience") from error
    except jwt.PyJWTError as error:
        raise Unauthenticated("the token is not valid") from error
    _check_time(claims, at, LEEWAY)
    return claims


def read(  # noqa: PLR0913 - what a token is judged by
    token: str, key: Ed25519PublicKey, *, audience: str, at: datetime, kind: str, grace: timedelta = LEEWAY
) -> Mapping[str, Any]:
    """Verify *token* and return its claims; *grace* is how long after its end it still counts.

    Raises `TokenExpired` when its time is over and `Unauthenticated` when signature, audience, kind or shape is wrong.
    The time is *at*, not the machine's clock, so that one request is judged at one moment.
    """
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            audience=audience,
            # Time is checked below against `at`.
            options={"require": ["exp", "iat", "sub", "aud", "jti"], "verify_exp": False, "verify_iat": False},
        )
    except jwt.InvalidAudienceError as error:
        raise Unauthenticated("the token is meant for another audience") from error
    except jwt.PyJWTError as error:
        raise Unauthenticated("the token is not valid") from error
    if claims.get("kind") != kind:
        raise Unauthenticated(f"this is not a token of kind {kind!r}")
    _check_time(claims, at, grace)
    return claims


def prove(key: Ed25519PrivateKey, *, method: str, address: str, token: str, at: datetime, **claims: Any) -> str:
    """Prove that the holder of *key* makes this very request with *token* (RFC 9449); *claims* bind more of it."""
    body = {
        **claims,
        "htm": method,
        "htu": address,
        "ath": _hashed(token),
        "iat": int(at.timestamp()),
        "jti": uuid.uuid4().hex,
    }
    public = jwt.algorithms.OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return jwt.encode(body, key, algorithm=ALGORITHM, headers={"typ": _PROOF, "jwk": public})


def read_proof(
    proof: str, *, method: str, address: str, token: str, at: datetime
) -> tuple[Ed25519PublicKey, Mapping[str, Any]]:
    """Verify a proof that `prove` made for *token* and this request; return the key that made it, and the claims.

    It says that somebody holds the key, not whose it is.  Raises `Unauthenticated` for any other proof.
    """
    try:
        header = jwt.get_unverified_header(proof)
        # The key comes with the proof: what it is worth is for the caller to say (RFC 9449 section 4.3).
        key = jwt.PyJWK(dict(header["jwk"]), algorithm=ALGORITHM).key
        options: Any = {"require": ["htm", "htu", "ath", "iat", "jti"], "verify_iat": False}
        claims: dict[str, Any] = jwt.decode(proof, key, algorithms=[ALGORITHM], options=options)
        issued = datetime.fromtimestamp(claims["iat"], UTC)
    except (jwt.PyJWTError, KeyError, TypeError, ValueError, OverflowError, OSError) as error:
        raise Unauthenticated("the proof of the agent's key is not valid") from error
    if not isinstance(key, Ed25519PublicKey) or header.get("typ") != _PROOF:
        raise Unauthenticated("the proof of the agent's key is not valid")
    if (claims["htm"], claims["htu"], claims["ath"]) != (method, address, _hashed(token)):
        raise Unauthenticated("the proof of the agent's key is for another request or another token")
    if not -PROOF_LIFE <= at - issued <= PROOF_LIFE:
        raise Unauthenticated("the proof of the agent's key is not of now; compare the clocks of both machines")
    return key, claims


def _hashed(token: str) -> str:
    """Return the hash by which a proof names a token (RFC 9449 section 4.2, ``ath``)."""
    return base64.urlsafe_b64encode(sha256(token.encode()).digest()).rstrip(b"=").decode()


def _check_time(claims: Mapping[str, Any], at: datetime, grace: timedelta) -> None:
    try:
        begins = max(datetime.fromtimestamp(claims[name], UTC) for name in ("iat", "nbf") if name in claims)
        is_over, is_early = datetime.fromtimestamp(claims["exp"], UTC) + grace < at, begins - LEEWAY > at
    except (TypeError, ValueError, OverflowError, OSError) as error:
        raise Unauthenticated("the token is not valid") from error
    if is_over:
        raise TokenExpired("the token has expired")
    if is_early:
        raise Unauthenticated("the token is not valid yet; compare the clocks of both machines")
