# SPDX-License-Identifier: Apache-2.0
"""The programs that judge: where they lie, and how each is asked.  `make outside` brings those that are not ours.

A program that is not there skips the test with the reason that its fetching left; with ``CI=true`` it fails it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOM = ROOT / ".outside"
PYTHON = sys.executable
OF_THE_SYSTEM = ("openssl", "jq", "unzip")
NOWHERE = "http://127.0.0.1:9"  # as a proxy: verifying is offline, or it fails
Done = subprocess.CompletedProcess[str]


def program(name: str) -> str:
    """Return the path of a program; skips, or fails under CI, if it could not be had."""
    mine = ROOM / "bin" / name
    found = str(mine) if mine.exists() else shutil.which(name) if name in OF_THE_SYSTEM else None
    if found is None:
        told = ROOM / "missing" / {"node": "js"}.get(name, name)
        how = f"apt-get install {name}" if name in OF_THE_SYSTEM else "make outside"
        why = told.read_text().strip() if told.exists() else f"{name} is not there: {how}"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    return found


def run(*command: str | Path, cwd: Path, network: bool = False, **environment: str) -> Done:
    """Run a command with a home of its own; without *network*, every proxy leads nowhere."""
    proxies = {"NO_PROXY": "*"} if network else {"HTTPS_PROXY": NOWHERE, "HTTP_PROXY": NOWHERE}
    return subprocess.run(
        [*map(str, command)], cwd=cwd, capture_output=True, text=True, check=False, timeout=120,
        env={"HOME": str(cwd), "PATH": "", "COLUMNS": "400", **proxies, **environment},
    )  # fmt: skip


class Signer(NamedTuple):
    """Who is expected to have signed: the identity in the certificate, and the issuer that vouches for it."""

    identity: str
    issuer: str


class Trust(NamedTuple):
    """The two files of an instance that a verifier gets once."""

    config: Path
    root: Path


def sigstore(bundle: Path, trust: Trust, who: Signer, artifact: str) -> Done:
    """sigstore-python: *artifact* is a file, or ``sha256:`` and the digest of a subject."""
    return run(
        PYTHON, "-m", "sigstore", "--trust-config", trust.config, "verify", "identity", "--bundle", bundle,
        "--cert-identity", who.identity, "--cert-oidc-issuer", who.issuer, "--offline", artifact, cwd=bundle.parent,
    )  # fmt: skip


def model_signing(signature: Path, trust: Trust, who: Signer, folder: Path) -> Done:
    """OpenSSF Model Signing over the files of a model."""
    return run(
        PYTHON, "-m", "model_signing", "verify", "sigstore", "--trust_config", trust.config, "--identity",
        who.identity, "--identity_provider", who.issuer, "--signature", signature, folder, cwd=signature.parent,
    )  # fmt: skip


def cosign(bundle: Path, trust: Trust, who: Signer, kind: str, *artifact: str | Path) -> Done:
    """cosign: *artifact* is a file, or ``--digest``, its hexadecimal digits, ``--digestAlg sha256``."""
    return run(
        program("cosign"), "verify-blob-attestation", "--bundle", bundle, "--trusted-root", trust.root,
        "--certificate-identity", who.identity, "--certificate-oidc-issuer", who.issuer, "--type", kind,
        "--use-signed-timestamps", *artifact, cwd=bundle.parent,
    )  # fmt: skip


def sigstore_js(bundle: Path, trust: Trust, who: Signer) -> Done:
    """@sigstore/verify on Node 22, by the ten lines of the guide; it does not look at subjects."""
    script = ROOT / "docs" / "guides" / "verify-with-node" / "verify.mjs"
    return run(
        program("node"), script, bundle, trust.root, who.identity, who.issuer,
        cwd=bundle.parent, NODE_PATH=str(ROOM / "js" / "node_modules"),
    )  # fmt: skip


def openssl(*arguments: str | Path, cwd: Path) -> Done:
    """Ask the timestamp commands of OpenSSL."""
    return run(program("openssl"), "ts", *arguments, cwd=cwd)


def compiled(to: Path) -> Path:
    """Compile the Go program of the guide, with Go's own packages only; return the executable."""
    made = run(
        program("go"), "build", "-o", to, ROOT / "docs" / "guides" / "verify-ledger" / "main.go",
        cwd=to.parent, PATH="/usr/bin:/bin",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    return to


def holds(done: Done) -> str:
    """Return what a program said that must have found everything in order."""
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def refuses(done: Done, because: str) -> None:
    """See that a program refused, and for the reason that is meant: no test passes on a wrong option."""
    said = done.stdout + done.stderr
    assert done.returncode != 0, said
    assert because.lower() in said.lower(), said
