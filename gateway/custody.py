# SPDX-License-Identifier: Apache-2.0
"""The signing authority's keys as the settings say: where they lie, what unlocks them, and whether they may be used.

In production the service refuses to run with keys in plain files, with the root's key in its store, or before a
recovery kit of the keys in use was proved.  Local mode may do all three; `khatim authority status` says so.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gateway.instance import Instance
from khatim.errors import KhatimError, Misconfigured
from khatim.settings import AuthoritySettings, Settings
from registry.signing import recovery_proof, rotation
from registry.signing.authority import Authority
from registry.signing.keys import FolderKeys, KeyStore
from registry.signing.keys_pkcs11 import Pkcs11Keys
from registry.signing.keys_sealed import SealedKeys
from registry.signing.keys_transit import Transit
from registry.signing.keys_unlock import Unlock, passphrase_from, private_file, secret_from
from registry.signing.record import PublicRecord

_KEPT = ("keys", "tombstones", "authority/agents")  # beside the authority, what a kit holds of an installation


@dataclass(frozen=True, slots=True)
class Custody:
    """Where the authority of one installation is, with its keys."""

    settings: Settings
    data: Path

    @property
    def folder(self) -> Path:
        """The authority's own folder: record and logs."""
        return self.data / "authority" / "sigstore"

    @property
    def proof(self) -> Path:
        """The proof of the last recovery test."""
        return self.data / "authority" / "recovery-proof.json"

    @property
    def sealed(self) -> Path:
        """The folder of sealed keys."""
        return self.settings.authority.keys or self.data / "authority" / "keys"

    @property
    def record(self) -> PublicRecord:
        """The public record; raises `Misconfigured` when there is no authority."""
        return rotation.load(self.folder)

    @property
    def extras(self) -> dict[str, Path]:
        """What a recovery kit holds beside the authority: keys and tombstones of the installation, by their place."""
        found = [one for name in _KEPT for one in sorted((self.data / name).rglob("*"))]
        return {str(one.relative_to(self.data)): one for one in found if one.is_file() and one.name[0] != "."}

    def keys(self) -> KeyStore:
        """Return the store of the service's keys; raises `Misconfigured` when it cannot be unlocked."""
        said = self.settings.authority
        if said.store == "folder":
            return FolderKeys(self.folder / "keys")
        if said.store == "sealed":
            return SealedKeys.ensure(self.sealed, unlock_of(said))
        if said.module is None or said.token is None or said.pin_file is None:
            raise Misconfigured("module, token and pin_file go with the store 'pkcs11', all three")
        return Pkcs11Keys(said.module, said.token, _text_of(said.pin_file, "the PIN of the token"))

    def open(self) -> Authority:
        """Open the authority with its keys."""
        return Authority.open(self.folder, keys=self.keys())

    def found(self, clock: Callable[[], datetime], by: str, root_keys: KeyStore | None = None) -> Authority:
        """Found the authority; *root_keys* are the place of the root's key alone."""
        keys = None if self.settings.authority.store == "folder" else self.keys()
        return Authority.create(self.folder, self.settings.instance, clock, keys=keys, root_keys=root_keys, by=by)

    def faults(self) -> list[Misconfigured]:
        """Return what keeps a production service from running with this authority; in local mode nothing does."""
        if self.settings.is_local:
            return []
        found = []
        if self.settings.authority.store == "folder":
            found.append(
                Misconfigured(
                    "the signing authority's keys lie in plain files, which is for local mode only",
                    advice="Set KHATIM_AUTHORITY__STORE to sealed or pkcs11 (docs/guides/authority.md).",
                )
            )
        try:
            keys = self.keys()
            roots = [name for name in keys.names() if name.startswith("root-")]
            if roots:
                found.append(
                    Misconfigured(
                        f"the key of the root ({', '.join(roots)}) lies in the service's own store",
                        advice="Found the authority with: khatim authority create --offline-root FOLDER",
                    )
                )
            recovery_proof.read(self.proof, self.record)
        except Misconfigured as fault:
            found.append(fault)
        return found

    def require_ready(self) -> None:
        """Raise the first of the `faults`."""
        for fault in self.faults():
            raise fault


def custody_of(settings: Settings, instance: Instance) -> Custody:
    """Return the custody of an installation's authority."""
    return Custody(settings, instance.folder)


def unlock_of(said: AuthoritySettings) -> Unlock:
    """Return what unlocks sealed keys; raises `Misconfigured` when it cannot be read."""
    if said.passphrase_file:
        return passphrase_from(said.passphrase_file)
    if said.secret:
        return secret_from(said.secret, os.environ)
    if said.kms and said.kms_token_file:
        return Transit(said.kms, _text_of(said.kms_token_file, "the token of the key management service"))
    raise Misconfigured("nothing is set that unlocks the sealed keys", advice="See docs/guides/authority.md.")


def authority_of(settings: Settings, instance: Instance, clock: Callable[[], datetime]) -> Authority:
    """Open the embedded authority; local mode founds it at first use, production wants a ceremony."""
    custody = custody_of(settings, instance)
    if custody.folder.exists():
        return custody.open()
    if settings.authority.store != "folder":
        raise Misconfigured(
            f"there is no signing authority in {custody.folder} yet",
            advice="Found it: khatim authority create --offline-root FOLDER",
        )
    return custody.found(clock, "service:khatim")


def last_test(custody: Custody) -> tuple[str, str]:
    """Return when the last recovery test was passed, and why it does not count (empty when it does)."""
    try:
        return recovery_proof.read(custody.proof, custody.record).at, ""
    except KhatimError as why:
        return "", why.detail


def _text_of(path: Path, what: str) -> Callable[[], str]:
    return lambda: private_file(path, what).decode(errors="replace").strip()
