# SPDX-License-Identifier: Apache-2.0
"""Tokens: what was signed is read back by whom it is meant for, as what it is, while its time lasts."""

from __future__ import annotations

import base64
import contextlib
import inspect
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import assume, given
from hypothesis import strategies as st

from khatim import tokens
from khatim.errors import TokenExpired, Unauthenticated

AT = datetime(2026, 11, 23, 2, 30, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
HOUR = timedelta(hours=1)
kinds = st.sampled_from(sorted(tokens.KINDS))
moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - given one
spans = st.timedeltas(timedelta(seconds=10), timedelta(days=400))
words = st.text(max_size=30)
OWN = {"kind", "sub", "aud", "iss", "iat", "exp", "jti"}
NAMED = {*inspect.signature(tokens.issue).parameters, *OWN}  # what cannot be given as a claim besides
further = st.dictionaries(st.text(min_size=1, max_size=9).filter(lambda name: name not in NAMED), words | st.integers())


def token(kind: str = "access", *, key: Ed25519PrivateKey = KEY, ttl: timedelta = HOUR, **claims: Any) -> str:
    """Issue a token of the tests."""
    return tokens.issue(
        key, kind=kind, subject="p-1", audience="khatim", issuer="https://test", at=AT, ttl=ttl, **claims
    )


def read(given_token: str, kind: str = "access", *, at: datetime = AT, audience: str = "khatim") -> dict[str, Any]:
    """Read a token as the tests' installation does."""
    return dict(tokens.read(given_token, KEY.public_key(), audience=audience, at=at, kind=kind))


def by_hand(header: Any, body: Any, signature: bytes = b"") -> str:
    """Return a token made of any parts."""
    raw = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, body)]
    return ".".join(base64.urlsafe_b64encode(one).decode().rstrip("=") for one in (*raw, signature))


def good_claims(**changes: Any) -> dict[str, Any]:
    """Return claims that would hold."""
    now = int(AT.timestamp())
    return {
        "kind": "access", "sub": "p-1", "aud": "khatim", "iss": "https://test", "iat": now, "exp": now + 60, "jti": "1",
        **changes,
    }  # fmt: skip


# -- what goes in comes out --


@given(kind=kinds, subject=words, audience=st.text(min_size=1, max_size=30), at=moments, ttl=spans, more=further)
def test_what_was_issued_is_read(
    kind: str, subject: str, audience: str, at: datetime, ttl: timedelta, more: dict[str, Any]
) -> None:
    issued = tokens.issue(
        KEY, **{**more, "kind": kind, "subject": subject}, audience=audience, issuer="https://test", at=at, ttl=ttl
    )
    claims = tokens.read(issued, KEY.public_key(), audience=audience, at=at, kind=kind)

    assert {name: claims[name] for name in more} == more
    assert (claims["kind"], claims["sub"], claims["aud"]) == (kind, subject, audience)
    assert tokens.kind_of(issued) == kind


@given(issued_as=kinds, read_as=kinds)
def test_a_token_is_not_used_as_another(issued_as: str, read_as: str) -> None:
    assume(issued_as != read_as)
    with pytest.raises(Unauthenticated, match=f"not a token of kind '{read_as}'"):
        read(token(issued_as), read_as)


