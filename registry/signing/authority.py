# SPDX-License-Identifier: Apache-2.0
"""The embedded signing authority: a sovereign Sigstore in one folder, with certificates, timestamps and a log.

The folder holds ``authority.json`` (public: what is trusted since when), ``keys/`` (private, owner only) and ``log/``.
Keys are listed in generations, so that a rotated one stays known to verifiers.
"""

from __future__ import annotations

import errno
import shutil
import tempfile
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey

from khatim.errors import AlreadyExists, Malformed, Misconfigured, NotFound
from registry.signing import certificates
from registry.signing.certificates import HOSTILE, Issuer
from registry.signing.encoding import rfc3339
from registry.signing.founding import found
from registry.signing.identity import Identity, domain
from registry.signing.keys import FolderKeys, KeyStore, flush
from registry.signing.record import PublicRecord
from registry.signing.record_file import RECORD, load
from registry.signing.timestamp import TimestampAuthority
from registry.signing.transparency import SignatureLog


class _InUse:
    """The generations of one reading of the record, with their keys."""

    def __init__(
        self,
        folder: Path,
        record: PublicRecord,
        keys: KeyStore,
        stamp: tuple[int, int],
        before: _InUse | None = None,
    ) -> None:
        signing, stamping, log = record.signing[-1], record.timestamping[-1], record.signature_log[-1]
        self.stamp = stamp
        self.record = record
        self.chain = signing.certificates
        self.issuer = Issuer(self.chain[0], keys.p256(signing.key))
        self.certificate_log = keys.p256(record.certificate_log[-1].key)
        self.stamping = TimestampAuthority(keys.p256(stamping.key), stamping.certificates[0])
        self.log: SignatureLog
        if before and before.record.signature_log[-1] == log:
            self.log = before.log  # a long one takes its time to read
        else:
            self.log = SignatureLog(folder / (log.folder or "log"), record.origin, keys.ed25519(log.key))


