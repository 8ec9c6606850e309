# SPDX-License-Identifier: Apache-2.0
"""What the doctor says of certificates, providers and secrets that are not as they should be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from gateway import doctor
from gateway.doctor import Health
from khatim import settings as khatim_settings
from khatim.settings import Settings

NOW = datetime(2026, 11, 24, tzinfo=UTC)
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "khatim.example")])


def tls(folder: Path, days: float, key: EllipticCurvePrivateKey | None = None) -> Settings:
    """Return settings with a certificate that ends in *days*; *key* is another than its own."""
    own = generate_private_key(SECP256R1())
    builder = x509.CertificateBuilder(NAME, NAME, own.public_key(), x509.random_serial_number())
    made = builder.not_valid_before(NOW - timedelta(days=90)).not_valid_after(NOW + timedelta(days=days))
    (folder / "cert.pem").write_bytes(made.sign(own, SHA256()).public_bytes(Encoding.PEM))
    kept = (key or own).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "key.pem").write_bytes(kept)
    return khatim_settings.load(data=folder, tls={"certificate": folder / "cert.pem", "key": folder / "key.pem"})


def healths(settings: Settings, name: str) -> list[tuple[Health, str]]:
    """Return how the things of *name* are, with the advice."""
    found = [one for one in doctor.examine(settings, NOW) if one.name == name]
    assert found
    return [(one.health, one.advice) for one in found]


@pytest.mark.parametrize(("days", "health"), [(60, Health.WELL), (29, Health.ATTENTION), (-1, Health.ILL)])
def test_a_certificate_is_renewed_in_time(tmp_path: Path, days: float, health: Health) -> None:
    [(found, advice)] = healths(tls(tmp_path, days), "tls")

    assert (found, bool(advice)) == (health, health is not Health.WELL)


def test_a_key_of_another_certificate_is_ill(tmp_path: Path) -> None:
    assert healths(tls(tmp_path, 60, generate_private_key(SECP256R1())), "tls")[0][0] is Health.ILL


def test_a_certificate_that_is_none_is_ill_and_all_else_is_looked_at(tmp_path: Path) -> None:
    settings = tls(tmp_path, 60)
    (tmp_path / "cert.pem").write_text("nonsense")

    assert healths(settings, "tls")[0][0] is Health.ILL
    assert {one.name for one in doctor.examine(settings, NOW)} >= {"server", "folders", "disk", "witnesses", "sign-in"}


def test_a_provider_that_does_not_answer_is_ill(tmp_path: Path) -> None:
    oidc = {"issuer": "http://127.0.0.1:9", "audience": "khatim"}

    assert healths(khatim_settings.load(data=tmp_path, oidc=oidc), "sign-in")[0][0] is Health.ILL


def test_a_disk_that_is_not_there_is_ill(tmp_path: Path) -> None:
    settings = khatim_settings.load(data=tmp_path, disk={"volume": tmp_path / "gone"})

    assert healths(settings, "disk")[0][0] is Health.ILL