@given(st.integers(0, 2000))
def test_a_token_with_a_flipped_bit_is_not_valid(place: int) -> None:
    issued = token()
    body, _, signature = issued.rpartition(".")
    raw = bytearray(base64.urlsafe_b64decode(signature + "=="))
    raw[place // 8 % len(raw)] ^= 1 << place % 8
    with pytest.raises(Unauthenticated):
        read(f"{body}.{base64.urlsafe_b64encode(bytes(raw)).decode().rstrip('=')}")


@given(name=st.sampled_from(sorted(OWN)), value=words)
def test_no_claim_can_be_changed_under_its_signature(name: str, value: str) -> None:
    header, body, signature = token().split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    assume(claims[name] != value)
    changed = base64.urlsafe_b64encode(json.dumps({**claims, name: value}).encode()).decode().rstrip("=")
    with pytest.raises(Unauthenticated):
        read(f"{header}.{changed}.{signature}")


def test_a_further_claim_never_replaces_who_or_until_when() -> None:
    claims = read(token(sub="p-2", aud="elsewhere", iss="https://other", exp=2**40, iat=0))

    assert (claims["sub"], claims["aud"], claims["iss"]) == ("p-1", "khatim", "https://test")
    assert (claims["iat"], claims["exp"]) == (int(AT.timestamp()), int((AT + HOUR).timestamp()))


def test_a_token_id_is_given_or_new_each_time() -> None:
    assert read(token(jti="the one"))["jti"] == "the one"
    assert read(token())["jti"] != read(token())["jti"]


def test_an_unknown_kind_is_not_issued() -> None:
    with pytest.raises(ValueError, match="unknown kind of token: master"):
        token("master")


# -- time --


@given(ttl=spans, after=st.timedeltas(timedelta(0), timedelta(days=800)), grace=spans)
def test_a_token_counts_until_its_end_and_its_grace(ttl: timedelta, after: timedelta, grace: timedelta) -> None:
    issued = token(ttl=ttl)
    end = int((AT + ttl).timestamp())
    key, at = KEY.public_key(), AT + after
    if at > datetime.fromtimestamp(end, UTC) + grace:
        with pytest.raises(TokenExpired):
            tokens.read(issued, key, audience="khatim", at=at, kind="access", grace=grace)
    else:
        assert tokens.read(issued, key, audience="khatim", at=at, kind="access", grace=grace)["exp"] == end


def test_a_few_seconds_of_another_clock_are_forgiven_and_no_more() -> None:
    issued = token()
    edge = AT + HOUR + tokens.LEEWAY

    assert read(issued, at=edge)
    assert read(issued, at=AT - tokens.LEEWAY)
    with pytest.raises(TokenExpired):
        read(issued, at=edge + timedelta(seconds=1))
    with pytest.raises(Unauthenticated, match="not valid yet"):
        read(issued, at=AT - tokens.LEEWAY - timedelta(seconds=1))


def test_the_time_is_the_one_given_and_not_the_machines() -> None:
    long_ago = datetime(2001, 1, 1, tzinfo=UTC)
    issued = tokens.issue(KEY, kind="job", subject="1", audience="a", issuer="https://test", at=long_ago, ttl=HOUR)

    assert tokens.read(issued, KEY.public_key(), audience="a", at=long_ago + HOUR, kind="job")


# -- forgeries --


def test_another_audience_is_told() -> None:
    with pytest.raises(Unauthenticated, match="another audience"):
        read(token(), audience="zone:ae-health")


def test_another_key_signs_nothing() -> None:
    with pytest.raises(Unauthenticated, match="not valid"):
        read(token(key=OTHER))


def test_a_token_without_a_signature_is_not_valid() -> None:
    for header in ({"alg": "none"}, {"alg": "None"}, {"alg": ""}, {}, {"alg": None}, {"alg": ["EdDSA"]}):
        with pytest.raises(Unauthenticated):
            read(by_hand({"typ": "JWT", **header}, good_claims()))


def test_the_public_key_is_no_shared_secret() -> None:
    import hashlib  # noqa: PLC0415 - PyJWT would refuse to make this forgery
    import hmac  # noqa: PLC0415

    raw = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    for secret in (tokens.public_pem(KEY).encode(), raw):
        head = by_hand({"alg": "HS256", "typ": "JWT"}, good_claims()).rpartition(".")[0]
        signature = hmac.new(secret, head.encode(), hashlib.sha256).digest()
        with pytest.raises(Unauthenticated):
            read(f"{head}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}")


@pytest.mark.parametrize("missing", ["exp", "iat", "sub", "aud", "jti", "kind"])
def test_a_token_without_one_of_its_claims_is_not_valid(missing: str) -> None:
    claims = {name: value for name, value in good_claims().items() if name != missing}
    with pytest.raises(Unauthenticated):
        read(jwt.encode(claims, KEY, algorithm="EdDSA"))


@pytest.mark.parametrize(
    "garbage",
    [
        "", ".", "..", "a.b.c", "\x00", "\u00e4.\u00e4.\u00e4", "e30.e30.", by_hand([], []), by_hand(b"{", b"}"),
        by_hand({"alg": "EdDSA"}, b"[" * 30_000), by_hand(b'{"alg":"EdDSA","x":' + b"[" * 30_000, good_claims()),
        by_hand({"alg": "EdDSA"}, b'{"exp":' + b"9" * 6000 + b"}"), by_hand({"alg": "EdDSA"}, b"\xff\xfe"),
        by_hand({"alg": "EdDSA", "crit": ["x"]}, good_claims()), by_hand({"alg": "EdDSA", "b64": False}, good_claims()),
    ],
    ids=range(15),
)  # fmt: skip
def test_garbage_is_not_valid_whoever_looks(garbage: str) -> None:
    with pytest.raises(Unauthenticated):
        read(garbage)
    with contextlib.suppress(Unauthenticated):
        tokens.kind_of(garbage)


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: by_hand({"alg": "EdDSA"}, raw)))
def test_whatever_is_sent_the_answer_is_unauthenticated(garbage: str) -> None:
    with pytest.raises(Unauthenticated):
        read(garbage)


# -- keys --


def test_a_public_key_goes_through_pem_and_back() -> None:
    again = tokens.public_key(tokens.public_pem(KEY))

    assert again.public_bytes_raw() == KEY.public_key().public_bytes_raw()
    assert tokens.public_pem(KEY.public_key()) == tokens.public_pem(KEY)


def test_a_key_of_another_kind_is_refused() -> None:
    pem = generate_private_key(SECP256R1()).public_key()
    with pytest.raises(Unauthenticated, match="not an Ed25519 key"):
        tokens.public_key(pem.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


@pytest.mark.parametrize("pem", ["", "nonsense", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"])
def test_what_is_no_key_is_refused(pem: str) -> None:
    with pytest.raises(Unauthenticated):
        tokens.public_key(pem)
