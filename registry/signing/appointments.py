# SPDX-License-Identifier: Apache-2.0
"""Appointments: the authority's signed word on who signs for the registry since when, kept in the public record.

Each is a statement with a number; it ends the one before.  Whoever trusts the authority's root verifies with them what
the appointed signed while they were appointed, also after the installation signs in another way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from audit.canonical import canonical
from khatim.errors import KhatimError, Malformed, SignatureInvalid
from khatim.vocabulary import Digest
from registry.signing import identity, statements
from registry.signing.bare_key import hint_of
from registry.signing.binding import Window
from registry.signing.certificates import spki
from registry.signing.deputies import Deputy
from registry.signing.encoding import b64, members, rfc3339, text_of, unb64
from registry.signing.identity import Identity, IdentityPolicy
from registry.signing.trust import dumps
from registry.signing.verification import TrustRoot, verify_bundle

KIND = "https://khatim.dev/attestations/signing-backend/v1"
OWN = "embedded"
"""The backend whose certificates are the authority's own, whatever holds the keys: nobody else is appointed."""
_SUBJECT = "signing-backend.json"
_SERVICE = "authority"
_WHEN = ("number", "since")
_MEMBERS = ("number", "since", "backend", "identity", "issuer")


NOBODY = Identity("", "")


@dataclass(frozen=True, slots=True)
class Appointment:
    """Who signs for the registry: a name that another Sigstore certifies, or a key; with neither, the authority."""

    backend: str = OWN
    who: Identity = NOBODY
    trusted_root: Mapping[str, Any] | None = None
    key: EllipticCurvePublicKey | None = None

    @classmethod
    def of_key(cls, backend: str, key: EllipticCurvePublicKey) -> Appointment:
        """Return the appointment of a bare key, whose name is its digest."""
        return cls(backend, Identity(f"key:sha256:{hint_of(key)}", ""), key=key)

    def said(self, number: int, at: datetime) -> dict[str, Any]:
        """Return the predicate."""
        return {"number": number, "since": rfc3339(at), **self.core()}

    def statement(self, number: int, at: datetime) -> bytes:
        """Return what the authority signs."""
        said = self.said(number, at)
        return statements.statement([(_SUBJECT, Digest.of(canonical(said)))], KIND, said)

    def is_same(self, said: Mapping[str, Any] | None) -> bool:
        """Whether a predicate says the same, whenever it was said; nothing said is the authority itself."""
        known = Appointment().core() if said is None else {key: said[key] for key in said if key not in _WHEN}
        return self.core() == known

    def core(self) -> dict[str, Any]:
        """Return the predicate without number and time: what makes two appointments the same."""
        found: dict[str, Any] = {"backend": self.backend, "identity": self.who.name, "issuer": self.who.issuer}
        found |= {"trustedRoot": dict(self.trusted_root)} if self.trusted_root is not None else {}
        return found | ({"publicKey": b64(spki(self.key))} if self.key is not None else {})


def author(instance: str) -> str:
    """Return the name in which appointments are signed."""
    return identity.service(instance, _SERVICE)


def latest(bundles: Sequence[str]) -> Mapping[str, Any] | None:
    """Return what the newest appointment of a record says, which this installation wrote itself; None without one."""
    if not bundles:
        return None
    envelope = json.loads(bundles[-1])["dsseEnvelope"]
    return statements.parse(unb64(envelope["payload"], "the payload")).predicate


def appointed(root: TrustRoot, bundles: Sequence[str], instance: str) -> TrustRoot:
    """Return *root* with those whom its authority appointed; raises `SignatureInvalid` when one does not hold.

    Appointments are taken from whoever brings them, for the authority's signature is what counts; one that is
    withheld makes what its deputy signed unbelievable, and nothing else believable: only the end of a deputy that is
    not told leaves it in office.
    """
    said = [_verified(root, bundle, number, instance) for number, bundle in enumerate(bundles, 1)]
    starts = [datetime.fromisoformat(text_of(one["since"], "the start")) for one in said]
    ends = [*starts[1:], None]
    found = (_deputy(one, Window(*times), instance) for one, *times in zip(said, starts, ends, strict=False))
    return replace(root, deputies=tuple(one for one in found if one is not None))


def _verified(root: TrustRoot, bundle: str, number: int, instance: str) -> Mapping[str, Any]:
    policy = IdentityPolicy.of_instance(instance, f"https://{instance}", {KIND: (f"service/{_SERVICE}",)})
    verified = verify_bundle(bundle, replace(root, deputies=()), policy)
    if verified.predicate.get("number") != number or verified.digests != {Digest.of(canonical(verified.predicate))}:
        raise SignatureInvalid(f"it is not the appointment number {number} of who signs for the registry")
    return verified.predicate


def _deputy(said: Mapping[str, Any], office: Window, instance: str) -> Deputy | None:
    try:
        body = members(dict(said), _MEMBERS, ("trustedRoot", "publicKey"), "the appointment")
        who = Identity(str(body["identity"]), str(body["issuer"]))
        key = _key(body["publicKey"]) if "publicKey" in body else None
        root = TrustRoot.load(dumps(body["trustedRoot"])) if "trustedRoot" in body else None
    except KhatimError as wrong:
        raise SignatureInvalid(f"an appointment of who signs for the registry is none: {wrong.detail}") from wrong
    if key is None and root is None:
        return None
    return Deputy(int(said["number"]), str(body["backend"]), instance, who, office, root=root, key=key)


def _key(value: object) -> EllipticCurvePublicKey:
    try:
        public = serialization.load_der_public_key(unb64(value, "the key of the appointment"))
    except ValueError as wrong:
        raise Malformed("the key of the appointment cannot be read") from wrong
    if not isinstance(public, EllipticCurvePublicKey):
        raise Malformed("the key of the appointment is not ECDSA P-256")
    return public
