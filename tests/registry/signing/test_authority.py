# SPDX-License-Identifier: Apache-2.0
"""The embedded authority: keys, certificates, both ways to ask for one."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from khatim.errors import AlreadyExists, Malformed, Misconfigured
from registry.signing import authority_http, certificates
from registry.signing.authority import Authority
from registry.signing.encoding import b64
from registry.signing.identity import Identity
from tests.registry.signing.conftest import AGENT, ISSUER

AT = datetime(2026, 11, 23, 2, 30, 0, 123456, tzinfo=UTC)
WHO = Identity(AGENT, ISSUER)


@pytest.fixture
def founded(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "authority", "demo", lambda: AT)


@pytest.fixture
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def csr(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.PEM)


def test_keys_are_readable_by_their_owner_only(founded: Authority) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (founded.folder / "keys").iterdir()}

    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE((founded.folder / "keys").stat().st_mode) == 0o700
    assert stat.S_IMODE(founded.folder.stat().st_mode) == 0o700


def test_an_authority_whose_keys_others_may_read_is_not_opened(founded: Authority) -> None:
    (founded.folder / "keys" / "signing-1.pem").chmod(0o640)

    with pytest.raises(Misconfigured, match="read by others") as refusal:
        Authority.open(founded.folder)
    assert "chmod" in refusal.value.advice


def test_each_purpose_has_a_key_of_its_own(founded: Authority) -> None:
    keys = [path.read_bytes() for path in (founded.folder / "keys").iterdir()]

    assert len(keys) == len(set(keys)) == 5


def test_an_authority_is_founded_once(founded: Authority) -> None:
    with pytest.raises(AlreadyExists):
        Authority.create(founded.folder, "demo", lambda: AT)


def test_opening_founds_what_is_not_there_and_keeps_what_is(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(lambda _: Authority.open_or_create(tmp_path / "a", "demo", lambda: AT), range(4)))

    assert len({authority.log.id for authority in opened}) == 1
    with pytest.raises(Misconfigured, match="'demo'"):
        Authority.open_or_create(tmp_path / "a", "other", lambda: AT)


def test_nothing_is_left_behind_when_founding_fails(tmp_path: Path) -> None:
    with pytest.raises(Malformed):
        Authority.create(tmp_path / "authority", "Not a host", lambda: AT)
    (tmp_path / "file").write_text("")
    with pytest.raises(Misconfigured, match="cannot be put"):
        Authority.create(tmp_path / "file" / "authority", "demo", lambda: AT)

    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_authority_is_the_same_after_a_restart(founded: Authority, key: ec.EllipticCurvePrivateKey) -> None:
    again = Authority.open(founded.folder)

    assert again.record == founded.record
    chain = again.issue_certificate(key.public_key(), AGENT, ISSUER, AT)
    assert founded.issued(chain[0], AT)


def test_a_folder_without_an_authority_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="no signing authority"):
        Authority.open(tmp_path)


def test_a_lost_signature_log_is_not_started_anew(founded: Authority) -> None:
    (founded.folder / "log" / "entries").unlink()

    with pytest.raises(Misconfigured, match="cannot be opened") as refusal:
        Authority.open(founded.folder)
    assert "deny the old signatures" in refusal.value.advice


def test_a_certificate_has_the_shape_that_fulcio_gives(founded: Authority, key: ec.EllipticCurvePrivateKey) -> None:
    """trust.md A2b.d: what every Sigstore verifier looks at."""
    leaf, intermediate, root = founded.issue_certificate(key.public_key(), AGENT, ISSUER, AT)
    found = {extension.oid: extension for extension in leaf.extensions}
    name = found[x509.SubjectAlternativeName.oid]
    scts = leaf.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps).value

    assert leaf.subject == x509.Name([])
    assert name.critical
    assert name.value.get_values_for_type(x509.UniformResourceIdentifier) == [AGENT]
    assert found[certificates.ISSUER_V1].value.value == ISSUER.encode()
    assert asn1.decode_der(str, found[certificates.ISSUER_V2].value.value) == ISSUER
    assert [sct.log_id for sct in scts] == [certificates.key_id(founded.record.certificate_log[-1].public_key)]
    assert scts[0].timestamp == AT.replace(microsecond=0, tzinfo=None)
    assert leaf.not_valid_before_utc == (AT - timedelta(minutes=5)).replace(microsecond=0)
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == timedelta(minutes=10)
    leaf.verify_directly_issued_by(intermediate)
    intermediate.verify_directly_issued_by(root)


def test_an_email_address_is_an_identity_too(founded: Authority, key: ec.EllipticCurvePrivateKey) -> None:
    leaf = founded.issue_certificate(key.public_key(), "ada@example.test", ISSUER, AT)[0]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    assert names.get_values_for_type(x509.RFC822Name) == ["ada@example.test"]


@pytest.mark.parametrize("identity", ["", "ada", "a@b@c", "ada @example.test", "https://", "spiffe://a b", "x" * 1001])
def test_what_is_neither_is_no_identity(founded: Authority, key: ec.EllipticCurvePrivateKey, identity: str) -> None:
    with pytest.raises(Malformed, match="identity"):
        founded.issue_certificate(key.public_key(), identity, ISSUER, AT)


@pytest.mark.parametrize("at", [AT - timedelta(days=1), AT + timedelta(days=1827)])
def test_nothing_is_issued_outside_the_life_of_the_authority(
    founded: Authority, key: ec.EllipticCurvePrivateKey, at: datetime
) -> None:
    with pytest.raises(Misconfigured, match="not valid at"):
        founded.issue_certificate(key.public_key(), AGENT, ISSUER, at)


def test_a_certificate_request_is_answered_in_fulcios_json(founded: Authority, key: ec.EllipticCurvePrivateKey) -> None:
    answer = authority_http.signing_cert(founded, {"certificateSigningRequest": b64(csr(key))}, WHO, AT)
    chain = answer["signedCertificateEmbeddedSct"]["chain"]["certificates"]

    assert len(chain) == 3
    assert x509.load_pem_x509_certificate(chain[0].encode()).public_key() == key.public_key()


def proof_request(key: ec.EllipticCurvePrivateKey, challenge: str) -> dict[str, object]:
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    proof = key.sign(challenge.encode(), ec.ECDSA(hashes.SHA256()))
    return {
        "credentials": {"oidcIdentityToken": "token"},
        "publicKeyRequest": {
            "publicKey": {"algorithm": "ECDSA", "content": pem.decode()},
            "proofOfPossession": b64(proof),
        },
    }


def test_a_proof_of_possession_over_the_tokens_subject_is_answered(
    founded: Authority, key: ec.EllipticCurvePrivateKey
) -> None:
    """Cosign signs the email or subject of its token, not the identity that we map it to."""
    request = proof_request(key, "subject-7")
    answer = authority_http.signing_cert(founded, request, WHO, AT, "subject-7")

    leaf = answer["signedCertificateEmbeddedSct"]["chain"]["certificates"][0]
    assert x509.load_pem_x509_certificate(leaf.encode()).public_key() == key.public_key()
    assert authority_http.token_of(request, None) == "token"
    assert authority_http.token_of(request, "Bearer other") == "other"


def test_a_proof_over_another_subject_is_refused(founded: Authority, key: ec.EllipticCurvePrivateKey) -> None:
    with pytest.raises(Malformed, match="proof of possession"):
        authority_http.signing_cert(founded, proof_request(key, "somebody else"), WHO, AT, "subject-7")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "either"),
        ({"certificateSigningRequest": "", "publicKeyRequest": {}}, "either"),
        ({"certificateSigningRequest": "!"}, "base64"),
        ({"certificateSigningRequest": b64(b"not PEM")}, "not PEM"),
        ({"certificateSigningRequest": b64(csr(ed25519.Ed25519PrivateKey.generate()))}, "P-256"),
        ({"certificateSigningRequest": b64(csr(ec.generate_private_key(ec.SECP384R1())))}, "P-256"),
        ({"publicKeyRequest": {"publicKey": {"content": "x"}, "proofOfPossession": b64(b"x")}}, "proof of possession"),
        ({"certificateSigningRequest": "x", "more": 1}, "'more'"),
    ],
)
def test_a_bad_request_for_a_certificate_is_refused_by_name(
    founded: Authority, body: dict[str, object], said: str
) -> None:
    with pytest.raises(Malformed, match=said):
        authority_http.signing_cert(founded, body, WHO, AT)


def test_a_certificate_request_signed_by_another_key_is_refused(
    founded: Authority, key: ec.EllipticCurvePrivateKey
) -> None:
    der = bytearray(x509.load_pem_x509_csr(csr(key)).public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    pem = b"-----BEGIN CERTIFICATE REQUEST-----\n" + b64(bytes(der)).encode() + b"\n-----END CERTIFICATE REQUEST-----\n"

    with pytest.raises(Malformed):
        founded.issue_for_csr(pem, AGENT, ISSUER, AT)


REQUEST = csr(ec.generate_private_key(ec.SECP256R1()))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(min_value=0), value=st.integers(1, 255))
def test_a_spoilt_certificate_request_is_malformed_or_for_the_same_key(
    founded: Authority, place: int, value: int
) -> None:
    """Nothing that the cryptographic library raises leaks; all it overlooks is spare bits after the signature."""
    request = x509.load_pem_x509_csr(REQUEST)
    der = bytearray(request.public_bytes(serialization.Encoding.DER))
    der[place % len(der)] ^= value
    pem = b"-----BEGIN CERTIFICATE REQUEST-----\n" + b64(bytes(der)).encode() + b"\n-----END CERTIFICATE REQUEST-----\n"
    try:
        leaf = founded.issue_for_csr(pem, AGENT, ISSUER, AT)[0]
    except Malformed:
        return
    assert leaf.public_key() == request.public_key()


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")  # a negative serial number
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(min_value=0), value=st.integers(1, 255))
def test_a_spoilt_certificate_is_not_logged_whatever_it_is(
    founded: Authority, key: ec.EllipticCurvePrivateKey, place: int, value: int
) -> None:
    encoded = bytearray(certificates.der(founded.issue_certificate(key.public_key(), AGENT, ISSUER, AT)[0]))
    encoded[place % len(encoded)] ^= value
    verifier = {"keyDetails": "PKIX_ECDSA_P256_SHA_256", "x509Certificate": {"rawBytes": b64(bytes(encoded))}}
    signature = {"content": b64(b"signature"), "verifier": verifier}

    with pytest.raises(Malformed):
        authority_http.log_entry(
            founded, {"hashedRekordRequestV002": {"digest": b64(b"\0" * 32), "signature": signature}}, AT
        )


def test_the_trust_bundle_holds_the_chains(founded: Authority) -> None:
    chains = authority_http.trust_bundle(founded.record)["chains"]

    assert [len(chain["certificates"]) for chain in chains] == [2]
