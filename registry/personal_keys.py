# SPDX-License-Identifier: Apache-2.0
"""The key of each person's record: made at first use, wrapped, kept outside the database, destroyed at erasure.

A backup of the database holds none of them, so a restored one can show nobody whose key is gone.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from khatim.errors import Unavailable, VerificationFailed

KEY_BYTES: Final = 32
_NONCE: Final = 12


def sealed(key: bytes, data: bytes, about: str) -> bytes:
    """Encrypt *data* with AES-256-GCM under a fresh nonce, bound to what it is *about*."""
    nonce = secrets.token_bytes(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, data, about.encode())


def opened(key: bytes, box: bytes, about: str) -> bytes:
    """Decrypt what `sealed` made; raises `VerificationFailed` for another key, another subject or changed bytes."""
    try:
        return AESGCM(key).decrypt(box[:_NONCE], box[_NONCE:], about.encode())
    except (InvalidTag, ValueError) as wrong:
        raise VerificationFailed(f"{about} does not open with this key") from wrong


class KeyWrap(Protocol):
    """What wraps data keys under a key that is not in the database: a file, a sealed key store, a KMS."""

    def wrap(self, key: bytes, about: str) -> bytes:
        """Return *key* wrapped, bound to what it is *about*."""
        ...

    def unwrap(self, wrapped: bytes, about: str) -> bytes:
        """Return the key; raises `VerificationFailed`."""
        ...


@dataclass(frozen=True)
class SecretWrap:
    """Wraps under one secret of 32 bytes: the instance's key file, or what a key store hands out."""

    secret: bytes

    def wrap(self, key: bytes, about: str) -> bytes:
        """Return *key* encrypted with AES-256-GCM."""
        return sealed(self.secret, key, about)

    def unwrap(self, wrapped: bytes, about: str) -> bytes:
        """Return the key; raises `VerificationFailed`."""
        return opened(self.secret, wrapped, about)


class DataKeys(Protocol):
    """Where the data keys are; several processes may use it at once."""

    def make(self, ref: str) -> bytes:
        """Return the key of *ref*, made when there is none."""
        ...

    def find(self, ref: str) -> bytes | None:
        """Return the key of *ref*, or None when there is none (any more)."""
        ...

    def destroy(self, ref: str) -> bool:
        """Destroy the key of *ref* for good; whether there was one."""
        ...


@dataclass(frozen=True)
class KeyFolder:
    """Data keys as files of *folder* (0700), one each, wrapped; what is in a file is useless without the wrap's key."""

    folder: Path
    wrap: KeyWrap

    def make(self, ref: str) -> bytes:
        """Return the key of *ref*, made when there is none; of two makers at once the first one's key counts."""
        found = self.find(ref)
        if found is not None:
            return found
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(ref)
        draft = path.with_suffix(f".{os.getpid()}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(self.wrap.wrap(secrets.token_bytes(KEY_BYTES), ref))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
        self._persist()
        made = self.find(ref)
        if made is None:
            raise Unavailable(f"the key of {ref} was destroyed while it was made")
        return made

    def find(self, ref: str) -> bytes | None:
        """Return the key of *ref*; None when there is none, or none that the present wrapping key opens."""
        try:
            wrapped = self._path(ref).read_bytes()
        except FileNotFoundError:
            return None
        return self.wrap.unwrap(wrapped, ref)

    def destroy(self, ref: str) -> bool:
        """Overwrite and remove the key of *ref*; it is gone from the disk's folder when this returns."""
        path = self._path(ref)
        try:
            with path.open("r+b") as file:
                file.write(secrets.token_bytes(path.stat().st_size))
                file.flush()
                os.fsync(file.fileno())
            path.unlink()
        except FileNotFoundError:
            return False
        self._persist()
        return True

    def _path(self, ref: str) -> Path:
        # The reference may hold characters that no file name may.
        return self.folder / f"{hashlib.sha256(ref.encode()).hexdigest()[:40]}.key"

    def _persist(self) -> None:
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
