# SPDX-License-Identifier: Apache-2.0
"""What binds a bundle to a trust root beyond its signatures: the log it names, the size of its tree, times in office.

sigstore-python accepts a checkpoint of another log or tree size under the same key, and any index beside the proof's
(trust.md A1, defect 2).  These checks close that, with our own Merkle and checkpoint modules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from audit.checkpoint import NoteVerifier, open_checkpoint
from audit.merkle import leaf_hash, verify_inclusion
from khatim.errors import LedgerInvalid, Malformed, SignatureInvalid
from registry.signing import bundle as bundles
from registry.signing import statements
from registry.signing.bundle import Bundle, LogEntry
from registry.signing.certificates import HOSTILE, ISSUER_V1, ISSUER_V2
from registry.signing.encoding import rfc3339, unb64
from registry.signing.identity import Identity

ASK_SIGNER = "Ask whoever sent it for the unchanged bundle, or have the statement signed again."
ASK_ROOT = "Compare the trust root that you use with the instance's own (trusted_root.json)."


@dataclass(frozen=True, slots=True)
class Window:
    """From when to when a key or certificate counts, both included; None is open."""

    start: datetime | None
    end: datetime | None

    @classmethod
    def of(cls, body: Mapping[str, Any] | None) -> Window:
        """Read a TimeRange of a trusted root; raises `Malformed` for a time without a zone."""
        times = [datetime.fromisoformat(text) if (text := (body or {}).get(key)) else None for key in ("start", "end")]
        if any(time is not None and time.tzinfo is None for time in times):
            raise Malformed("a time of the trusted root has no time zone")
        return cls(times[0], times[1])

    def __contains__(self, at: datetime) -> bool:
        return (self.start is None or self.start <= at) and (self.end is None or at <= self.end)


@dataclass(frozen=True, slots=True)
class Log:
    """A log that a trust root names: its origin, the key of its checkpoints, its time in office."""

    origin: str
    verifier: NoteVerifier
    office: Window

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Log:
        """Read a TransparencyLogInstance; raises `Malformed` for a key that is not Ed25519."""
        public = serialization.load_der_public_key(unb64(body["publicKey"]["rawBytes"], "the key of a log"))
        if not isinstance(public, Ed25519PublicKey):
            raise Malformed("only logs with Ed25519 keys are understood")
        # trust.md A2b.a: origin and key name of the checkpoint are the host name of the log's base URL.
        origin = urlsplit(body["baseUrl"]).hostname or ""
        return cls(
            origin, NoteVerifier(origin, public.public_bytes_raw()), Window.of(body["publicKey"].get("validFor"))
        )

    def check(self, entry: LogEntry) -> None:
        """Check that this log contains *entry*; raises `LedgerInvalid`."""
        checkpoint = open_checkpoint(entry.checkpoint, self.origin, [self.verifier])
        if (checkpoint.size, checkpoint.root) != (entry.size, entry.root):
            raise LedgerInvalid("the checkpoint is of another tree than the inclusion proof")
        if entry.index != entry.proof_index:
            raise LedgerInvalid("the inclusion proof is of another entry than the one named")
        verify_inclusion(leaf_hash(entry.body), entry.index, entry.size, entry.hashes, entry.root)


@dataclass(frozen=True, slots=True)
class Anchors:
    """The logs of a trust root by id, its certificate authorities by subject key identifier, their times in office."""

    logs: Mapping[bytes, Log]
    authorities: tuple[tuple[bytes, Window], ...]
    certificate_logs: Mapping[bytes, Window]

    @classmethod
    def of(cls, trusted_root: Mapping[str, Any]) -> Anchors:
        """Read the anchors of a trusted root; raises `Malformed`, `KeyError`, `TypeError` or `ValueError`."""
        logs = {unb64(one["logId"]["keyId"], "the id of a log"): Log.of(one) for one in trusted_root["tlogs"]}
        seen = {
            unb64(one["logId"]["keyId"], "the id of a log"): Window.of(one["publicKey"].get("validFor"))
            for one in trusted_root["ctlogs"]
        }
        return cls(logs, tuple(_authority(one) for one in trusted_root["certificateAuthorities"]), seen)

    def check_log(self, parts: Bundle, signed_at: datetime, body: bytes | None = None) -> None:
        """Check that a log in office holds exactly this signature; raises `SignatureInvalid`.

        *body* is the entry that it must have, when it is not that of a certificate's signature.
        """
        log = self.logs.get(parts.entry.log_id)
        if log is None:
            raise SignatureInvalid("the signature is in a log that this trust root does not know", advice=ASK_ROOT)
        try:
            log.check(parts.entry)
        except LedgerInvalid as wrong:
            raise SignatureInvalid(
                f"the log does not vouch for this signature: {wrong.detail}", advice=ASK_SIGNER
            ) from wrong
        signed = sha256(statements.pae(parts.payload, parts.payload_type)).digest()
        if parts.entry.body != (body or bundles.entry_body(signed, parts.signature, parts.certificate)):
            raise SignatureInvalid(
                "the log entry is about another statement, signature or certificate", advice=ASK_SIGNER
            )
        if signed_at not in log.office:
            raise SignatureInvalid(f"the log was not in office at {rfc3339(signed_at)}", advice=ASK_ROOT)

    def check_time(self, certificate: x509.Certificate, signed_at: datetime) -> None:
        """Check that the certificate was valid, and its authority in office, at *signed_at*; `SignatureInvalid`."""
        if not certificate.not_valid_before_utc <= signed_at <= certificate.not_valid_after_utc:
            raise SignatureInvalid("the certificate was not valid at the time of the timestamp", advice=ASK_SIGNER)
        issuer = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
        if not any(issuer == key and signed_at in office for key, office in self.authorities):
            raise SignatureInvalid(
                f"the authority that issued the certificate was not in office at {rfc3339(signed_at)}", advice=ASK_ROOT
            )
        scts = certificate.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps).value
        # sigstore-python checks an SCT with every key of the trust root, also with one that is out of office.
        offices = [self.certificate_logs.get(sct.log_id) for sct in scts]
        if not any(office is not None and signed_at in office for office in offices):
            raise SignatureInvalid(f"the certificate log was not in office at {rfc3339(signed_at)}", advice=ASK_ROOT)


def _authority(body: Mapping[str, Any]) -> tuple[bytes, Window]:
    raw = unb64(body["certChain"]["certificates"][0]["rawBytes"], "the certificate of an authority")
    extensions = x509.load_der_x509_certificate(raw).extensions
    key = extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.key_identifier
    return key, Window.of(body.get("validFor"))


def identity_of(certificate: x509.Certificate) -> Identity:
    """Return the one identity that a certificate names and the issuer that vouches for it; `SignatureInvalid`.

    Both of Fulcio's issuer extensions must be there and agree.
    """
    try:
        extensions = certificate.extensions
        names = list(extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        issuers = {_raw(extensions, ISSUER_V1).decode(), asn1.decode_der(str, _raw(extensions, ISSUER_V2))}
    except HOSTILE as wrong:
        raise SignatureInvalid("the certificate does not say who signed and who vouches for them") from wrong
    known = [one.value for one in names if isinstance(one, x509.UniformResourceIdentifier | x509.RFC822Name)]
    if len(names) != 1 or len(known) != 1 or len(issuers) != 1:
        raise SignatureInvalid("the certificate does not name exactly one identity and one issuer")
    return Identity(known[0], issuers.pop())


def _raw(extensions: x509.Extensions, identifier: x509.ObjectIdentifier) -> bytes:
    value = extensions.get_extension_for_oid(identifier).value
    if not isinstance(value, x509.UnrecognizedExtension):
        raise SignatureInvalid("the certificate's issuer extension is of another kind")
    return value.value
