# SPDX-License-Identifier: Apache-2.0
"""Where a request without an identity came from, as the ledger may know it: keyed, so that no address stands there.

An address is personal data.  Whoever holds ``keys/sources.key`` can still compare it with the address of an attack.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from dataclasses import dataclass
from typing import Final

_KEPT: Final = 16  # hexadecimal digits: 64 bits tell 100,000 sources apart
_NETWORK: Final = 64  # one customer of IPv6 has as many addresses as a /64 holds


@dataclass(frozen=True)
class Sources:
    """Names sources under one secret key."""

    key: bytes

    def of(self, address: str) -> str:
        """Return the reference of *address* (``s-`` and 16 hexadecimal digits), or ``unknown`` for none."""
        if not address:
            return "unknown"
        # compliance.md section 4: a keyed HMAC, never a bare hash of an identifier.
        digest = hmac.new(self.key, b"source\n" + _network(address).encode(), hashlib.sha256)
        return "s-" + digest.hexdigest()[:_KEPT]


def _network(address: str) -> str:
    """Return what counts as one source: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or ipaddress.ip_network((found, _NETWORK), strict=False))
