# SPDX-License-Identifier: Apache-2.0
"""Key-only mode, degraded: a bundle without a certificate, in which nobody vouches for who holds the key.

It is for places that have a key and no authority.  Such a bundle still has a timestamp and a log entry, and Sigstore's
verifiers read it with the key in hand; but no policy of identities accepts it, so it opens no gate, unless the
installation's authority has appointed that very key (`registry.signing.appointments`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from hashlib import sha256

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey

from registry.signing import bundle as bundles
from registry.signing import statements
from registry.signing.authority import Authority
from registry.signing.bare_key import DEGRADED, KeyOnlyStatement, hint_of, verify_key_only
from registry.signing.certificates import spki
from registry.signing.outside_clock import NOBODY, OutsideClock

__all__ = ("DEGRADED", "KeyOnlySigner", "KeyOnlyStatement", "hint_of", "verify_key_only")


class KeyOnlySigner:
    """Signs with one key, with timestamp and log of an authority that does not vouch for it."""

    def __init__(
        self,
        key: EllipticCurvePrivateKey,
        authority: Authority,
        clock: Callable[[], datetime],
        outside: OutsideClock = NOBODY,
    ) -> None:
        """Take the key (P-256), whose clock and log are used, and who gives a second timestamp."""
        self._key, self._authority, self._clock, self._outside = key, authority, clock, outside

    def sign(self, statement: bytes) -> str:
        """Return the bundle over *statement*, with a key hint where the certificate would be."""
        statements.parse(statement)
        signed = statements.pae(statement)
        signature = self._key.sign(signed, ECDSA(hashes.SHA256()))
        public = self._key.public_key()
        at = self._clock()
        stamps = (self._authority.stamp(signature, at), *self._outside.stamps(signature, at))
        body = bundles.entry_body(sha256(signed).digest(), signature, b"", spki(public))
        entry = self._authority.log.append(body)
        return bundles.dumps(bundles.build(statement, signature, b"", entry, *stamps, hint=hint_of(public)))
