# SPDX-License-Identifier: Apache-2.0
"""With what the registry signs, as the settings say: the pen of the office, and what verifiers must be told of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar, assert_never

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from khatim.errors import KhatimError, Malformed, Misconfigured
from khatim.settings import Settings
from khatim.signing_settings import OutsideTsa, SigningSettings
from khatim.wire import answers
from registry.signing.appointments import Appointment, latest
from registry.signing.arrangement import Arrangement
from registry.signing.backends import private_sigstore
from registry.signing.binding import Window
from registry.signing.clocks import clock_of
from registry.signing.deputies import KEY_ONLY
from registry.signing.identity import Identity
from registry.signing.keys_pkcs11 import Pkcs11Keys
from registry.signing.keys_unlock import private_file
from registry.signing.office import Office
from registry.signing.outside_clock import NOBODY, OutsideClock
from registry.signing.pens import Pen

_T = TypeVar("_T")
_TIMEOUT_S = 10.0
_SEE = "See docs/guides/signing.md."


@dataclass(frozen=True)
class Backend:
    """A pen, and what the authority's record must say so that verifiers know whose it is."""

    pen: Pen
    wanted: Arrangement


def backend_of(settings: Settings) -> Backend:
    """Return with what the registry signs; raises `Misconfigured` for files or keys that cannot be used."""
    said = settings.signing
    outside, clock = _outside(said.outside_tsa) if said.outside_tsa else (NOBODY, Arrangement())
    pen, signs = _pen(said, outside)
    return Backend(pen, Arrangement(signs, clock.address, clock.chain))


def degraded_of(settings: Settings) -> str:
    """Return what is weaker about the signatures that are made now; empty when nothing is."""
    return KEY_ONLY if settings.signing.backend == "key-only" else ""


def told(settings: Settings, office: Office) -> answers.Signing:
    """Say with what the registry signs, as its record has it."""
    said, signs = settings.signing, latest(office.record.appointments) or {}
    return answers.Signing(
        backend=said.backend,
        identity=str(signs.get("identity", "")),
        issuer=str(signs.get("issuer", "")),
        degraded=degraded_of(settings),
        outside_tsa=said.outside_tsa.url if said.outside_tsa else "",
        outside_tsa_required=bool(said.outside_tsa and said.outside_tsa.required),
        signer=place_of(office),
    )


def place_of(office: Office) -> str:
    """Say where the signing keys are."""
    if not office.is_apart:
        return "in this process"
    return "apart" if office.has_own_account else "apart, under the server's account"


def _pen(said: SigningSettings, outside: OutsideClock) -> tuple[Pen, Appointment]:
    match said.backend:
        case "embedded":
            return Pen(outside=outside), Appointment()
        case "pkcs11":
            held = _token(said)
            return Pen(lambda: held.p256(said.key), outside), Appointment()
        case "key-only":
            key = _bare(_given(said.key_file, "key_file"))
            return Pen(lambda: key, outside, is_bare=True), Appointment.of_key(said.backend, key.public_key())
        case "private-sigstore":
            return _elsewhere(said)
    assert_never(said.backend)


def _elsewhere(said: SigningSettings) -> tuple[Pen, Appointment]:
    path = _given(said.trust_config, "trust_config")
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as wrong:
        raise Misconfigured(f"the trust configuration cannot be read from {path}", advice=_SEE) from wrong
    source = (
        private_sigstore.token_in(said.token_file)
        if said.token_file
        else private_sigstore.token_from(_given(said.token_command, "token_command"))
    )
    remote = private_sigstore.private_signer(text, source, httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False))
    who = Identity(_given(said.identity, "identity"), _given(said.issuer, "issuer"))
    return Pen(remote=remote), Appointment(said.backend, who, private_sigstore.document_of(text))


def _token(said: SigningSettings) -> Pkcs11Keys:
    """Open the token; the key for statements is made there at first use."""
    pin_file = _given(said.pin_file, "pin_file")

    def pin() -> str:
        return private_file(pin_file, "the PIN of the token").decode(errors="replace").strip()

    held = Pkcs11Keys(_given(said.module, "module"), _given(said.token, "token"), pin)
    if said.key not in held.names():
        held.create_p256(said.key)
    return held


def _bare(path: Path) -> EllipticCurvePrivateKey:
    try:
        data = private_file(path, "the key for signing")
    except Misconfigured as wrong:
        raise Misconfigured(wrong.detail, advice=wrong.advice or _SEE) from wrong
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError) as wrong:
        raise Misconfigured(f"{path} does not hold a private key in PEM without a passphrase", advice=_SEE) from wrong
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise Misconfigured(f"the key in {path} is not ECDSA P-256", advice="openssl genpkey -algorithm EC "
                            "-pkeyopt ec_paramgen_curve:P-256")  # fmt: skip
    return key


def _outside(said: OutsideTsa) -> tuple[OutsideClock, Arrangement]:
    try:
        chain = x509.load_pem_x509_certificates(said.chain.read_bytes())
        clock = clock_of(said.url, chain, Window(None, None))
    except (OSError, ValueError, KhatimError) as wrong:
        why = wrong.detail if isinstance(wrong, Malformed) else "it is not a PEM file of certificates"
        raise Misconfigured(
            f"the certificates of the timestamp authority outside cannot be used from {said.chain}: {why}", advice=_SEE
        ) from wrong
    if datetime.now(UTC) > chain[0].not_valid_after_utc:
        raise Misconfigured(
            f"the certificate of the timestamp authority outside ran out at {chain[0].not_valid_after_utc:%Y-%m-%d}",
            advice="Ask for its new chain, and put it into the file.",
        )
    http = httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False)
    return OutsideClock(clock, http, said.required), Arrangement(address=said.url, chain=chain)


def _given(value: _T | None, name: str) -> _T:
    if not value:
        raise Misconfigured(f"signing.{name} is not set", advice=_SEE)
    return value
