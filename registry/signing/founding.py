# SPDX-License-Identifier: Apache-2.0
"""Making keys and their certificates: what founding, rotation and ceremonies have in common."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from khatim.errors import Misconfigured
from registry.signing import certificates
from registry.signing.certificates import Issuer
from registry.signing.encoding import rfc3339
from registry.signing.identity import domain
from registry.signing.keys import KeyStore, fresh
from registry.signing.record import Change, Generation, PublicRecord

CERTIFIED = ("signing", "timestamping")
"""The purposes whose certificates the root signs; the others are keys alone."""


def found(instance: str, at: datetime, keys: KeyStore, root_keys: KeyStore, *, by: str) -> PublicRecord:
    """Make all keys and certificates of a new authority; the root's key goes into *root_keys*."""
    first = root(instance, root_keys, at)
    issuer = Issuer(first.certificates[0], root_keys.p256(first.key))
    made = {purpose: generation(purpose, instance, keys, at, issuer) for purpose in CERTIFIED}
    where = "apart from the service's keys" if root_keys is not keys else "beside the service's keys"
    return PublicRecord(
        instance,
        signing=(made["signing"],),
        timestamping=(made["timestamping"],),
        certificate_log=(generation("certificate-log", instance, keys, at),),
        signature_log=(generation("signature-log", instance, keys, at),),
        roots=(first,),
        history=(Change("founded", rfc3339(at), by, first.key, details={"root": where}),),
    )


def root(instance: str, keys: KeyStore, at: datetime) -> Generation:
    """Make the key and the self-signed certificate of the next root."""
    name = fresh(keys, "root")
    certificate = certificates.root(domain(instance), keys.create_p256(name), at, _number(name))
    return Generation(name, rfc3339(at - certificates.CLOCK_SKEW), pem(certificate))


def generation(purpose: str, instance: str, keys: KeyStore, at: datetime, issuer: Issuer | None = None) -> Generation:
    """Make the next key of *purpose*; *issuer*, the root, is needed for what the root certifies."""
    name = fresh(keys, purpose)
    number, start = _number(name), rfc3339(at - certificates.CLOCK_SKEW)
    if purpose == "signature-log":
        log = keys.create_ed25519(name)
        origin, folder = ("", "log") if number == 1 else (f"signatures-{number}.{domain(instance)}", f"log-{number}")
        return Generation(name, start, public=public_pem(log.public_key()), origin=origin, folder=folder)
    if purpose == "certificate-log":
        return Generation(name, start, public=public_pem(keys.create_p256(name).public_key()))
    if issuer is None:
        raise Misconfigured(f"only the root can certify a key for {purpose}")
    certify = certificates.intermediate if purpose == "signing" else certificates.timestamping
    certificate = certify(domain(instance), keys.create_p256(name), issuer, at, number)
    return Generation(name, start, pem(certificate, issuer.certificate))


def issuer_of(record: PublicRecord, root_keys: KeyStore, at: datetime) -> Issuer:
    """Return the root in office with its key; raises `Misconfigured` when the key is not there or it has run out."""
    newest = record.roots[-1]
    certificate = newest.certificates[0]
    if newest.key not in root_keys.names():
        raise Misconfigured(
            f"the key of the root ({newest.key}) is not in {root_keys.place}",
            advice="Bring the offline root: khatim authority ceremony renew signing --root FOLDER.",
        )
    if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
        raise Misconfigured(
            f"the root {newest.key} is valid from {rfc3339(certificate.not_valid_before_utc)} "
            f"to {rfc3339(certificate.not_valid_after_utc)} only",
            advice="Hold the ceremony of a new root: khatim authority ceremony new-root.",
        )
    key = root_keys.p256(newest.key)
    if key.public_key() != certificate.public_key():
        raise Misconfigured(f"the key {newest.key} in {root_keys.place} is not that of this authority's root")
    return Issuer(certificate, key)


def pem(*chain: x509.Certificate) -> tuple[str, ...]:
    """Return certificates as PEM."""
    return tuple(one.public_bytes(serialization.Encoding.PEM).decode() for one in chain)


def public_pem(public: Any) -> str:
    """Return a public key as PEM."""
    encoded: bytes = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return encoded.decode()


def _number(name: str) -> int:
    return int(name.rpartition("-")[2])
