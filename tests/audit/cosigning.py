# SPDX-License-Identifier: Apache-2.0
"""What the tests of witnesses share: cosigners whose keys follow from their names."""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from audit.cosignatures import Cosigner


def ed25519(name: str) -> Cosigner:
    """Return an Ed25519 cosigner."""
    return Cosigner(name, Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest()))


def mldsa44(name: str) -> Cosigner:
    """Return an ML-DSA-44 cosigner."""
    return Cosigner(name, MLDSA44PrivateKey.from_seed_bytes(hashlib.sha256(name.encode()).digest()))


ED25519 = ed25519("witness.test/w1")
MLDSA44 = mldsa44("witness.test/w1")
