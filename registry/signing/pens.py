# SPDX-License-Identifier: Apache-2.0
"""How the registry's own statements are signed: with a fresh key, a key on a token, another Sigstore, or a bare key.

The office asks a pen for what a server wants signed on the word of its sessions.  Kinds on which agents rely (the list
of revocations, the steps of trust) are always the authority's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key

from registry.signing import deputies
from registry.signing.authority import Authority
from registry.signing.backends.key_only import KeyOnlySigner
from registry.signing.outside_clock import NOBODY, OutsideClock
from registry.signing.signer import LocalSigner, Signer

Key = Callable[[], EllipticCurvePrivateKey]


def fresh() -> EllipticCurvePrivateKey:
    """Return a key for one signature."""
    return generate_private_key(SECP256R1())


@dataclass(frozen=True)
class Pen:
    """Signs with *keys* (fresh ones by default) under the authority's certificates, dated by *outside* as well.

    *remote* signs in its own name with another Sigstore; with *is_bare* the key signs without any certificate.
    """

    keys: Key = fresh
    outside: OutsideClock = NOBODY
    remote: Signer | None = None
    is_bare: bool = False

    def signer(self, authority: Authority, kind: str, who: tuple[str, str], at: datetime) -> Signer:
        """Return what signs a statement of *kind* in the name of *who* (identity and issuer) at *at*."""
        if kind in deputies.KINDS and self.remote is not None:
            return self.remote
        if kind in deputies.KINDS and self.is_bare:
            return KeyOnlySigner(self.keys(), authority, lambda: at, self.outside)
        if kind not in deputies.KINDS:
            # The list of revocations is renewed every hour, and must not wait for anybody's clock or token.
            return LocalSigner(authority, *who, lambda: at)
        return LocalSigner(authority, *who, lambda: at, keys=self.keys, outside=self.outside)
