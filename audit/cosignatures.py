# SPDX-License-Identifier: Apache-2.0
"""Cosignatures (C2SP tlog-cosignature): a witness's word that a checkpoint continues every earlier one it saw.

Two kinds: Ed25519 (type 04), which today's witness network speaks, and ML-DSA-44 (type 06, FIPS 204), which a quantum
computer does not break and which commits to the cosigner's name.  Both are a timestamp (POSIX seconds, eight bytes,
big-endian) and a signature over a message that repeats it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from datetime import UTC, datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from audit.checkpoint import Checkpoint, held_signatures, key_id, signature_line, vkey_of, vkey_parts
from khatim.errors import LedgerInvalid, Malformed

ED25519_COSIGNATURE = b"\x04"
MLDSA44_COSIGNATURE = b"\x06"
SIZES = {ED25519_COSIGNATURE: 64, MLDSA44_COSIGNATURE: 2420}
"""Bytes of the bare signature, by kind."""
_STAMP = struct.Struct(">Q")
_LABEL = b"subtree/v1\n\x00"
_NAME_MAX = 255
PrivateKey = Ed25519PrivateKey | MLDSA44PrivateKey


def ed25519_message(text: str, at: int) -> bytes:
    """Return what an Ed25519 cosigner signs: two header lines and the whole text of the checkpoint."""
    return f"cosignature/v1\ntime {at}\n{text}".encode()


def mldsa44_message(name: str, at: int, checkpoint: Checkpoint) -> bytes:
    """Return the `cosigned_message` of a whole tree; the extension lines of the checkpoint are not in it.

    Raises `Malformed` when the cosigner's name or the origin has more than 255 bytes.
    """
    parts = [_LABEL, _short(name), _STAMP.pack(at), _short(checkpoint.origin)]
    return b"".join([*parts, _STAMP.pack(0), _STAMP.pack(checkpoint.size), checkpoint.root])


def _short(text: str) -> bytes:
    data = text.encode()
    if not 0 < len(data) <= _NAME_MAX:
        raise Malformed(f"{text[:80]!r} does not fit into a cosigned message (1 to {_NAME_MAX} bytes)")
    return bytes([len(data)]) + data


class Cosigner:
    """A named key that cosigns checkpoints.  One cosigner, one key, and never that of a log."""

    def __init__(self, name: str, key: PrivateKey) -> None:
        """Take the name, a URL without scheme such as ``witness.example/w1``, and the private key."""
        self.name = name
        self._key = key
        self._kind = ED25519_COSIGNATURE if isinstance(key, Ed25519PrivateKey) else MLDSA44_COSIGNATURE
        self._public = key.public_key().public_bytes_raw()
        self.vkey = vkey_of(name, self._public, self._kind)

    @property
    def verifier(self) -> CosignatureVerifier:
        """The verifier of these cosignatures."""
        return CosignatureVerifier(self.name, self._kind, self._public)

    def cosign(self, text: str, at: datetime) -> str:
        """Return the signature line over a checkpoint's text; its consistency must have been shown before."""
        second = int(at.timestamp())
        if self._kind == ED25519_COSIGNATURE:
            message = ed25519_message(text, second)
        else:
            message = mldsa44_message(self.name, second, Checkpoint.parse(text))
        blob = _STAMP.pack(second) + self._key.sign(message)
        return signature_line(self.name, key_id(self.name, self._public, self._kind), blob)


class CosignatureVerifier:
    """A cosigner's public key; a `checkpoint.Verifier`."""

    def __init__(self, name: str, kind: bytes, public: bytes) -> None:
        """Take name, kind and the raw public key; raises `Malformed` if it is none of that kind."""
        self.name, self.kind, self.public = name, kind, public
        self.key_id = key_id(name, public, kind)
        self.vkey = vkey_of(name, public, kind)
        try:
            if kind == ED25519_COSIGNATURE:
                self._key: Ed25519PublicKey | MLDSA44PublicKey = Ed25519PublicKey.from_public_bytes(public)
            elif kind == MLDSA44_COSIGNATURE:
                self._key = MLDSA44PublicKey.from_public_bytes(public)
            else:
                raise Malformed(f"the verifier key of {name} is of type {kind.hex()}, not of a cosigner (04 or 06)")
        except ValueError as wrong:
            raise Malformed(f"the verifier key of {name} is not a public key of type {kind.hex()}") from wrong

    @classmethod
    def parse(cls, vkey: str) -> CosignatureVerifier:
        """Read a cosigner's verifier key; raises `Malformed`."""
        return cls(*vkey_parts(vkey))

    def verify(self, text: str, signature: bytes) -> bool:
        """Whether *signature*, timestamp included, is this cosigner's over the checkpoint *text*."""
        if len(signature) != _STAMP.size + SIZES[self.kind]:
            return False
        second = moment_of(signature)
        try:
            if self.kind == ED25519_COSIGNATURE:
                message = ed25519_message(text, second)
            else:
                message = mldsa44_message(self.name, second, Checkpoint.parse(text))
            self._key.verify(signature[_STAMP.size :], message)
        except (InvalidSignature, LedgerInvalid, Malformed):
            return False
        # tlog-witness: the cosignature of a whole tree says when; zero is for subtrees only.
        return 0 < second < 1 << 63


def moment_of(signature: bytes) -> int:
    """Return the second (POSIX) at the beginning of a timestamped signature."""
    (second,) = _STAMP.unpack_from(signature)
    return int(second)


def cosigned_by(note: str, verifiers: Iterable[CosignatureVerifier]) -> dict[str, datetime]:
    """Return vkey and moment of every cosignature on *note* that is of one of the given keys.

    Raises `LedgerInvalid` when one that says that it is theirs does not verify.
    """
    known = {(one.name, one.key_id): one for one in verifiers}
    _, held = held_signatures(note, known.values())
    return {
        known[one.name, one.key_id].vkey: datetime.fromtimestamp(min(moment_of(one.blob), 253402300799), UTC)
        for one in held
    }
