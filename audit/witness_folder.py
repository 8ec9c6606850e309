# SPDX-License-Identifier: Apache-2.0
"""The folder of a witness: its keys (``keys/``, owner only), the logs that it watches (``logs``), its record.

``logs`` has one log a line: the log's verifier key, and its origin where that is not the name of the key.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from audit.checkpoint import NoteVerifier
from audit.cosignatures import Cosigner
from audit.witness import Witness, WitnessStore
from khatim.errors import AlreadyExists, Misconfigured

KINDS = ("ed25519", "ml-dsa-44")


def found(folder: Path, name: str, kinds: tuple[str, ...] = KINDS) -> list[str]:
    """Make the keys of a new witness called *name* and return their verifier keys, Ed25519 first.

    Raises `AlreadyExists` where there is one: another key would be another witness, without the record of this one.
    """
    keys = folder / "keys"
    if keys.exists():
        raise AlreadyExists(f"there is a witness in {folder} already")
    made = {kind: Ed25519PrivateKey.generate() if kind == "ed25519" else MLDSA44PrivateKey.generate() for kind in kinds}
    vkeys = [Cosigner(name, key).vkey for key in made.values()]  # refuses a name that is none, before a file is there
    keys.mkdir(mode=0o700, parents=True)
    for kind, key in made.items():
        _write(keys / f"{kind}.pem", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    _write(folder / "name", f"{name}\n".encode())
    _write(folder / "vkeys", "".join(f"{vkey}\n" for vkey in vkeys).encode())
    return vkeys


def watch(folder: Path, vkey: str, origin: str = "") -> str:
    """Add a log to those that the witness in *folder* watches, and return its origin; `Malformed` for a wrong key."""
    verifier = NoteVerifier.parse(vkey)
    with (folder / "logs").open("a", encoding="utf-8") as file:
        file.write(f"{verifier.vkey} {origin}".rstrip() + "\n")
    return origin or verifier.name


def logs_of(folder: Path) -> dict[str, list[NoteVerifier]]:
    """Return the keys trusted for each origin; raises `Misconfigured` without any log."""
    watched: dict[str, list[NoteVerifier]] = {}
    try:
        lines = (folder / "logs").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        vkey, _, origin = line.strip().partition(" ")
        if vkey and not vkey.startswith("#"):
            verifier = NoteVerifier.parse(vkey)
            watched.setdefault(origin or verifier.name, []).append(verifier)
    if not watched:
        raise Misconfigured(f"the witness in {folder} watches no log", advice="khatim witness watch DIR VKEY")
    return watched


def cosigners_of(folder: Path) -> list[Cosigner]:
    """Return the witness's keys; raises `Misconfigured` if there are none or one cannot be read."""
    try:
        name = (folder / "name").read_text(encoding="utf-8").strip()
        files = [folder / "keys" / f"{kind}.pem" for kind in KINDS]
        keys = [load_pem_private_key(file.read_bytes(), None) for file in files if file.exists()]
    except (OSError, ValueError, TypeError) as wrong:
        raise Misconfigured(
            f"there is no witness in {folder}: {wrong}", advice="Make one: khatim witness keygen DIR --name NAME"
        ) from wrong
    if not all(isinstance(key, Ed25519PrivateKey | MLDSA44PrivateKey) for key in keys):
        raise Misconfigured(f"the keys in {folder} are none of a witness")
    return [Cosigner(name, key) for key in keys if isinstance(key, Ed25519PrivateKey | MLDSA44PrivateKey)]


def open_witness(folder: Path, clock: Callable[[], datetime]) -> Witness:
    """Return the witness that lives in *folder*; raises `Misconfigured`."""
    return Witness(WitnessStore(folder / "record"), cosigners_of(folder), logs_of(folder), clock)


def _write(path: Path, data: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