class Authority:
    """An opened authority; safe for several threads, and several processes may open one folder.

    A rotation replaces the record; whatever is asked next is done with the new generation.
    """

    def __init__(self, folder: Path, record: PublicRecord, keys: KeyStore) -> None:
        """Load the keys in use; raises `Misconfigured` if one is missing."""
        self.folder = folder
        self._keys = keys
        self._lock = threading.Lock()
        self._retired: list[SignatureLog] = []
        self._state = _InUse(folder, record, keys, _stamp(folder))

    @classmethod
    def create(  # noqa: PLR0913 - where, for whom, when, and the two places of keys
        cls,
        folder: Path,
        instance: str,
        clock: Callable[[], datetime],
        *,
        keys: KeyStore | None = None,
        root_keys: KeyStore | None = None,
        by: str = "service:khatim",
    ) -> Authority:
        """Found the authority of *instance* in a new *folder*; all of it appears at once, or nothing.

        *keys* stands for the folder's own files, *root_keys* for the place of the root's key alone (by default that
        of the others).  *by* is who does it, opaque.  Raises `AlreadyExists` if the folder is there.
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
            record = found(instance, clock(), store, root_keys or store, by=by)
            log = record.signature_log[-1]
            SignatureLog.create(building / log.folder, record.origin, store.ed25519(log.key)).close()
            (building / RECORD).write_text(record.dumps(), "utf-8")
            flush(building / RECORD, *(path for path in building.iterdir() if path.is_dir()), building)
            building.rename(folder)
            flush(folder.parent)
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
        return cls(folder, load(folder), keys or FolderKeys(folder / "keys"))

    @classmethod
    def open_or_create(
        cls, folder: Path, instance: str, clock: Callable[[], datetime], *, keys: KeyStore | None = None
    ) -> Authority:
        """Open the authority of *instance*, or found it if the folder is not there; several processes may race.

        Raises `Misconfigured` if the folder holds the authority of another instance.
        """
        if not folder.exists():
            try:
                return cls.create(folder, instance, clock, keys=keys)
            except AlreadyExists:  # another process was faster
                pass
        opened = cls.open(folder, keys=keys)
        if opened.record.instance != instance:
            opened.close()
            raise Misconfigured(f"the signing authority in {folder.name} is that of {opened.record.instance!r}")
        return opened

    @property
    def record(self) -> PublicRecord:
        """The public record, as it is now."""
        return self._now.record

    @property
    def log(self) -> SignatureLog:
        """The signature log in use."""
        return self._now.log

    @property
    def _now(self) -> _InUse:
        stamp = _stamp(self.folder)
        if stamp != self._state.stamp:
            with self._lock:
                if stamp != self._state.stamp:
                    before = self._state
                    self._state = _InUse(self.folder, load(self.folder), self._keys, stamp, before)
                    if self._state.log is not before.log:
                        self._retired.append(before.log)  # another thread may be writing to it
        return self._state

    def log_of(self, origin: str) -> SignatureLog:
        """Open a log of this authority, also one that rotation ended, by its origin; raises `NotFound`."""
        record = self.record
        for one in record.signature_log:
            if record.origin_of(one) == origin:
                return SignatureLog(self.folder / (one.folder or "log"), origin, self._keys.ed25519(one.key))
        raise NotFound(f"this authority has had no signature log {origin[:120]!r}")

    def close(self) -> None:
        """Let go of the logs' files."""
        for log in (*self._retired, self._state.log):
            log.close()
        self._retired.clear()

    def issue_certificate(
        self, public_key: EllipticCurvePublicKey, identity: str, issuer: str, at: datetime
    ) -> list[x509.Certificate]:
        """Return a ten-minute certificate for *identity* (URI or email), and its chain up to the root.

        *issuer* is the URL of who vouches for the identity.  The caller has made sure that the holder of the key is
        that identity.  Raises `Malformed` for another key than P-256, `Misconfigured` outside the authority's life.
        """
        if not isinstance(public_key.curve, SECP256R1):
            raise Malformed("signing keys are ECDSA P-256")
        now = self._now
        issued = now.chain[0]
        last = at + certificates.LEAF_LIFE - certificates.CLOCK_SKEW
        if not issued.not_valid_before_utc <= at or last > issued.not_valid_after_utc:
            raise Misconfigured(
                f"the authority's signing certificate is not valid at {rfc3339(at)}",
                advice="Check the clock; if the certificate has run out: khatim authority ceremony renew signing.",
            )
        who = Identity(identity, issuer)
        leaf = certificates.signing(public_key, who, now.issuer, now.certificate_log, at)
        return [leaf, *now.chain]

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
        """Whether a signing certificate in office issued *certificate* and it is valid at *at*."""
        # One that ended lately is in office for a while longer: what it certified is on its way to the log.
        offices = [one for one in self.record.signing if not one.end or rfc3339(at) <= one.end]
        within = certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc
        return within and any(_issued(certificate, one.certificates[0]) for one in offices)

    def timestamp(self, request: bytes, at: datetime) -> bytes:
        """Answer a TimeStampReq (DER) with a TimeStampResp (DER); a bad request gets a rejection that says why."""
        return self._now.stamping.answer(request, at)

    def stamp(self, message: bytes, at: datetime) -> bytes:
        """Return the TimeStampResp (DER) that *message* existed at *at*."""
        return self._now.stamping.stamp(message, at)


def _p256(public: object) -> EllipticCurvePublicKey:
    if not isinstance(public, EllipticCurvePublicKey) or not isinstance(public.curve, SECP256R1):
        raise Malformed("signing keys are ECDSA P-256")
    return public


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except HOSTILE:
        return False
    return True


def _stamp(folder: Path) -> tuple[int, int]:
    """Return what changes when the record is replaced; zeros when it is away, which `load` then says."""
    try:
        there = (folder / RECORD).stat()
    except OSError:
        return (0, 0)
    return (there.st_ino, there.st_mtime_ns)
