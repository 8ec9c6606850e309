# SPDX-License-Identifier: Apache-2.0
"""Outsiders verify with their own tools, unchanged, and sign with their own clients against our authority."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import jwt
import pytest
from sigstore.dsse import Statement as SigstoreStatement
from sigstore.models import ClientTrustConfig
from sigstore.oidc import IdentityToken
from sigstore.sign import SigningContext

from khatim.vocabulary import Digest
from registry.signing import oms, statements, trust
from registry.signing.authority import Authority
from registry.signing.identity import Identity, IdentityPolicy
from registry.signing.signer import Signer
from registry.signing.verification import TrustRoot, verify_bundle
from tests.registry.signing.conftest import AGENT, ISSUER
from tests.registry.signing.counter import served

SUBJECT = "agent-1"
CONTENT = b"report"
STATEMENT = statements.statement([("report", Digest.of(CONTENT))], statements.TEST_RESULT, {"result": "PASSED"})


def run(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a module of this interpreter with a home of its own and proxies that lead nowhere: verifying is offline."""
    nowhere = "http://127.0.0.1:9"
    environment = {"HOME": str(cwd), "HTTPS_PROXY": nowhere, "HTTP_PROXY": nowhere, "PATH": ""}
    return subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


@pytest.fixture
def config(authority: Authority, tmp_path: Path) -> Path:
    path = tmp_path / "client_trust_config.json"
    path.write_text(trust.dumps(trust.client_trust_config(authority.record, "https://authority.test")))
    return path


def sigstore_verify(config: Path, identity: str, issuer: str) -> subprocess.CompletedProcess[str]:
    return run(
        "sigstore", "--trust-config", config, "verify", "identity", "--bundle", "report.sigstore.json",
        "--cert-identity", identity, "--cert-oidc-issuer", issuer, "--offline", "report", cwd=config.parent,
    )  # fmt: skip


def test_the_sigstore_command_verifies_our_bundle_unchanged(signer: Signer, config: Path) -> None:
    (config.parent / "report").write_bytes(CONTENT)
    (config.parent / "report.sigstore.json").write_text(signer.sign(STATEMENT))

    done = sigstore_verify(config, AGENT, ISSUER)
    assert done.returncode == 0, done.stderr
    assert "OK: report" in done.stderr


@pytest.mark.parametrize(
    ("identity", "issuer", "content"),
    [
        (AGENT.replace("1", "2"), ISSUER, CONTENT),
        (AGENT, "https://other.test", CONTENT),
        (AGENT, ISSUER, b"changed"),
    ],
    ids=["identity", "issuer", "file"],
)
def test_the_sigstore_command_refuses_what_we_refuse(
    local: Signer, config: Path, identity: str, issuer: str, content: bytes
) -> None:
    (config.parent / "report").write_bytes(content)
    (config.parent / "report.sigstore.json").write_text(local.sign(STATEMENT))

    assert sigstore_verify(config, identity, issuer).returncode != 0


@pytest.fixture
def model(local: Signer, tmp_path: Path) -> Path:
    """Return a signed model folder; the signature lies in it, as people do it."""
    folder = tmp_path / "malignancy"
    (folder / "a").mkdir(parents=True)
    for name in ("model.onnx", "a/b.json", "a.txt", "a/c.bin"):
        (folder / name).write_bytes(name.encode())
    statement = oms.oms_statement(folder.name, oms.read_folder(folder))
    (folder / "model.sig").write_text(local.sign(statement))
    return folder


def model_signing_verify(config: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return run(
        "model_signing", "verify", "sigstore", "--trust_config", config, "--identity", AGENT,
        "--identity_provider", ISSUER, "--signature", folder / "model.sig", folder, cwd=config.parent,
    )  # fmt: skip


def test_model_signing_verifies_our_model_signature_unchanged(config: Path, model: Path) -> None:
    done = model_signing_verify(config, model)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Verification succeeded" in done.stdout


def test_model_signing_finds_a_changed_file(config: Path, model: Path) -> None:
    (model / "a" / "b.json").write_bytes(b"changed")

    done = model_signing_verify(config, model)
    assert done.returncode != 0
    assert "a/b.json" in done.stderr


# --- their clients, our authority ---


def token(clock: Callable[[], datetime]) -> str:
    claims = {"iss": ISSUER, "sub": SUBJECT, "aud": "sigstore", "iat": clock(), "exp": clock() + timedelta(minutes=5)}
    return jwt.encode(claims, "a secret between the instance and its tokens", algorithm="HS256")


def who(bearer: str | None) -> tuple[Identity, str] | None:
    claims = jwt.decode(bearer or "", options={"verify_signature": False})
    return (Identity(AGENT, ISSUER), SUBJECT) if claims["sub"] == SUBJECT else None


def test_the_sigstore_client_signs_with_our_authority_unchanged(
    authority: Authority, clock: Callable[[], datetime], root: TrustRoot, policy: IdentityPolicy
) -> None:
    with served(authority, clock, who) as url:
        config = ClientTrustConfig.from_json(json.dumps(trust.client_trust_config(authority.record, url)))
        # cache=True: without it sigstore 4.5.1 signs with another key than it asked a certificate for (trust.md A1).
        with SigningContext.from_trust_config(config).signer(IdentityToken(token(clock)), cache=True) as theirs:
            bundle = theirs.sign_dsse(SigstoreStatement(STATEMENT)).to_json()

    found = verify_bundle(bundle, root, policy, {Digest.of(CONTENT)})
    assert (found.identity, found.log_index) == (AGENT, 1)


def test_the_model_signing_command_signs_with_our_authority_unchanged(
    authority: Authority, clock: Callable[[], datetime], root: TrustRoot, policy: IdentityPolicy, tmp_path: Path
) -> None:
    """And our check of the files accepts the signature, without ignoring what it asks to ignore."""
    folder = tmp_path / "malignancy"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"onnx")
    with served(authority, clock, who) as url:
        (tmp_path / "config.json").write_text(trust.dumps(trust.client_trust_config(authority.record, url)))
        environment = {"HOME": str(tmp_path), "PATH": "", "NO_PROXY": "*"}
        done = subprocess.run(
            [
                sys.executable, "-m", "model_signing", "sign", "sigstore", "--trust_config", "config.json",
                "--identity_token", token(clock), "--signature", "model.sig", str(folder),
            ],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr

    found = verify_bundle((tmp_path / "model.sig").read_text(), root, policy)
    payload = json.dumps(found.statement).encode()
    oms.check_folder(statements.parse(payload), folder)
    assert found.predicate_type == statements.OMS_SIGNATURE
