# SPDX-License-Identifier: Apache-2.0
"""A recovery kit: one encrypted file with all that an installation needs to sign again, and who can open it.

One line names the format, one line (JSON) says in the clear what the kit is for and how it is locked, the rest is a
tar archive in segments of AES-256-GCM.  The key of the segments comes by HKDF from a master secret of 32 random bytes
and from the digest of the clear line, so that not a letter of it can be changed.  The master secret itself is nowhere
in the file but wrapped under a passphrase, or not at all: then it exists as k-of-n shares on paper only.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from khatim.errors import AlreadyExists, Misconfigured
from registry.signing import shares
from registry.signing.keys import flush
from registry.signing.keys_unlock import Unlock

_MAGIC = b"khatim-recovery-kit/1\n"
_SEGMENT, _TAG = 1 << 20, 16
_HEADER_MAX = 1 << 20
_MASTER = 32
_FRESH = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

Opener = Callable[[Mapping[str, Any]], bytes]
"""Returns the master secret of a kit, given what the kit says of its lock."""


class Lock(Protocol):
    """How a kit is locked: takes the master secret, returns what the kit says of it."""

    def __call__(self, master: bytes) -> Mapping[str, Any]:
        """Lock *master* away."""
        ...


@dataclass(frozen=True, slots=True)
class Header:
    """What a kit says in the clear: whose it is, from when, which keys it holds and which stay on a token."""

    instance: str
    made: str
    lock: Mapping[str, Any]
    keys: Mapping[str, str]
    generations: Mapping[str, str]


class Shared:
    """Locks a kit by shares: `lines` holds them afterwards, to be handed to different people, and nothing else does."""

    def __init__(self, number: int, threshold: int) -> None:
        """Make *number* shares, of which *threshold* open the kit."""
        self._numbers = (number, threshold)
        self.lines: list[str] = []

    def __call__(self, master: bytes) -> Mapping[str, Any]:
        """Split *master*."""
        number, threshold = self._numbers
        self.lines = shares.split(master, number, threshold)
        return {"kind": "shares", "shares": number, "threshold": threshold}


def under(passphrase: Unlock) -> Lock:
    """Return the lock of a kit that is one sealed file."""
    return lambda master: {"kind": "sealed", "wrapped": passphrase.wrap(master)}


def by_passphrase(passphrase: Unlock) -> Opener:
    """Return what opens a sealed kit; raises `Misconfigured` for a kit that is locked otherwise."""

    def open_(lock: Mapping[str, Any]) -> bytes:
        if lock.get("kind") != "sealed":
            raise Misconfigured("the kit is locked by shares, not by a passphrase", advice="Give --share, repeatedly.")
        return passphrase.unwrap(lock.get("wrapped", {}))

    return open_


def by_shares(lines: Sequence[str]) -> Opener:
    """Return what opens a kit locked by shares; more than are needed do no harm."""

    def open_(lock: Mapping[str, Any]) -> bytes:
        if lock.get("kind") != "shares":
            raise Misconfigured("the kit is sealed under a passphrase", advice="Give --sealed FILE with it.")
        distinct = list(dict.fromkeys(lines))
        return shares.combine(distinct[: int(lock.get("threshold", 0)) or None])

    return open_


@contextmanager
def writing(path: Path, header: Header, master: bytes) -> Iterator[tarfile.TarFile]:
    """Write a kit that appears whole or not at all, for its owner only; raises `AlreadyExists`, `Misconfigured`."""
    if path.exists():
        raise AlreadyExists(f"{path} is there already", advice="Keep the old kit until the new one is proved.")
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    named = {one: getattr(header, one) for one in Header.__dataclass_fields__}
    line = json.dumps(named, default=dict).encode() + b"\n"
    try:
        with os.fdopen(os.open(draft, _FRESH, 0o600), "wb") as file:
            file.write(_MAGIC + line)
            sink = _Sealing(file, AESGCM(_key(master, line)))
            with tarfile.open(fileobj=cast("BinaryIO", sink), mode="w|", format=tarfile.PAX_FORMAT) as archive:
                yield archive
            sink.finish()
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
        flush(path.parent)
    except OSError as wrong:
        raise Misconfigured(f"the kit cannot be written to {path}: {wrong.strerror}") from wrong
    finally:
        draft.unlink(missing_ok=True)


def header_of(path: Path) -> Header:
    """Return what a kit says in the clear; raises `Misconfigured` for what is no kit.  Nothing of it is proved yet."""
    with _opened(path) as file:
        return _header(file)[0]


@contextmanager
def reading(path: Path, opener: Opener) -> Iterator[tuple[Header, Iterator[tuple[str, BinaryIO]]]]:
    """Open a kit; yield its header and its files in order.  Raises `Misconfigured` where it was changed or cut."""
    with _opened(path) as file:
        header, line = _header(file)
        source = _Opening(file, AESGCM(_key(opener(header.lock), line)))
        try:
            with tarfile.open(fileobj=cast("BinaryIO", source), mode="r|") as archive:
                yield header, _files(archive)
            source.drain()
        except (InvalidTag, tarfile.TarError) as wrong:
            raise Misconfigured(
                "the kit does not open: it was changed or cut, or this is the key of another kit",
                advice="Try another copy of the kit. Nothing was changed here.",
            ) from wrong


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a kit's file, hexadecimal."""
    with _opened(path) as file:
        hasher = sha256()
        while chunk := file.read(_SEGMENT):
            hasher.update(chunk)
    return hasher.hexdigest()


