# SPDX-License-Identifier: Apache-2.0
"""One contract for every signer; what only one of them can do wrong stands below it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from khatim.errors import Malformed, SignatureInvalid, Unauthenticated, Unavailable
from khatim.vocabulary import Digest
from registry.signing import authority_http, bundle, statements, trust
from registry.signing.authority import Authority
from registry.signing.certificates import der
from registry.signing.encoding import b64
from registry.signing.identity import Identity, IdentityPolicy
from registry.signing.signer import RemoteSigner, Signer
from registry.signing.verification import TrustRoot, verify_bundle
from tests.registry.signing.conftest import AGENT, ISSUER
from tests.registry.signing.counter import TOKEN, client_of

MODEL = Digest.of(b"model")
STATEMENT = statements.statement([("model", MODEL)], statements.TEST_RESULT, {"result": "PASSED"})


# --- the contract ---


def test_what_is_signed_verifies_and_says_who_and_when(
    signer: Signer, root: TrustRoot, policy: IdentityPolicy, clock: Callable[[], datetime]
) -> None:
    before = clock().replace(microsecond=0)
    found = verify_bundle(signer.sign(STATEMENT), root, policy, {MODEL})

    assert (found.identity, found.issuer, found.kind) == (AGENT, ISSUER, statements.TEST_RESULT)
    assert (found.digests, dict(found.predicate)) == (frozenset({MODEL}), {"result": "PASSED"})
    assert before <= found.signed_at <= clock()
    assert found.log_index == 1


def test_the_statement_is_signed_byte_for_byte(signer: Signer) -> None:
    assert bundle.parse(signer.sign(STATEMENT)).payload == STATEMENT


def test_each_signature_has_a_key_of_its_own_and_an_entry_of_its_own(signer: Signer) -> None:
    one, two = (bundle.parse(signer.sign(STATEMENT)) for _ in range(2))

    assert one.certificate != two.certificate
    assert (one.entry.index, two.entry.index) == (1, 2)


def test_what_is_no_statement_is_neither_signed_nor_logged(signer: Signer, authority: Authority) -> None:
    with pytest.raises(Malformed):
        signer.sign(b'{"anything": "else"}')

    assert len(list(authority.log.entries())) == 1


# --- at a distance ---


def answering(
    authority: Authority, clock: Callable[[], datetime], instead: Mapping[str, httpx.Response | Exception]
) -> RemoteSigner:
    """Return a signer whose authority answers as it should but for the paths in *instead*."""
    inner = client_of(authority, clock, Identity(AGENT, ISSUER))

    def handle(request: httpx.Request) -> httpx.Response:
        given = instead.get(request.url.path)
        if isinstance(given, Exception):
            raise given
        return given or inner.send(request)

    return RemoteSigner(httpx.Client(transport=httpx.MockTransport(handle), base_url="https://a.test"), lambda: TOKEN)


def test_a_token_that_the_authority_does_not_know_is_its_refusal(
    authority: Authority, clock: Callable[[], datetime]
) -> None:
    with client_of(authority, clock, Identity(AGENT, ISSUER)) as http, pytest.raises(Unauthenticated):
        RemoteSigner(http, lambda: "another").sign(STATEMENT)


@pytest.mark.parametrize(
    ("path", "given"),
    [
        (trust.SIGNING_CERT_PATH, httpx.ConnectError("no route")),
        (trust.SIGNING_CERT_PATH, httpx.Response(502, text="bad gateway")),
        (trust.SIGNING_CERT_PATH, httpx.Response(200, text="<html>")),
        (trust.SIGNING_CERT_PATH, httpx.Response(200, json=[])),
        (trust.SIGNING_CERT_PATH, httpx.Response(200, json={})),
        (trust.TIMESTAMP_PATH, httpx.ReadTimeout("slow")),
        (trust.TIMESTAMP_PATH, httpx.Response(200, content=b"not DER")),
        (trust.LOG_ENTRIES_PATH, httpx.Response(200, json="entry")),
    ],
)
def test_an_authority_that_does_not_answer_properly_is_unavailable(
    authority: Authority, clock: Callable[[], datetime], path: str, given: httpx.Response | Exception
) -> None:
    """No exception of the HTTP library leaks."""
    with pytest.raises(Unavailable):
        answering(authority, clock, {path: given}).sign(STATEMENT)


def test_a_certificate_for_another_key_is_not_signed_with(authority: Authority, clock: Callable[[], datetime]) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    chain = authority.issue_certificate(other.public_key(), AGENT, ISSUER, clock())
    given = {"signedCertificateEmbeddedSct": {"chain": {"certificates": authority_http._pem(chain)}}}

    with pytest.raises(SignatureInvalid, match="another key"):
        answering(authority, clock, {trust.SIGNING_CERT_PATH: httpx.Response(200, json=given)}).sign(STATEMENT)


# --- what the authority's log accepts ---


def record(authority: Authority, at: datetime, **changes: Any) -> dict[str, Any]:
    """Return a request to log a good signature, or one with the given parts replaced."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = authority.issue_certificate(key.public_key(), AGENT, ISSUER, at)[0]
    digest = hashes.Hash(hashes.SHA256())
    digest.update(b"signed")
    made = {
        "digest": digest.finalize(),
        "content": key.sign(b"signed", ec.ECDSA(hashes.SHA256())),
        "certificate": der(certificate),
        "keyDetails": bundle.KEY_DETAILS,
        **changes,
    }
    verifier = {"keyDetails": made["keyDetails"], "x509Certificate": {"rawBytes": b64(made["certificate"])}}
    signature = {"content": b64(made["content"]), "verifier": verifier}
    return {"hashedRekordRequestV002": {"digest": b64(made["digest"]), "signature": signature}}


def test_a_good_signature_is_logged(authority: Authority, clock: Callable[[], datetime]) -> None:
    assert authority_http.log_entry(authority, record(authority, clock()), clock())["logIndex"] == "1"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"digest": b"\0" * 32}, "not by the certificate's key"),
        ({"digest": b"\0" * 20}, "not by the certificate's key"),
        ({"content": b"nonsense"}, "not by the certificate's key"),
        ({"certificate": b"nonsense"}, "not DER"),
        ({"keyDetails": "PKIX_ED25519"}, "only PKIX_ECDSA_P256_SHA_256"),
    ],
)
def test_a_signature_that_does_not_hold_is_not_logged(
    authority: Authority, clock: Callable[[], datetime], changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(Malformed, match=said):
        authority_http.log_entry(authority, record(authority, clock(), **changes), clock())
    assert len(list(authority.log.entries())) == 1


def test_a_certificate_of_another_authority_is_not_logged(
    authority: Authority, clock: Callable[[], datetime], tmp_path: Any
) -> None:
    other = Authority.create(tmp_path / "other", "demo", clock)

    with pytest.raises(Malformed, match="not of this authority"):
        authority_http.log_entry(authority, record(other, clock()), clock())


def test_a_certificate_that_has_run_out_is_not_logged(authority: Authority, clock: Callable[[], datetime]) -> None:
    with pytest.raises(Malformed, match="not valid now"):
        authority_http.log_entry(authority, record(authority, clock()), clock() + timedelta(minutes=6))
