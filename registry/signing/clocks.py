# SPDX-License-Identifier: Apache-2.0
"""Whose clock dated a signature: the timestamp authorities of a trust root, by the certificate that signed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography import x509

from registry.signing.encoding import unb64


@dataclass(frozen=True, slots=True)
class Clocks:
    """The addresses of timestamp authorities by issuer and serial number of the certificates of their chains."""

    addresses: Mapping[tuple[x509.Name, int], str]

    @classmethod
    def of(cls, trusted_root: Mapping[str, Any]) -> Clocks:
        """Read the timestamp authorities of a trusted root; raises `Malformed`, `KeyError` or `ValueError`."""
        found = {}
        for one in trusted_root["timestampAuthorities"]:
            for raw in one["certChain"]["certificates"]:
                certificate = x509.load_der_x509_certificate(unb64(raw["rawBytes"], "the certificate of a clock"))
                found[certificate.issuer, certificate.serial_number] = str(one.get("uri", ""))
        return cls(found)

    def address_of(self, signers: Iterable[tuple[x509.Name, int]]) -> str:
        """Return the address of the authority that signed a timestamp; empty when the trust root gives none."""
        return next((self.addresses[one] for one in signers if one in self.addresses), "")
