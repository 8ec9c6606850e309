# SPDX-License-Identifier: Apache-2.0
"""What unlocks sealed keys: a passphrase (scrypt), or a secret file such as a systemd credential (HKDF).

A key management service is the third way: `registry.signing.keys_transit`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from khatim.errors import Malformed, Misconfigured
from registry.signing.encoding import b64, unb64

# RFC 7914: 128 * n * r bytes of memory; 128 MiB and about half a second for whoever guesses.
SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**17, 8, 1
_SCRYPT_N_MAX = 2**21  # a forged header must not take the machine's memory
_PASSPHRASE_MIN = 12
_SECRET_MIN = 16
_NONCE, _SALT, _KEY = 12, 32, 32
_BOUND = b"khatim-data-key/1"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Unlock(Protocol):
    """Wraps a data key and gives it back."""

    @property
    def kind(self) -> str:
        """One word, written beside the wrapped key: ``passphrase``, ``secret`` or ``vault-transit``."""
        ...

    @property
    def words(self) -> str:
        """What unlocks, in words."""
        ...

    def wrap(self, data_key: bytes) -> Mapping[str, Any]:
        """Return what to keep, as JSON values."""
        ...

    def unwrap(self, wrapped: Mapping[str, Any]) -> bytes:
        """Return the data key; raises `Misconfigured` with advice when this does not open it."""
        ...


class Passphrase:
    """A passphrase that a person knows.  Salt and cost parameters are stored beside the wrapped key."""

    kind = "passphrase"
    words = "a passphrase"

    def __init__(self, text: str, *, cost: int = SCRYPT_N) -> None:
        """Take the passphrase; raises `Misconfigured` for fewer than 12 characters.  *cost* is scrypt's n."""
        if len(text) < _PASSPHRASE_MIN:
            raise Misconfigured(f"a passphrase has at least {_PASSPHRASE_MIN} characters")
        self._text = text.encode()
        self._cost = cost

    def wrap(self, data_key: bytes) -> Mapping[str, Any]:
        """Return salt, cost and wrapped key."""
        cost = {"salt": b64(os.urandom(_SALT)), "n": self._cost, "r": SCRYPT_R, "p": SCRYPT_P}
        return {**cost, **sealed(self._key(cost), data_key, _BOUND)}

    def unwrap(self, wrapped: Mapping[str, Any]) -> bytes:
        """Return the data key; raises `Misconfigured` for another passphrase."""
        return _unwrapped(self._key, wrapped, "the passphrase is wrong, or the header of the keys was changed")

    def _key(self, cost: Mapping[str, Any]) -> bytes:
        n, r, p = cost["n"], cost["r"], cost["p"]
        if not (isinstance(n, int) and n <= _SCRYPT_N_MAX and r == SCRYPT_R and p == SCRYPT_P):
            raise ValueError("cost parameters out of bounds")
        return Scrypt(unb64(cost["salt"], "the salt"), _KEY, n, SCRYPT_R, SCRYPT_P).derive(self._text)


class Secret:
    """A secret with much entropy that the service reads without a person, at least 16 bytes."""

    kind = "secret"

    def __init__(self, secret: bytes, words: str = "a secret file") -> None:
        """Take the secret; raises `Misconfigured` when it is too short to be one."""
        if len(secret) < _SECRET_MIN:
            raise Misconfigured(
                f"the secret that unlocks the keys has only {len(secret)} bytes; 32 random ones are good"
            )
        self._secret = secret
        self.words = words

    def wrap(self, data_key: bytes) -> Mapping[str, Any]:
        """Return salt and wrapped key."""
        salt = {"salt": b64(os.urandom(_SALT))}
        return {**salt, **sealed(self._key(salt), data_key, _BOUND)}

    def unwrap(self, wrapped: Mapping[str, Any]) -> bytes:
        """Return the data key; raises `Misconfigured` for another secret."""
        return _unwrapped(
            self._key, wrapped, f"{self.words} is not the one that sealed the keys, or their header changed"
        )

    def _key(self, stored: Mapping[str, Any]) -> bytes:
        salt = unb64(stored["salt"], "the salt")
        return HKDF(hashes.SHA256(), _KEY, salt, b"khatim sealed keys").derive(self._secret)


def secret_from(reference: str, environment: Mapping[str, str]) -> Secret:
    """Read the secret named *reference*: a path, or the name of a systemd credential (``$CREDENTIALS_DIRECTORY``).

    Raises `Misconfigured` when it is missing or, being a file of its own, open to others.
    """
    if "/" in reference:
        return Secret(private_file(Path(reference), "the secret of the keys"), f"the secret file {reference}")
    folder = environment.get("CREDENTIALS_DIRECTORY", "")
    if not folder:
        raise Misconfigured(
            f"there is no systemd credential {reference!r}: CREDENTIALS_DIRECTORY is not set",
            advice="Add LoadCredentialEncrypted= to the unit, or give a path (with a slash) instead of a name.",
        )
    try:
        return Secret((Path(folder) / reference).read_bytes(), f"the systemd credential {reference}")
    except OSError as wrong:
        raise Misconfigured(f"the systemd credential {reference} cannot be read: {wrong.strerror}") from wrong


def private_file(path: Path, what: str) -> bytes:
    """Read a file with a secret; raises `Misconfigured` about *what* when it is missing or open to others."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & _OTHERS:
                raise Misconfigured(f"{what} in {path} may be read by others", advice=f"chmod 600 {path}")
            return file.read()
    except OSError as wrong:
        raise Misconfigured(f"{what} cannot be read from {path}: {wrong.strerror}") from wrong


def passphrase_from(path: Path, *, cost: int = SCRYPT_N) -> Passphrase:
    """Read a passphrase from the first line of a file that nobody else may read; raises `Misconfigured`."""
    try:
        text = private_file(path, "the passphrase").decode()
    except UnicodeDecodeError as wrong:
        raise Misconfigured(f"the passphrase in {path} is not text") from wrong
    return Passphrase(text.splitlines()[0] if text else "", cost=cost)


def sealed(key: bytes, plain: bytes, bound: bytes) -> dict[str, str]:
    """Encrypt with AES-256-GCM under a fresh nonce; *bound* is the associated data."""
    nonce = os.urandom(_NONCE)
    return {"nonce": b64(nonce), "sealed": b64(AESGCM(key).encrypt(nonce, plain, bound))}


def opened(key: bytes, body: Mapping[str, Any], bound: bytes) -> bytes:
    """Decrypt what `sealed` made; raises ``InvalidTag``, ``KeyError`` or ``ValueError``."""
    try:
        nonce, cipher = unb64(body["nonce"], "the nonce"), unb64(body["sealed"], "the ciphertext")
    except Malformed as wrong:
        raise ValueError(wrong.detail) from wrong
    return AESGCM(key).decrypt(nonce, cipher, bound)


def _unwrapped(key: Any, wrapped: Mapping[str, Any], otherwise: str) -> bytes:
    try:
        return opened(key(wrapped), wrapped, _BOUND)
    except (InvalidTag, KeyError, ValueError, TypeError, Malformed) as wrong:
        raise Misconfigured(
            otherwise, advice="Nothing was changed. If it is lost, restore the recovery kit: khatim authority restore."
        ) from wrong
