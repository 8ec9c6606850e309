# SPDX-License-Identifier: Apache-2.0
"""Asking a timestamp authority over HTTP: an honest one, OpenSSL's, and every way to answer badly."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from khatim.errors import Malformed, Unavailable
from registry.signing import ledger_time, stamping, timestamp
from registry.signing.authority import Authority
from tests.support.stamps import Answer, by, chain_in, founded, serving

NOTE = b"ledger.test.khatim\n1\n"


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return founded(tmp_path_factory.mktemp("elsewhere") / "authority")


def asked(answer: Callable[[bytes], Answer], chain: Path | None = None) -> bytes:
    with serving(answer) as url, httpx.Client(timeout=5) as http:
        clock = ledger_time.outside_of(chain, url) if chain else None
        return stamping.stamped(stamping.over_http(url, http), NOTE, url, clock)


def test_an_authority_of_another_instance_stamps_over_http(elsewhere: Authority, tmp_path: Path) -> None:
    chain = chain_in(elsewhere, tmp_path / "chain.pem")
    assert stamping.read(asked(by(elsewhere), chain), NOTE).tst_info.nonce
    assert stamping.read(asked(by(elsewhere)), NOTE).tst_info.nonce


def test_openssls_own_authority_stamps_and_verifies(tmp_path: Path) -> None:
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl is not installed: a timestamp authority that we did not write was not asked")
    config = tmp_path / "tsa.cnf"
    config.write_text(
        "[tsa]\ndefault_tsa = t\n[t]\nserial = serial\nsigner_digest = sha256\ndefault_policy = 1.2.3.4.1\n"
        "digests = sha256\naccuracy = secs:1\ness_cert_id_alg = sha256\n"
        "[req]\ndistinguished_name = dn\n[dn]\n[ca]\nbasicConstraints = critical,CA:TRUE\n"
        "keyUsage = critical,keyCertSign\n[leaf]\nextendedKeyUsage = critical,timeStamping\n"
        "keyUsage = critical,digitalSignature\n"
    )
    (tmp_path / "serial").write_text("01\n")

    def openssl(*words: str) -> None:
        done = subprocess.run([program, *words], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=30)
        assert done.returncode == 0, done.stderr

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-config", "tsa.cnf", "-days", "30")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=root", "-extensions", "ca")
    openssl(
        "req", "-x509", *key, "-keyout", "tsa.key", "-out", "tsa.pem", "-subj", "/CN=tsa.example", "-extensions",
        "leaf", "-CA", "ca.pem", "-CAkey", "ca.key",
    )  # fmt: skip
    (tmp_path / "chain.pem").write_text((tmp_path / "tsa.pem").read_text() + (tmp_path / "ca.pem").read_text())

    def answer(query: bytes) -> Answer:
        (tmp_path / "q").write_bytes(query)
        words = ("-config", "tsa.cnf", "-queryfile", "q", "-signer", "tsa.pem", "-inkey", "tsa.key", "-out", "r")
        openssl("ts", "-reply", *words)
        return 200, (tmp_path / "r").read_bytes(), {}

    token = asked(answer, tmp_path / "chain.pem")
    assert abs((stamping.read(token, NOTE).tst_info.gen_time - datetime.now(UTC)).total_seconds()) < 60


def test_one_that_is_away_is_said_to_be(elsewhere: Authority) -> None:
    with httpx.Client(timeout=2) as http, pytest.raises(Unavailable, match="does not answer"):
        stamping.stamped(stamping.over_http("http://127.0.0.1:9/tsa", http), NOTE, "tsa")


BAD: dict[str, tuple[Callable[[bytes, Authority], Answer], str]] = {
    "a redirection": (lambda honest, _: (302, honest, {"Location": "http://127.0.0.1:9/"}), "answers 302"),
    "an error": (lambda honest, _: (500, honest, {}), "answers 500"),
    "a refusal": (lambda _, tsa: (200, tsa.timestamp(b"no query", datetime.now(UTC)), {}), "a refusal"),
    "a page": (lambda *_: (200, b"<html>", {}), "no timestamp"),
    "nothing": (lambda *_: (200, b"", {}), "no timestamp"),
    "another nonce": (
        lambda _, tsa: (200, tsa.timestamp(timestamp.request(NOTE, 17), datetime.now(UTC)), {}),
        "nonce is not the one",
    ),
    "no nonce": (lambda _, tsa: (200, tsa.stamp(NOTE, datetime.now(UTC)), {}), "nonce is not the one"),
    "other bytes": (lambda _, tsa: (200, tsa.stamp(b"other", datetime.now(UTC)), {}), "over other bytes"),
    "without end": (lambda *_: (200, bytes(100_000), {}), "without end"),
}


@pytest.mark.parametrize("what", BAD)
def test_any_other_answer_than_the_one_asked_for_is_refused(elsewhere: Authority, what: str) -> None:
    bad, said = BAD[what]
    with pytest.raises(Unavailable, match=said):
        asked(lambda query: bad(elsewhere.timestamp(query, datetime.now(UTC)), elsewhere))


def test_an_answer_by_another_authority_than_the_known_one_is_refused(elsewhere: Authority, tmp_path: Path) -> None:
    chain = chain_in(elsewhere, tmp_path / "chain.pem")
    stranger = founded(tmp_path / "stranger", "stranger")
    with pytest.raises(Unavailable, match="does not hold"):
        asked(by(stranger), chain)


@pytest.mark.parametrize("content", [b"", b"no certificate"])
def test_certificates_that_are_none_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "chain.pem").write_bytes(content)
    with pytest.raises(Malformed):
        ledger_time.outside_of(tmp_path / "chain.pem")
    with pytest.raises(Malformed):
        ledger_time.outside_of(tmp_path / "missing.pem")


def test_a_certificate_without_its_issuer_is_refused(elsewhere: Authority, tmp_path: Path) -> None:
    (tmp_path / "chain.pem").write_text(elsewhere.record.timestamping[-1].chain[0])
    with pytest.raises(Malformed):
        ledger_time.outside_of(tmp_path / "chain.pem")
