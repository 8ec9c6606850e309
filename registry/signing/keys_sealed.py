# SPDX-License-Identifier: Apache-2.0
"""Keys as encrypted files: AES-256-GCM under a data key, which a key-encryption key wraps.

Format and name of a key are its associated data, so a file under another name does not open.  ``sealed.json`` holds
the wrapped data key and what else the unlocking needs (salt, parameters, reference); it holds no secret itself.  To
seal again under another passphrase or KMS rewrites that file only.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from khatim.errors import AlreadyExists, Misconfigured
from registry.signing.keys import KeysAsFiles, flush, read_secret, write_secret
from registry.signing.keys_unlock import Unlock, opened, sealed

_STORE = "khatim-sealed-keys/1"
_KEY = "khatim-sealed-key/1"
HEADER = "sealed.json"
_DATA_KEY_BITS = 256


class SealedKeys(KeysAsFiles):
    """A folder of encrypted keys, unlocked when the first of them is needed; safe for several threads."""

    suffix = ".sealed"

    def __init__(self, folder: Path, unlock: Unlock) -> None:
        """Take the folder and what opens it; `create` makes one, `ensure` does so when there is none."""
        super().__init__(folder)
        self._unlock = unlock
        self._data_key: bytes | None = None
        self._lock = threading.Lock()

    @classmethod
    def create(cls, folder: Path, unlock: Unlock) -> Self:
        """Make an empty store with a new data key; raises `AlreadyExists`."""
        data_key = AESGCM.generate_key(_DATA_KEY_BITS)
        header = _header(unlock, data_key)
        write_secret(folder / HEADER, header, f"there is a store of sealed keys in {folder} already")
        return cls(folder, unlock)

    @classmethod
    def ensure(cls, folder: Path, unlock: Unlock) -> Self:
        """Open the store, making it first when there is none; several processes may race."""
        if not (folder / HEADER).exists():
            try:
                return cls.create(folder, unlock)
            except AlreadyExists:  # another process was faster
                pass
        return cls(folder, unlock)

    @property
    def place(self) -> str:
        """Where the keys lie and what unlocks them, in words."""
        return f"encrypted files in {self.folder}, unlocked by {self._unlock.words}"

    def seal_again(self, unlock: Unlock) -> None:
        """Wrap the data key for *unlock* instead: another passphrase, secret or KMS.  The keys themselves stay."""
        header = self.folder / HEADER
        draft = self.folder / f".{HEADER}.{secrets.token_hex(4)}"
        write_secret(draft, _header(unlock, self._opened()), "the draft of the store's header is there already")
        draft.replace(header)
        flush(self.folder)
        self._unlock = unlock

    def _opened(self) -> bytes:
        with self._lock:
            if self._data_key is None:
                self._data_key = self._unwrap()
            return self._data_key

    def _unwrap(self) -> bytes:
        what = f"the header of the sealed keys in {self.folder}"
        header = parsed(read_secret(self.folder / HEADER, what), _STORE, what)
        if header.get("kind") != self._unlock.kind:
            raise Misconfigured(
                f"the keys in {self.folder} are unlocked by another kind of secret ({header.get('kind')}), "
                f"not by {self._unlock.words}",
                advice="Set the KHATIM_AUTHORITY__ variable that belongs to that kind (docs/guides/authority.md).",
            )
        return self._unlock.unwrap(header["wrapped"])

    def _encode(self, name: str, key: EllipticCurvePrivateKey | Ed25519PrivateKey) -> bytes:
        plain = key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return _dumps({"format": _KEY, "name": name, **sealed(self._opened(), plain, _bound(name))})

    def _decode(self, name: str, kept: bytes) -> object:
        body = parsed(kept, _KEY, f"the sealed key {name}")
        try:
            return serialization.load_der_private_key(opened(self._opened(), body, _bound(name)), password=None)
        except (InvalidTag, KeyError, ValueError, TypeError) as wrong:
            raise Misconfigured(
                f"the sealed key {name} does not open: its file was changed, or is that of another key or store",
                advice="Bring it back from the recovery kit: khatim authority restore.  Nothing was overwritten.",
            ) from wrong


def parsed(kept: bytes, expected: str, what: str) -> Mapping[str, Any]:
    """Return the JSON object of the *expected* format; raises `Misconfigured` about *what*."""
    try:
        body = json.loads(kept)
        if body["format"] == expected:
            found: Mapping[str, Any] = body
            return found
    except (ValueError, KeyError, TypeError) as wrong:
        raise Misconfigured(
            f"{what} cannot be read: it was changed or cut", advice="Bring it back from the recovery kit."
        ) from wrong
    raise Misconfigured(f"{what} is of another format than {expected}")


def _header(unlock: Unlock, data_key: bytes) -> bytes:
    return _dumps({"format": _STORE, "kind": unlock.kind, "wrapped": unlock.wrap(data_key)})


def _bound(name: str) -> bytes:
    return f"{_KEY}\0{name}".encode()


def _dumps(body: Mapping[str, Any]) -> bytes:
    return (json.dumps(body, indent=1, default=lambda raw: base64.b64encode(raw).decode()) + "\n").encode()
