# SPDX-License-Identifier: Apache-2.0
"""The timestamp authority, checked by OpenSSL and by rfc3161-client."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rfc3161_client import PKIStatus, TimestampRequestBuilder, VerifierBuilder, decode_timestamp_response
from rfc3161_client.base import HashAlgorithm

from khatim.errors import Malformed
from registry.signing import timestamp
from registry.signing.authority import Authority

AT = datetime(2026, 11, 23, 2, 30, 0, 999999, tzinfo=UTC)


@pytest.fixture
def founded(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "authority", "demo", lambda: AT)


def openssl(*arguments: str | Path) -> str:
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl is not installed: its check of our timestamps did not run")
    done = subprocess.run(
        [program, "ts", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=30
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("extra", [(), ("-no_nonce",)])
def test_openssl_verifies_our_answer_to_its_own_request(
    founded: Authority, tmp_path: Path, algorithm: str, extra: tuple[str, ...]
) -> None:
    (tmp_path / "data").write_bytes(b"signature")
    openssl("-query", "-data", tmp_path / "data", f"-{algorithm}", "-cert", *extra, "-out", tmp_path / "q.tsq")
    (tmp_path / "r.tsr").write_bytes(founded.timestamp((tmp_path / "q.tsq").read_bytes(), AT))
    (tmp_path / "root.pem").write_text(founded.record.timestamping[-1].chain[-1])

    told = openssl(
        "-verify", "-queryfile", tmp_path / "q.tsq", "-in", tmp_path / "r.tsr", "-CAfile", tmp_path / "root.pem"
    )
    assert "Verification: OK" in told, told
    assert "Nov 23 02:30:00 2026 GMT" in openssl("-reply", "-in", tmp_path / "r.tsr", "-text")


def test_openssl_refuses_our_answer_for_other_data(founded: Authority, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"other")
    (tmp_path / "r.tsr").write_bytes(founded.stamp(b"signature", AT))
    (tmp_path / "root.pem").write_text(founded.record.timestamping[-1].chain[-1])

    told = openssl("-verify", "-data", tmp_path / "other", "-in", tmp_path / "r.tsr", "-CAfile", tmp_path / "root.pem")
    assert "Verification: FAILED" in told


def test_a_stamp_without_a_request_verifies_too(founded: Authority) -> None:
    tsa, root = founded.record.timestamping[-1].certificates
    response = decode_timestamp_response(founded.stamp(b"signature", AT))
    verifier = VerifierBuilder().tsa_certificate(tsa).add_root_certificate(root).build()

    assert verifier.verify_message(response, b"signature")
    assert response.tst_info.gen_time == AT.replace(microsecond=0)
    assert response.tst_info.policy == timestamp.POLICY


def test_the_nonce_comes_back_and_the_certificate_only_when_asked(founded: Authority) -> None:
    request = TimestampRequestBuilder().data(b"x").hash_algorithm(HashAlgorithm.SHA512).cert_request(cert_request=False)
    asked = request.nonce(nonce=True).build()
    response = decode_timestamp_response(founded.timestamp(asked.as_bytes(), AT))

    assert response.tst_info.nonce == asked.nonce
    assert len(response.signed_data.certificates) == 0


def test_no_two_timestamps_have_one_serial_number(founded: Authority) -> None:
    serials = {decode_timestamp_response(founded.stamp(b"x", AT)).tst_info.serial_number for _ in range(50)}

    assert len(serials) == 50


def test_our_own_request_is_understood_by_others(tmp_path: Path) -> None:
    (tmp_path / "q.tsq").write_bytes(timestamp.request(b"x", nonce=2**63 + 1))
    told = openssl("-query", "-in", tmp_path / "q.tsq", "-text")

    assert "Hash Algorithm: sha256" in told
    assert "Nonce: 0x8000000000000001" in told
    assert "Certificate required: yes" in told


@pytest.mark.parametrize(
    "query",
    [
        b"",
        b"not DER",
        timestamp.request(b"x")[:-1],
        timestamp.request(b"x").replace(bytes.fromhex("608648016503040201"), bytes.fromhex("608648016503040202")),
        timestamp.request(b"x").replace(b"\x02\x01\x01", b"\x02\x01\x02", 1),
    ],
    ids=["empty", "other", "cut", "digest too short for its algorithm", "version 2"],
)
def test_a_request_that_cannot_be_served_is_answered_with_a_rejection(founded: Authority, query: bytes) -> None:
    answer = founded.timestamp(query, AT)

    # rfc3161-client reads granted answers only; the status is the first integer.
    assert answer[4:7] == bytes([2, 1, PKIStatus.REJECTION]), answer.hex()
    with pytest.raises(Malformed, match="did not grant"):
        timestamp.granted(answer)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(min_value=0), value=st.integers(1, 255))
def test_every_request_is_answered_whatever_it_is(founded: Authority, place: int, value: int) -> None:
    query = bytearray(timestamp.request(b"x", nonce=7))
    query[place % len(query)] ^= value

    assert founded.timestamp(bytes(query), AT)[0] == 0x30  # a SEQUENCE: granted or rejected, never an exception


def test_a_granted_answer_is_handed_on_as_it_is(founded: Authority) -> None:
    answer = founded.stamp(b"x", AT)

    assert timestamp.granted(answer) == answer
