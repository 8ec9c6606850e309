# SPDX-License-Identifier: Apache-2.0
"""Backup and restore of an authority: its record, its logs, its keys, and the other keys of the installation.

A restored signature log may lack what was logged after the kit was made, and to go on with it would fork the log.  So
a restore ends the log and begins a new one, with a new key and origin; what was signed before carries its own proof.
"""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from khatim.errors import AlreadyExists, KhatimError, Misconfigured
from registry.signing import recovery_kit, rotation
from registry.signing.encoding import rfc3339
from registry.signing.keys import FolderKeys, KeyStore, flush
from registry.signing.keys_sealed import SealedKeys
from registry.signing.keys_unlock import Secret
from registry.signing.record import Change, PublicRecord
from registry.signing.recovery_kit import Header, Lock, Opener
from registry.signing.rotation import RECORD

_KEYS, _EXTRAS = "keys/", "installation/"
_CHUNK = 1 << 20
_TOKEN = "token"  # noqa: S105 - says where a key stays


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What came out of a kit, in a scratch folder: the record, the keys, the other files of the installation."""

    header: Header
    folder: Path
    record: PublicRecord
    keys: KeyStore
    extras: Path

    @property
    def missing(self) -> list[str]:
        """The keys that are not in the kit, because they stay on their token."""
        return sorted(name for name, where in self.header.keys.items() if where == _TOKEN)


def backup(  # noqa: PLR0913, PLR0917 - what, with which keys and files, where to, locked how, when and by whom
    folder: Path, keys: KeyStore, extras: Mapping[str, Path], to: Path, lock: Lock, at: datetime, *, by: str
) -> Header:
    """Write a recovery kit to *to*: record, logs, every key that can leave its store, and *extras* (name to file).

    Raises `AlreadyExists` rather than replace a kit.  The server may run meanwhile.
    """
    record = rotation.load(folder)
    exported = {name: keys.export(name) for name in keys.names()}
    master = recovery_kit.new_master()
    header = Header(
        instance=record.instance,
        made=rfc3339(at),
        lock=lock(master),
        keys={name: _TOKEN if key is None else "kit" for name, key in exported.items()},
        generations=record.current(),
    )
    with recovery_kit.writing(to, header, master) as archive:
        _add(archive, RECORD, record.dumps().encode())
        for log in record.signature_log:
            for name in ("checkpoint", "entries"):  # in this order: entries may only ever be ahead
                _add_file(archive, f"{log.folder or 'log'}/{name}", folder / (log.folder or "log") / name)
        for name, key in exported.items():
            if key is not None:
                _add(archive, f"{_KEYS}{name}", key)
        for name, path in extras.items():
            _add_file(archive, f"{_EXTRAS}{name}", path)
    rotation.note(folder, Change("backed_up", rfc3339(at), by, details={"kit": recovery_kit.digest_of(to)}))
    return header


@contextmanager
def unpacked(kit: Path, opener: Opener, beside: Path) -> Iterator[Unpacked]:
    """Restore a kit into a scratch folder in *beside*, sealed under a secret of the moment; it is gone afterwards.

    Raises `Misconfigured` where the kit was changed, cut, or does not open.
    """
    beside.mkdir(mode=0o700, parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".recovery.", dir=beside))
    try:
        keys = SealedKeys.create(scratch / "keys", Secret(os.urandom(32)))
        with recovery_kit.reading(kit, opener) as (header, files):
            for name, content in files:
                if name.startswith(_KEYS):
                    keys.restore(name.removeprefix(_KEYS), content.read())
                else:
                    _put(scratch / "files", name, content)
        (scratch / "files" / _EXTRAS).mkdir(parents=True, exist_ok=True)
        record = rotation.load(scratch / "files")
        yield Unpacked(header, scratch / "files", record, keys, scratch / "files" / _EXTRAS)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def restore(  # noqa: PLR0913 - from where, whereto, with which keys, when and by whom
    found: Unpacked, folder: Path, keys: KeyStore, installation: Path, at: datetime, *, by: str
) -> PublicRecord:
    """Put what a kit held into place: the authority into *folder*, its keys into *keys*, the rest below *installation*.

    The signature log begins anew (see above).  Raises `AlreadyExists` when something else is there already; nothing
    was overwritten then.  What is there and equal stays, so that an interrupted restore can be repeated.
    """
    if folder.exists():
        raise AlreadyExists(
            f"there is a signing authority in {folder} already",
            advice="Move it aside if it is lost; if only its keys are, restore with --keys-only.",
        )
    inside = isinstance(keys, FolderKeys) and keys.folder.is_relative_to(folder)
    if not inside:
        restore_keys(found, keys)  # first of all: what is in the way is said before anything is written
    for path in sorted(one for one in found.extras.rglob("*") if one.is_file()):
        _place(path, installation / path.relative_to(found.extras))
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        store = FolderKeys(building / "keys") if inside else keys  # local mode: keys and record appear together
        restore_keys(found, store)
        shutil.copyfile(found.folder / RECORD, building / RECORD)
        for log in found.record.signature_log:
            shutil.copytree(found.folder / (log.folder or "log"), building / (log.folder or "log"))
        rotation.note(building, Change("restored", rfc3339(at), by, details={"kit_made": found.header.made}))
        rotation.rotate(
            building,
            "signature-log",
            keys,
            at,
            by=by,
            because="restored from a kit: no fork of the old log",
            is_linked=False,  # an entry about it in the old log would be that fork
        )
        building.rename(folder)
        flush(folder.parent)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return rotation.load(folder)


def restore_keys(found: Unpacked, keys: KeyStore) -> list[str]:
    """Put a kit's keys into a store; return the names of those that were missing there.

    Raises `AlreadyExists` when a key of that name is another one.
    """
    present, put = set(keys.names()), []
    for name in found.keys.names():
        exported = found.keys.export(name) or b""
        if name not in present:
            keys.restore(name, exported)
            put.append(name)
        elif keys.export(name) not in (exported, None):
            raise AlreadyExists(f"the store has another key {name}", advice="Restore into an empty store.")
    return put


def conflicts(found: Unpacked, folder: Path, keys: KeyStore, installation: Path) -> list[str]:
    """Say what would stand in the way of `restore`; nothing is changed.  For a dry run."""
    said = [f"{folder} is there already"] if folder.exists() else []
    for path in sorted(one for one in found.extras.rglob("*") if one.is_file()):
        target = installation / path.relative_to(found.extras)
        if target.exists() and target.read_bytes() != path.read_bytes():
            said.append(f"{target} is there and differs")
    present = set(keys.names())
    for name in found.keys.names():
        try:
            if name in present and keys.export(name) not in (found.keys.export(name), None):
                said.append(f"the store has another key {name}")
        except KhatimError as wrong:
            said.append(f"the store's key {name} cannot be read: {wrong.detail}")
    return said


def _put(folder: Path, name: str, content: BinaryIO) -> None:
    target = (folder / name).resolve()
    if not target.is_relative_to(folder.resolve()):
        raise Misconfigured(f"the kit holds a file outside its folder: {name[:80]!r}")
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        shutil.copyfileobj(content, file, _CHUNK)
        file.flush()
        os.fsync(file.fileno())


def _place(path: Path, target: Path) -> None:
    if target.exists():
        if target.read_bytes() != path.read_bytes():
            raise AlreadyExists(f"{target} is there and is not that of the kit", advice="Move it aside first.")
        return
    with path.open("rb") as content:
        _put(target.parent, target.name, content)


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    described = tarfile.TarInfo(name)
    described.size, described.mode = len(data), 0o600
    archive.addfile(described, io.BytesIO(data))


def _add_file(archive: tarfile.TarFile, name: str, path: Path) -> None:
    try:
        with path.open("rb") as file:
            described = tarfile.TarInfo(name)
            described.size, described.mode = os.fstat(file.fileno()).st_size, 0o600
            archive.addfile(described, file)  # as much as there was: a log may grow meanwhile
    except OSError as wrong:
        raise Misconfigured(f"{path} cannot be read for the backup: {wrong.strerror}") from wrong
