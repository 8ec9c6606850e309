# SPDX-License-Identifier: Apache-2.0
"""The public record of a signing authority: which keys and certificates it has had, and since when each counts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from hashlib import sha256
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from khatim.errors import Malformed, Misconfigured
from registry.signing.certificates import spki
from registry.signing.identity import domain

_FORMAT = 2
_READABLE = (1, 2)
PURPOSES = ("signing", "timestamping", "certificate_log", "signature_log")


@dataclass(frozen=True, slots=True)
class Generation:
    """One key of the authority and what is public about it: PEM certificates (issued first) or a PEM public key.

    *end* is until when verifiers count it (empty: open); *cut_off* says that it was stolen and since when (then *end*
    is the same moment).  *origin* and *folder* belong to signature logs: each generation is a log of its own.
    """

    key: str
    start: str
    chain: tuple[str, ...] = ()
    public: str = ""
    end: str = ""
    cut_off: str = ""
    origin: str = ""
    folder: str = ""

    @property
    def certificates(self) -> list[x509.Certificate]:
        """The chain, parsed."""
        return [x509.load_pem_x509_certificate(pem.encode()) for pem in self.chain]

    @property
    def public_key(self) -> Any:
        """The public key, parsed: its own, or that of its certificate."""
        if self.chain:
            return self.certificates[0].public_key()
        return serialization.load_pem_public_key(self.public.encode())

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the public key (SubjectPublicKeyInfo), hexadecimal."""
        return sha256(spki(self.public_key)).hexdigest()


@dataclass(frozen=True, slots=True)
class Change:
    """Something that was done to the authority: kind (``rotated``), when, by whom (opaque), about what, and why.

    It stands in the record from the same write as the change itself, and goes from there into the ledger.
    """

    kind: str
    at: str
    by: str
    about: str = ""
    because: str = ""
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PublicRecord:
    """What everybody may know of an authority; the last generation of each list is the one in use."""

    instance: str
    signing: tuple[Generation, ...]
    timestamping: tuple[Generation, ...]
    certificate_log: tuple[Generation, ...]
    signature_log: tuple[Generation, ...]
    roots: tuple[Generation, ...] = ()
    history: tuple[Change, ...] = ()
    links: tuple[str, ...] = ()  # from each trusted root to the next (`registry.signing.trust_links`)
    outside_timestamping: tuple[Generation, ...] = ()  # clocks that others run; *origin* is the address of each
    appointments: tuple[str, ...] = ()  # who signs for the registry (`registry.signing.appointments`)

    @property
    def domain(self) -> str:
        """The domain of the instance; its services are named below it."""
        return domain(self.instance)

    @property
    def origin(self) -> str:
        """The origin of the checkpoints of the signature log in use: the host name of its URL (trust.md A2b.a)."""
        return self.origin_of(self.signature_log[-1])

    def origin_of(self, log: Generation) -> str:
        """Return the origin of one generation of the signature log."""
        return log.origin or f"signatures.{self.domain}"

    def generations(self, purpose: str) -> tuple[Generation, ...]:
        """Return all generations of a *purpose*, with underscores or hyphens; raises `Malformed` for no purpose."""
        name = purpose.replace("-", "_")
        if name not in PURPOSES:
            raise Malformed(f"not a purpose of the authority's keys: {purpose[:80]!r}")
        found: tuple[Generation, ...] = getattr(self, name)
        return found

    def current(self) -> dict[str, str]:
        """Return the fingerprint of every key that counts now, by name: what a recovery test proves."""
        used = [self.generations(purpose)[-1] for purpose in PURPOSES]
        return {one.key: one.fingerprint for one in used}

    def dumps(self) -> str:
        """Return the record as JSON."""
        lists = {name: [_body(one) for one in getattr(self, name)] for name in (*PURPOSES, "roots", "history")}
        lists |= {"outside_timestamping": [_body(one) for one in self.outside_timestamping]}
        texts = {"links": list(self.links), "appointments": list(self.appointments)}
        return json.dumps({"format": _FORMAT, "instance": self.instance, **lists, **texts}, indent=2) + "\n"

    @classmethod
    def loads(cls, text: str) -> PublicRecord:
        """Read `dumps`, also of earlier formats; raises `Misconfigured` if it is of another one."""
        try:
            body = json.loads(text)
            if body["format"] not in _READABLE:
                raise Misconfigured(f"the authority's record is of format {body['format']}, not {_FORMAT}")
            purposes = {name: tuple(_generation(one) for one in body[name]) for name in PURPOSES}
            roots = tuple(_generation(one) for one in body.get("roots", ())) or _first_root(purposes["signing"][0])
            history = tuple(Change(**one) for one in body.get("history", ()))
            outside = tuple(_generation(one) for one in body.get("outside_timestamping", ()))
            return cls(
                body["instance"],
                **purposes,
                roots=roots,
                history=history,
                links=_texts(body, "links"),
                outside_timestamping=outside,
                appointments=_texts(body, "appointments"),
            )
        except (ValueError, KeyError, TypeError, IndexError) as wrong:
            raise Misconfigured("the authority's record cannot be read") from wrong


def _texts(body: Mapping[str, Any], name: str) -> tuple[str, ...]:
    return tuple(str(one) for one in body.get(name, ()))


def _first_root(signing: Generation) -> tuple[Generation, ...]:
    """Return the root of a record of format 1, which stood in the chains only."""
    return (Generation("root-1", signing.start, signing.chain[-1:]),)


def _body(one: Generation | Change) -> dict[str, Any]:
    named = {one_of.name: getattr(one, one_of.name) for one_of in fields(one)}
    return {key: value for key, value in named.items() if value or key in ("key", "start", "chain", "public")}


def _generation(body: Mapping[str, Any]) -> Generation:
    return Generation(**{**body, "chain": tuple(body["chain"])})
