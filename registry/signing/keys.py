# SPDX-License-Identifier: Apache-2.0
"""Where the authority's private keys live: one protocol, and the plainest store behind it, a folder of PEM files.

The other stores are `registry.signing.keys_sealed` (files encrypted under a passphrase, a secret or a KMS) and
`registry.signing.keys_pkcs11` (keys that never leave a token).  One contract suite holds for all of them.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from khatim.errors import AlreadyExists, Misconfigured

_OWNER_ONLY_FILE = 0o600
_OWNER_ONLY_FOLDER = 0o700
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")


class KeyStore(Protocol):
    """Named private keys.  A key that cannot leave its device is returned as an object that signs for its caller."""

    @property
    def place(self) -> str:
        """Where the keys lie and how they are kept, in words."""
        ...

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

    def names(self) -> list[str]:
        """Return the names of all keys, sorted."""
        ...

    def export(self, name: str) -> bytes | None:
        """Return the key *name* as PKCS#8 (DER) for a recovery kit; None if it cannot leave its device."""
        ...

    def restore(self, name: str, pkcs8: bytes) -> None:
        """Take a key out of a recovery kit; `AlreadyExists` rather than replace one, `Misconfigured` if it cannot."""
        ...


class KeysAsFiles(ABC):
    """One file a key, readable by its owner only (0600 in a folder of 0700); a file appears whole or not at all."""

    suffix: str

    def __init__(self, folder: Path) -> None:
        """Take the folder; it is made when the first key is."""
        self.folder = folder

    @abstractmethod
    def _encode(self, name: str, key: EllipticCurvePrivateKey | Ed25519PrivateKey) -> bytes:
        """Return the bytes to keep for *key*."""

    @abstractmethod
    def _decode(self, name: str, kept: bytes) -> object:
        """Return the key in the bytes *kept*; raises `Misconfigured`."""

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

    def names(self) -> list[str]:
        """Return the names of all keys, sorted."""
        return sorted(path.name.removesuffix(self.suffix) for path in self.folder.glob(f"[a-z0-9]*{self.suffix}"))

    def export(self, name: str) -> bytes | None:
        """Return the key *name* as PKCS#8 (DER); raises `Misconfigured` if it cannot be read."""
        return _pkcs8(_private(name, self._read(name)))

    def restore(self, name: str, pkcs8: bytes) -> None:
        """Take a key out of a recovery kit; raises `AlreadyExists` rather than replace one."""
        try:
            key = serialization.load_der_private_key(pkcs8, password=None)
        except (ValueError, TypeError) as wrong:
            raise Misconfigured(f"the key {name} in the recovery kit cannot be read") from wrong
        self._write(name, _private(name, key))

    def _write(self, name: str, key: EllipticCurvePrivateKey | Ed25519PrivateKey) -> None:
        write_secret(self._path(name), self._encode(name, key), f"the signing authority has a key {name} already")

    def _read(self, name: str) -> object:
        return self._decode(name, read_secret(self._path(name), f"the key {name} of the signing authority"))

    def _path(self, name: str) -> Path:
        if not _NAME.match(name):
            raise Misconfigured(f"not the name of a key: {name[:80]!r}")
        return self.folder / f"{name}{self.suffix}"


class FolderKeys(KeysAsFiles):
    """Keys as PEM files that are not encrypted: whoever reads the disk has them.  For local mode only."""

    suffix = ".pem"

    @property
    def place(self) -> str:
        """Where the keys lie, in words."""
        return f"plain files in {self.folder}, not encrypted: readable by this account, and so by the server"

    def _encode(self, name: str, key: EllipticCurvePrivateKey | Ed25519PrivateKey) -> bytes:  # noqa: ARG002
        return key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def _decode(self, name: str, kept: bytes) -> object:
        try:
            return serialization.load_pem_private_key(kept, password=None)
        except (ValueError, TypeError) as wrong:
            raise Misconfigured(f"the key {name} of the signing authority is not a PEM private key") from wrong


def write_secret(path: Path, data: bytes, taken: str) -> None:
    """Write a file that others cannot read, durably and whole; raises `AlreadyExists` with the sentence *taken*."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        path.parent.mkdir(mode=_OWNER_ONLY_FOLDER, parents=True, exist_ok=True)
        path.parent.chmod(_OWNER_ONLY_FOLDER)
        with os.fdopen(os.open(draft, flags, _OWNER_ONLY_FILE), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
        flush(path.parent)
    except FileExistsError as there:
        raise AlreadyExists(taken) from there
    except OSError as wrong:
        raise Misconfigured(f"{path} cannot be written: {wrong.strerror}") from wrong
    finally:
        draft.unlink(missing_ok=True)


def read_secret(path: Path, what: str) -> bytes:
    """Read a file that others must not be able to read; raises `Misconfigured` about *what*."""
    try:
        with path.open("rb") as file:
            for opened, named in ((os.fstat(file.fileno()), path), (path.parent.stat(), path.parent)):
                if opened.st_mode & _OTHERS:
                    raise Misconfigured(
                        f"{named.name} of the signing authority may be read by others",
                        advice="Take the rights away: chmod -R go-rwx on the folder of the authority's keys.",
                    )
            return file.read()
    except OSError as wrong:
        raise Misconfigured(
            f"{what} cannot be read: {wrong.strerror}",
            advice="Bring it back from the recovery kit: khatim authority restore.",
        ) from wrong


def flush(*paths: Path) -> None:
    """Make files and the names in folders durable."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def fresh(keys: KeyStore, purpose: str) -> str:
    """Return the name for the next key of *purpose*: ``signing-2`` after ``signing-1``.

    A key that a crash left behind without a place in the record keeps its number, and is never used.
    """
    numbers = [int(name.rpartition("-")[2]) for name in keys.names() if re.fullmatch(rf"{purpose}-\d+", name)]
    return f"{purpose}-{max(numbers, default=0) + 1}"


def _private(name: str, key: object) -> EllipticCurvePrivateKey | Ed25519PrivateKey:
    if not isinstance(key, EllipticCurvePrivateKey | Ed25519PrivateKey):
        raise Misconfigured(f"the key {name} is neither ECDSA nor Ed25519")
    return key


def _pkcs8(key: EllipticCurvePrivateKey | Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
