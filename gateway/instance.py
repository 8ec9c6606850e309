# SPDX-License-Identifier: Apache-2.0
"""What an installation keeps in its data folder: keys that nobody else can read, and the origin of its ledger."""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from audit.checkpoint import NoteSigner, NoteVerifier
from audit.epochs import origin_of
from khatim import tokens
from khatim.errors import KhatimError, Misconfigured
from registry.personal_keys import KeyFolder, SecretWrap
from registry.tombstones import Graveyard
from registry.vault import Vault

VKEY = "ledger.vkey"
"""The file with the ledger's verifier key: public, beside the folder of keys and not in it."""


@dataclass(frozen=True)
class Instance:
    """The data folder of one installation: ``keys/`` (0700), ``authority/``, ``postgres/``, ``run/``."""

    folder: Path

    def prepare(self) -> None:
        """Create the folder; others may pass through it to nothing they could read.  Raises `Misconfigured`."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for name in ("keys", "authority", "run"):
                (self.folder / name).mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise Misconfigured(f"{self.folder} cannot be an installation's folder: {error.strerror}") from error

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder for one server process; raises `Misconfigured` when another one has it."""
        with (self.folder / "run" / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise Misconfigured(
                    f"another khatim runs on {self.folder}", advice="Stop it with: khatim down --data DIR"
                ) from error
            yield

    def signing_key(self, name: str) -> Ed25519PrivateKey:
        """Return the Ed25519 key *name* (``tokens``, ``ledger``), made at first use."""
        path = self.folder / "keys" / f"{name}.pem"
        if not path.exists():
            key = Ed25519PrivateKey.generate()
            _write_secret(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        loaded = load_pem_private_key(path.read_bytes(), password=None)
        if not isinstance(loaded, Ed25519PrivateKey):
            raise Misconfigured(f"{path} does not hold an Ed25519 key")
        return loaded

    def token_key(self, path: Path | None = None) -> Ed25519PublicKey:
        """Return the public key of the instance's tokens: the one in *path* (PEM), else that of the key at hand."""
        if path is None:
            return self.signing_key("tokens").public_key()
        try:
            return tokens.public_key(path.read_text())
        except (OSError, ValueError, KhatimError) as error:
            raise Misconfigured(f"the public key of the tokens cannot be read from {path}") from error

    def secret(self, name: str) -> bytes:
        """Return the 32 secret bytes of ``keys/<name>.key``, made at first use."""
        path = self.folder / "keys" / f"{name}.key"
        if not path.exists():
            _write_secret(path, secrets.token_bytes(32))
        return path.read_bytes()

    def vault(self, copy: Path | None = None) -> Vault:
        """Return where people's records are opened: keys in ``keys/people/``, tombstones beside them and in *copy*."""
        keys = KeyFolder(self.folder / "keys" / "people", SecretWrap(self.secret("records")))
        own = self.folder / "tombstones" / "erasures.jsonl"
        return Vault(keys, Graveyard([own, *([copy] if copy else [])]))

    def ledger_signer(self, name: str, epoch: int) -> NoteSigner:
        """Return the signer of the ledger of the installation *name* in one of its epochs: a key and origin each."""
        key = self.signing_key("ledger" if epoch == 1 else f"ledger-{epoch}")
        signer = NoteSigner(origin_of(f"ledger.{name}.khatim", epoch), key)
        if epoch == 1:
            self._tell(signer.vkey)
        return signer

    def ledger_verifier(self, name: str) -> NoteVerifier:
        """Return the public key of the first epoch, which others pin: without the private one where it was told before.

        Raises `Misconfigured` when it was not, and the private key cannot be read either.
        """
        try:
            told = NoteVerifier.parse((self.folder / VKEY).read_text())
        except FileNotFoundError:
            try:
                return self.ledger_signer(name, 1).verifier
            except OSError as error:
                raise Misconfigured(
                    f"{self.folder / VKEY} is not there, and the ledger's key cannot be read: {error.strerror}",
                    advice="Start the sequencer once as the account that holds the key: khatim up writes the file.",
                ) from error
        except (OSError, KhatimError) as error:
            raise Misconfigured(f"the ledger's public key cannot be read from {self.folder / VKEY}") from error
        if told.name != origin_of(f"ledger.{name}.khatim", 1):
            raise Misconfigured(f"{self.folder / VKEY} is of another ledger: {told.name}")
        return told

    def _tell(self, vkey: str) -> None:
        path = self.folder / VKEY
        if path.exists() and path.read_text() == vkey + "\n":
            return
        draft = path.with_name(f".{VKEY}.{os.getpid()}.{secrets.token_hex(4)}")
        draft.write_text(vkey + "\n")
        draft.chmod(0o644)  # it is public
        draft.replace(path)

    @property
    def head_file(self) -> Path:
        """Return where the ledger's highest checkpoint stands, beside the keys and outside the database."""
        return self.folder / "keys" / "ledger.head"

    def person_ref(self, name: str) -> str:
        """Return the opaque reference of a local person: keyed, so that the ledger cannot be searched for names."""
        # compliance.md section 4: a keyed HMAC, never a bare hash of an identifier.
        return "p-" + hmac.new(self.secret("people"), name.casefold().encode(), hashlib.sha256).hexdigest()[:20]


def _write_secret(path: Path, data: bytes) -> None:
    """Write *data* so that it appears whole or not at all, readable by its owner only; the first writer wins."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
