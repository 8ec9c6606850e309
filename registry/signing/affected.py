# SPDX-License-Identifier: Apache-2.0
"""What a stolen key touches: the signatures made by it, or while it vouched, after its cut-off.  Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from khatim.errors import SignatureInvalid
from registry.signing.binding import identity_of
from registry.signing.certificates import CLOCK_SKEW, HOSTILE, key_id
from registry.signing.encoding import unb64
from registry.signing.record import PURPOSES, Generation, PublicRecord


@dataclass(frozen=True, slots=True)
class Witnessed:
    """A signature as it stands in a log: where, by whom, when its certificate was asked for, and on whose word."""

    origin: str
    index: int
    identity: str
    at: datetime
    authority: bytes  # the identifier of the key that issued the certificate
    certificate_logs: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class Affected:
    """A signature that does not count any more: made after the cut-off of a *key* on which it rests."""

    signature: Witnessed
    key: str
    cut_off: str


def affected(record: PublicRecord, signatures: Iterable[Witnessed]) -> list[Affected]:
    """Return those of *signatures* that rest on a stolen key and are younger than its cut-off, in their order.

    A timestamping key leaves no trace in the log, so every signature between its cut-off and the start of the next
    generation counts as resting on it.
    """
    stolen = [(purpose, one) for purpose in PURPOSES for one in record.generations(purpose) if one.cut_off]
    return [
        Affected(signature, generation.key, generation.cut_off)
        for signature in signatures
        for purpose, generation in stolen
        if signature.at > datetime.fromisoformat(generation.cut_off)
        and _rests_on(record, signature, purpose, generation)
    ]


def witnessed(origin: str, bodies: Iterable[bytes]) -> Iterator[Witnessed]:
    """Read the entries of a signature log, in order; what is no signature with a certificate of ours is passed by."""
    for index, body in enumerate(bodies):
        try:
            spec = json.loads(body)["spec"]["hashedRekordV002"]
            raw = unb64(spec["signature"]["verifier"]["x509Certificate"]["rawBytes"], "the certificate")
            leaf = x509.load_der_x509_certificate(raw)
            found = leaf.extensions
            issuer = found.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier or b""
            scts = found.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps).value
            who = identity_of(leaf).name
        except (KeyError, TypeError, SignatureInvalid, *HOSTILE):
            continue  # entry 0, which names the log
        at = leaf.not_valid_before_utc + CLOCK_SKEW
        yield Witnessed(origin, index, who, at, issuer, frozenset(sct.log_id for sct in scts))


def _rests_on(record: PublicRecord, signature: Witnessed, purpose: str, stolen: Generation) -> bool:
    if purpose == "signing":
        found = stolen.certificates[0].extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        return signature.authority == found.value.key_identifier
    if purpose == "certificate_log":
        return key_id(stolen.public_key) in signature.certificate_logs
    if purpose == "signature_log":
        return signature.origin == record.origin_of(stolen)
    later = [one for one in record.timestamping if one.start > stolen.start]
    return not later or signature.at < datetime.fromisoformat(later[0].start) + CLOCK_SKEW
