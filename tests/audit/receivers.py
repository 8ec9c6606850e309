# SPDX-License-Identifier: Apache-2.0
"""A syslog receiver and a sender as processes of their own, so that they can be killed; and a CA for both."""

from __future__ import annotations

import ipaddress
import json
import socket
import ssl
import sys
import threading
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from audit.streams.messages import Format
from audit.streams.sender import Sender
from audit.streams.transports import Places, open_transport
from khatim.vocabulary import Decision

ORIGIN = "ledger.test.khatim"


def judge(origin: str, target: str) -> Decision:
    """Let everything go but entries of the zone ``secret``."""
    return Decision(allowed=origin != "secret", rule="tests/secret", reason="because")


def authority(folder: Path, name: str = "ca") -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Make a CA whose certificate lies in *folder*."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = _certificate(subject, subject, key, key, is_ca=True)
    (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return made, key


def certificate(folder: Path, name: str, ca: tuple[x509.Certificate, ec.EllipticCurvePrivateKey]) -> Path:
    """Make a certificate for 127.0.0.1 with its key in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = _certificate(subject, ca[0].subject, key, ca[1], is_ca=False)
    path = folder / f"{name}.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
    return path


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    by: ec.EllipticCurvePrivateKey,
    *,
    is_ca: bool,
) -> x509.Certificate:
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
    )
    if is_ca:
        usage = x509.KeyUsage(
            digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
            data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        builder = builder.add_extension(usage, critical=True)
    return builder.add_extension(address, critical=False).sign(by, hashes.SHA256())


def receive(port: int, certificate_file: str, client_ca: str, into: str) -> None:
    """Receive frames over TLS until killed, and append every byte to *into* as it comes."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate_file)
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    server = socket.create_server(("127.0.0.1", port))
    print(server.getsockname()[1], flush=True)  # noqa: T201 - told to the parent
    for number in range(1_000_000):
        plain, _ = server.accept()
        threading.Thread(target=_take, args=(context, plain, Path(f"{into}.{number}")), daemon=True).start()


def _take(context: ssl.SSLContext, plain: socket.socket, into: Path) -> None:
    try:
        with context.wrap_socket(plain, server_side=True) as line, into.open("ab", buffering=0) as file:
            while data := line.recv(1 << 16):
                file.write(data)
    except OSError:
        return  # a handshake that fails is the sender's to tell


def send(dsn: str, sink: str, folder: str) -> None:
    """Send one sink until killed."""
    places = Places(Path(folder) / "files", Path(folder))
    sender = Sender(
        dsn,
        uuid.UUID(sink),
        ORIGIN,
        judge,
        lambda row: open_transport(row["transport"], row["target"], Format(row["format"]), places),
        batch=20,
    )
    print("sending", flush=True)  # noqa: T201 - told to the parent
    sender.run(threading.Event())


if __name__ == "__main__":
    verb, given = sys.argv[1], json.loads(sys.argv[2])
    if verb == "receive":
        receive(*given)
    else:
        send(*given)
