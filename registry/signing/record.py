# SPDX-License-Identifier: Apache-2.0
"""The public record of a signing authority: which keys and certificates it has had, and since when each counts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from khatim.errors import Misconfigured
from registry.signing.identity import domain

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Generation:
    """One key of the authority and what is public about it: PEM certificates (issued first) or a PEM public key."""

    key: str
    start: str
    chain: tuple[str, ...] = ()
    public: str = ""

    @property
    def certificates(self) -> list[x509.Certificate]:
        """The chain, parsed."""
        return [x509.load_pem_x509_certificate(pem.encode()) for pem in self.chain]

    @property
    def public_key(self) -> Any:
        """The public key, parsed."""
        return serialization.load_pem_public_key(self.public.encode())


@dataclass(frozen=True, slots=True)
class PublicRecord:
    """What everybody may know of an authority; the last generation of each list is the one in use."""

    instance: str
    signing: tuple[Generation, ...]
    timestamping: tuple[Generation, ...]
    certificate_log: tuple[Generation, ...]
    signature_log: tuple[Generation, ...]

    @property
    def domain(self) -> str:
        """The domain of the instance; its services are named below it."""
        return domain(self.instance)

    @property
    def origin(self) -> str:
        """The origin of the signature log's checkpoints: the host name of its base URL (trust.md A2b.a)."""
        return f"signatures.{self.domain}"

    def dumps(self) -> str:
        """Return the record as JSON."""
        lists = {
            name: [
                {"key": one.key, "start": one.start, "chain": list(one.chain), "public": one.public}
                for one in getattr(self, name)
            ]
            for name in ("signing", "timestamping", "certificate_log", "signature_log")
        }
        return json.dumps({"format": _FORMAT, "instance": self.instance, **lists}, indent=2) + "\n"

    @classmethod
    def loads(cls, text: str) -> PublicRecord:
        """Read `dumps`; raises `Misconfigured` if it is of another format."""
        try:
            body = json.loads(text)
            if body["format"] != _FORMAT:
                raise Misconfigured(f"the authority's record is of format {body['format']}, not {_FORMAT}")
            return cls(
                body["instance"],
                *(
                    tuple(_generation(one) for one in body[name])
                    for name in ("signing", "timestamping", "certificate_log", "signature_log")
                ),
            )
        except (ValueError, KeyError, TypeError) as wrong:
            raise Misconfigured("the authority's record cannot be read") from wrong


def _generation(body: Mapping[str, Any]) -> Generation:
    return Generation(body["key"], body["start"], tuple(body["chain"]), body["public"])
