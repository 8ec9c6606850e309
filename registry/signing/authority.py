# SPDX-License-Identifier: Apache-2.0
"""The embedded signing authority: a sovereign Sigstore in one folder, with certificates, timestamps and a log.

The folder holds ``authority.json`` (public: what is trusted since when), ``keys/`` (private, owner only) and ``log/``.
Keys are listed in generations, so that a rotated one stays known to verifiers.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey

from khatim.errors import AlreadyExists, Malformed, Misconfigured
from registry.signing import certificates
from registry.signing.certificates import HOSTILE, Issuer
from registry.signing.encoding import rfc3339
from registry.signing.identity import Identity, domain
from registry.signing.keys import FolderKeys, KeyStore
from registry.signing.record import Generation, PublicRecord
from registry.signing.timestamp import TimestampAuthority
from registry.signing.transparency import SignatureLog

_RECORD = "authority.json"


class Authority:
    """An opened authority; safe for several threads, and several processes may open one folder."""

    def __init__(self, folder: Path, record: PublicRecord, keys: KeyStore) -> None:
        """Load the keys in use; raises `Misconfigured` if one is missing."""
        self.folder = folder
        self.record = record
        signing, stamping = record.signing[-1], record.timestamping[-1]
        self._chain = signing.certificates
        self._issuer = Issuer(self._chain[0], keys.p256(signing.key))
        self._certificate_log = keys.p256(record.certificate_log[-1].key)
        self._stamping = TimestampAuthority(keys.p256(stamping.key), stamping.certificates[0])
        self.log = SignatureLog(folder / "log", record.origin, keys.ed25519(record.signature_log[-1].key))

    @classmethod
    def create(
        cls, folder: Path, instance: str, clock: Callable[[], datetime], *, keys: KeyStore | None = None
    ) -> Authority:
        """Found the authority of *instance* in a new *folder*; all of it appears at once, or nothing.

        Raises `AlreadyExists` if the folder is there.  *keys* stands for the folder's own files.
        """
        domain(instance)
        if folder.exists():
            raise AlreadyExists(f"there is a signing authority in {folder.name} already")
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            building = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))  # mkdtemp: owner only
        except OSError as wrong:
            raise Misconfigured(f"the signing authority cannot be put in {folder}: {wrong.strerror}") from wrong
        store = keys or FolderKeys(building / "keys")
        try:
            record = _found(instance, clock(), store)
            log_key = store.ed25519(record.signature_log[-1].key)
            SignatureLog.create(building / "log", record.origin, log_key).close()
            (building / _RECORD).write_text(record.dumps(), "utf-8")
            _flush(building / _RECORD, *(path for path in building.iterdir() if path.is_dir()), building)
            building.rename(folder)
            _flush(folder.parent)
        except OSError as wrong:
            if wrong.errno in (errno.ENOTEMPTY, errno.EEXIST):  # another process was faster
                raise AlreadyExists(f"there is a signing authority in {folder.name} already") from wrong
            raise Misconfigured(f"the signing authority cannot be put in {folder.name}: {wrong.strerror}") from wrong
        finally:
            shutil.rmtree(building, ignore_errors=True)
        return cls.open(folder, keys=keys)

    @classmethod
    def open(cls, folder: Path, *, keys: KeyStore | None = None) -> Authority:
        """Open the authority in *folder*; raises `Misconfigured` if there is none, or its keys are open to others."""
        try:
            text = (folder / _RECORD).read_text("utf-8")
        except OSError as wrong:
            raise Misconfigured(f"there is no signing authority in {folder.name}: {wrong.strerror}") from wrong
        return cls(folder, PublicRecord.loads(text), keys or FolderKeys(folder / "keys"))

    @classmethod
    def open_or_create(cls, folder: Path, instance: str, clock: Callable[[], datetime]) -> Authority:
        """Open the authority of *instance*, or found it if the folder is not there; several processes may race.

        Raises `Misconfigured` if the folder holds the authority of another instance.
        """
        if not folder.exists():
            try:
                return cls.create(folder, instance, clock)
            except AlreadyExists:  # another process was faster
                pass
        found = cls.open(folder)
        if found.record.instance != instance:
            found.close()
            raise Misconfigured(f"the signing authority in {folder.name} is that of {found.record.instance!r}")
        return found

    def close(self) -> None:
        """Let go of the log's file."""
        self.log.close()

    def issue_certificate(
        self, public_key: EllipticCurvePublicKey, identity: str, issuer: str, at: datetime
    ) -> list[x509.Certificate]:
        """Return a ten-minute certificate for *identity* (URI or email), and its chain up to the root.

        *issuer* is the URL of who vouches for the identity.  The caller has made sure that the holder of the key is
        that identity.  Raises `Malformed` for another key than P-256, `Misconfigured` outside the authority's life.
        """
        if not isinstance(public_key.curve, SECP256R1):
            raise Malformed("signing keys are ECDSA P-256")
        issued = self._chain[0]
        last = at + certificates.LEAF_LIFE - certificates.CLOCK_SKEW
        if not issued.not_valid_before_utc <= at or last > issued.not_valid_after_utc:
            raise Misconfigured(
                f"the authority's signing certificate is not valid at {rfc3339(at)}",
                advice="Check the clock; if the certificate has run out, rotate it.",
            )
        who = Identity(identity, issuer)
        leaf = certificates.signing(public_key, who, self._issuer, self._certificate_log, at)
        return [leaf, *self._chain]

    def issue_for_csr(self, csr: bytes, identity: str, issuer: str, at: datetime) -> list[x509.Certificate]:
        """Return a certificate for the key of a PEM certificate request; only its key and self-signature count."""
        try:
            request = x509.load_pem_x509_csr(csr)
            valid, public = request.is_signature_valid, request.public_key()
        except HOSTILE as wrong:
            raise Malformed("the certificate request is not PEM, or not signed by its key") from wrong
        if not valid:
            raise Malformed("the certificate request is not signed by its key")
        return self.issue_certificate(_p256(public), identity, issuer, at)

    def issue_for_proof(
        self, key: bytes, proof: tuple[bytes, str], identity: str, issuer: str, at: datetime
    ) -> list[x509.Certificate]:
        """Return a certificate for a PEM public key whose holder signed the challenge: *proof* is (signature, text)."""
        signature, challenge = proof
        try:
            public = _p256(serialization.load_pem_public_key(key))
            public.verify(signature, challenge.encode(), ECDSA(hashes.SHA256()))
        except HOSTILE as wrong:
            raise Malformed("the proof of possession is not by the given key over the token's subject") from wrong
        return self.issue_certificate(public, identity, issuer, at)

    def issued(self, certificate: x509.Certificate, at: datetime) -> bool:
        """Whether the signing certificate in use issued *certificate* and it is valid at *at*."""
        try:
            certificate.verify_directly_issued_by(self._chain[0])
        except HOSTILE:
            return False
        return certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc

    def timestamp(self, request: bytes, at: datetime) -> bytes:
        """Answer a TimeStampReq (DER) with a TimeStampResp (DER); a bad request gets a rejection that says why."""
        return self._stamping.answer(request, at)

    def stamp(self, message: bytes, at: datetime) -> bytes:
        """Return the TimeStampResp (DER) that *message* existed at *at*."""
        return self._stamping.stamp(message, at)