def new_master() -> bytes:
    """Return a fresh master secret."""
    return os.urandom(_MASTER)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as wrong:
        raise Misconfigured(f"the recovery kit {path} cannot be read: {wrong.strerror}") from wrong


def _header(file: BinaryIO) -> tuple[Header, bytes]:
    if file.read(len(_MAGIC)) != _MAGIC:
        raise Misconfigured("this file is not a recovery kit of Khatim")
    line = file.readline(_HEADER_MAX)
    try:
        return Header(**json.loads(line)), line
    except (ValueError, TypeError) as wrong:
        raise Misconfigured("the first lines of the recovery kit were changed") from wrong


def _files(archive: tarfile.TarFile) -> Iterator[tuple[str, BinaryIO]]:
    for member in archive:
        content = archive.extractfile(member)
        if content is None or not member.isreg():
            raise Misconfigured(f"the kit holds something that is no file: {member.name[:80]!r}")
        yield member.name, cast("BinaryIO", content)


def _key(master: bytes, line: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, sha256(line).digest(), _MAGIC).derive(master)


def _nonce(number: int, *, is_last: bool) -> bytes:
    # The key is of this kit alone, so a counter never meets a nonce twice; the mark of the last segment shows a cut.
    return number.to_bytes(11, "big") + bytes([is_last])


class _Sealing(io.RawIOBase):
    """What is written goes out in sealed segments."""

    def __init__(self, file: BinaryIO, cipher: AESGCM) -> None:
        self._file = file
        self._cipher = cipher
        self._pending = bytearray()
        self._number = 0

    def write(self, data: Any) -> int:
        self._pending += data
        while len(self._pending) > _SEGMENT:
            self._out(bytes(self._pending[:_SEGMENT]), is_last=False)
            del self._pending[:_SEGMENT]
        return len(data)

    def finish(self) -> None:
        """Write the last segment, which may be empty."""
        self._out(bytes(self._pending), is_last=True)

    def _out(self, plain: bytes, *, is_last: bool) -> None:
        self._file.write(self._cipher.encrypt(_nonce(self._number, is_last=is_last), plain, None))
        self._number += 1


class _Opening(io.RawIOBase):
    """Reads sealed segments, each authenticated before a byte of it is given out."""

    def __init__(self, file: BinaryIO, cipher: AESGCM) -> None:
        self._file = file
        self._cipher = cipher
        self._plain = b""
        self._number = 0
        self._ended = False
        self._next = file.read(_SEGMENT + _TAG)

    def read(self, size: int = -1) -> bytes:
        while not self._ended and (size < 0 or len(self._plain) < size):
            sealed, self._next = self._next, self._file.read(_SEGMENT + _TAG)
            self._ended = not self._next
            self._plain += self._cipher.decrypt(_nonce(self._number, is_last=self._ended), sealed, None)
            self._number += 1
        size = len(self._plain) if size < 0 else size
        out, self._plain = self._plain[:size], self._plain[size:]
        return out

    def drain(self) -> None:
        """Read to the end, so that a cut or change behind the last file is found as well."""
        while self.read(_SEGMENT):
            pass
