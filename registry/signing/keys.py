# SPDX-License-Identifier: Apache-2.0
"""Where the authority's private keys live.  The seam for a KMS or PKCS#11: another `KeyStore` behind the same words."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from khatim.errors import AlreadyExists, Misconfigured

_OWNER_ONLY_FILE = 0o600
_OWNER_ONLY_FOLDER = 0o700
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class KeyStore(Protocol):
    """Named private keys.  A key that cannot leave its device is returned as an object that signs for its caller."""

    def create_p256(self, name: str) -> EllipticCurvePrivateKey:
        """Make and keep an ECDSA P-256 key; raises `AlreadyExists` rather than replace one."""
        ...

    def create_ed25519(self, name: str) -> Ed25519PrivateKey:
        """Make and keep an Ed25519 key; raises `AlreadyExists` rather than replace one."""
        ...

    def p256(self, name: str) -> EllipticCurvePrivateKey:
        """Return the P-256 key *name*; raises `Misconfigured` if it is not there."""
        ...

    def ed25519(self, name: str) -> Ed25519PrivateKey:
        """Return the Ed25519 key *name*; raises `Misconfigured` if it is not there."""
        ...


class FolderKeys:
    """Keys as PEM files, readable by their owner only (0600 in a folder of 0700)."""

    def __init__(self, folder: Path) -> None:
        """Take the folder; it is made when the first key is."""
        self._folder = folder

    def create_p256(self, name: str) -> EllipticCurvePrivateKey:
        """Make and keep an ECDSA P-256 key; raises `AlreadyExists` rather than replace one."""
        key = generate_private_key(SECP256R1())
        self._write(name, key)
        return key

    def create_ed25519(self, name: str) -> Ed25519PrivateKey:
        """Make and keep an Ed25519 key; raises `AlreadyExists` rather than replace one."""
        key = Ed25519PrivateKey.generate()
        self._write(name, key)
        return key

    def p256(self, name: str) -> EllipticCurvePrivateKey:
        """Return the P-256 key *name*; raises `Misconfigured` if it is missing, of another kind or open to others."""
        key = self._read(name)
        if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
            raise Misconfigured(f"the key {name} of the signing authority is not an ECDSA P-256 key")
        return key

    def ed25519(self, name: str) -> Ed25519PrivateKey:
        """Return the Ed25519 key *name*; raises `Misconfigured` if it is missing, of another kind or open to others."""
        key = self._read(name)
        if not isinstance(key, Ed25519PrivateKey):
            raise Misconfigured(f"the key {name} of the signing authority is not an Ed25519 key")
        return key

    def _write(self, name: str, key: EllipticCurvePrivateKey | Ed25519PrivateKey) -> None:
        self._folder.mkdir(mode=_OWNER_ONLY_FOLDER, parents=True, exist_ok=True)
        self._folder.chmod(_OWNER_ONLY_FOLDER)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(self._path(name), flags, _OWNER_ONLY_FILE)
        except FileExistsError as there:
            raise AlreadyExists(f"the signing authority has a key {name} already") from there
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())

    def _read(self, name: str) -> object:
        path = self._path(name)
        try:
            with path.open("rb") as file:
                for opened, what in ((os.fstat(file.fileno()), path), (self._folder.stat(), self._folder)):
                    if opened.st_mode & _OTHERS:
                        raise Misconfigured(
                            f"{what.name} of the signing authority may be read by others",
                            advice="Take the rights away: chmod -R go-rwx on the folder of the authority's keys.",
                        )
                return serialization.load_pem_private_key(file.read(), password=None)
        except OSError as wrong:
            raise Misconfigured(f"the key {name} of the signing authority cannot be read: {wrong.strerror}") from wrong
        except (ValueError, TypeError) as wrong:
            raise Misconfigured(f"the key {name} of the signing authority is not a PEM private key") from wrong

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.pem"