def _p256(public: object) -> EllipticCurvePublicKey:
    if not isinstance(public, EllipticCurvePublicKey) or not isinstance(public.curve, SECP256R1):
        raise Malformed("signing keys are ECDSA P-256")
    return public


def _found(instance: str, at: datetime, keys: KeyStore) -> PublicRecord:
    """Make all keys and certificates of a new authority (the root signs here and at later ceremonies only)."""
    root_key, signing_key, stamping_key = (keys.create_p256(name) for name in ("root-1", "signing-1", "timestamping-1"))
    log, certificate_log = keys.create_ed25519("signature-log-1"), keys.create_p256("certificate-log-1")
    root = Issuer(certificates.root(domain(instance), root_key, at), root_key)
    signing = certificates.intermediate(domain(instance), signing_key, root, at)
    stamping = certificates.timestamping(domain(instance), stamping_key, root, at)
    start = rfc3339(at - certificates.CLOCK_SKEW)
    return PublicRecord(
        instance,
        signing=(Generation("signing-1", start, _pem(signing, root.certificate)),),
        timestamping=(Generation("timestamping-1", start, _pem(stamping, root.certificate)),),
        certificate_log=(Generation("certificate-log-1", start, public=_public_pem(certificate_log.public_key())),),
        signature_log=(Generation("signature-log-1", start, public=_public_pem(log.public_key())),),
    )


def _pem(*chain: x509.Certificate) -> tuple[str, ...]:
    return tuple(one.public_bytes(serialization.Encoding.PEM).decode() for one in chain)


def _public_pem(public: Any) -> str:
    encoded: bytes = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return encoded.decode()


def _flush(*paths: Path) -> None:
    """Make files and the names in folders durable."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
