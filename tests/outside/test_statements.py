# SPDX-License-Identifier: Apache-2.0
"""Every statement of a told story is verified by sigstore-python, cosign, sigstore-js and OpenSSL, all unchanged."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from cryptography import x509

from governance.reports import manifest
from registry.signing import bundle as bundles
from registry.signing import statements
from registry.signing.binding import identity_of
from tests.outside import tools
from tests.outside.tools import Signer, Trust, holds, refuses

# What the story signs; `test_the_story_signs_every_kind_of_statement` sees that none is missing.
KINDS = {
    statements.DATASET_SNAPSHOT, statements.FEATURE_MATERIALIZATION, statements.TRAINING, statements.TEST_RESULT,
    statements.OMS_SIGNATURE, statements.APPROVAL, statements.DEPLOYMENT, statements.ENGAGEMENT,
}  # fmt: skip


def found(folder: Path) -> dict[Path, statements.Statement]:
    """Return the bundles of an engagement, and what each says."""
    paths = [folder / manifest.SIGNATURE, *sorted((folder / "attestations").iterdir())]
    return {path: statements.parse(bundles.parse(path.read_text()).payload) for path in paths}


def trust_of(folder: Path) -> Trust:
    return Trust(folder / manifest.TRUST_CONFIG, folder / manifest.TRUSTED_ROOT)


def signer_of(bundle: Path) -> Signer:
    """Return whom the certificate names; that they are the right ones is tested elsewhere."""
    who = identity_of(x509.load_der_x509_certificate(bundles.parse(bundle.read_text()).certificate))
    return Signer(who.name, who.issuer)


def test_the_story_signs_every_kind_of_statement(unpacked: Path) -> None:
    assert {said.kind for said in found(unpacked).values()} == KINDS


def test_sigstore_python_verifies_every_statement(unpacked: Path) -> None:
    for bundle, said in found(unpacked).items():
        told = holds(tools.sigstore(bundle, trust_of(unpacked), signer_of(bundle), str(said.subjects[0].digest)))
        assert said.predicate_type in told


def test_cosign_verifies_every_statement(unpacked: Path) -> None:
    for bundle, said in found(unpacked).items():
        about = ("--digest", said.subjects[0].digest.hex, "--digestAlg", "sha256")
        done = tools.cosign(bundle, trust_of(unpacked), signer_of(bundle), said.predicate_type, *about)
        assert "Verified OK" in holds(done)


def test_sigstore_js_verifies_every_statement_and_reads_what_we_read(unpacked: Path) -> None:
    for bundle, said in found(unpacked).items():
        told = tools.sigstore_js(bundle, trust_of(unpacked), signer_of(bundle))
        assert holds(told).strip().encode() == said.payload


def test_openssl_verifies_the_timestamp_of_every_statement(unpacked: Path, tmp_path: Path) -> None:
    authorities = json.loads((unpacked / manifest.TRUSTED_ROOT).read_text())["timestampAuthorities"]
    root = base64.b64decode(authorities[0]["certChain"]["certificates"][-1]["rawBytes"])
    (tmp_path / "root.pem").write_bytes(_pem(root))
    for bundle in found(unpacked):
        parts = bundles.parse(bundle.read_text())
        (tmp_path / "signature").write_bytes(parts.signature)
        (tmp_path / "r.tsr").write_bytes(parts.timestamps[0])
        asked = ("-verify", "-data", "signature", "-in", "r.tsr", "-CAfile", "root.pem")

        assert "Verification: OK" in holds(tools.openssl(*asked, cwd=tmp_path))
        (tmp_path / "signature").write_bytes(parts.signature[:-1])
        refuses(tools.openssl(*asked, cwd=tmp_path), "message imprint mismatch")


def _pem(der: bytes) -> bytes:
    return b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_no_tool_takes_one_statement_for_another(unpacked: Path, kind: str) -> None:
    """What one signed, for another identity, issuer or subject, whatever kind of statement it is."""
    bundle, said = next((path, said) for path, said in found(unpacked).items() if said.kind == kind)
    trust, who = trust_of(unpacked), signer_of(bundle)
    other = who._replace(identity=who.identity + "0")
    about = ("--digest", said.subjects[0].digest.hex, "--digestAlg", "sha256")

    refuses(tools.cosign(bundle, trust, other, said.predicate_type, *about), "no matching CertificateIdentity")
    refuses(tools.sigstore_js(bundle, trust, other), "certificate identity error")
