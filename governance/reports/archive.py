# SPDX-License-Identifier: Apache-2.0
"""Bundles as files: written once in the one spelling (`zipform`), and read only if every byte stands as it must."""

from __future__ import annotations

import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Self

from governance.reports import zipform
from governance.reports.zipform import LOCAL, Member
from khatim.errors import AlreadyExists, Malformed, TooLarge, VerificationFailed
from khatim.vocabulary import Digest

CHUNK = 1 << 20
_COUNT_MAX = 5_000_000  # members: a ledger of a billion entries has fewer files


class Draft:
    """Takes the files of a bundle in any order, on disk and not in memory; `write` puts them in theirs.

    A context: what was taken is thrown away at its end.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._kept = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the draft
        self._members: dict[str, Member] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._kept.close()

    def add(self, name: str, data: bytes) -> Digest:
        """Take a file.  Raises `Malformed` for a name that is not safe, `AlreadyExists` for one that is taken."""
        if not zipform.is_safe(name):
            raise Malformed(f"not the name of a file in a bundle: {name[:80]!r}")
        if name in self._members:
            raise AlreadyExists(f"the bundle has a file {name} already")
        if len(data) > zipform.MEMBER_MAX:
            raise TooLarge(f"{name} has {len(data)} bytes; a file of a bundle has at most {zipform.MEMBER_MAX}")
        at = self._kept.tell()
        self._kept.write(data)
        self._members[name] = Member(name, len(data), zlib.crc32(data), Digest(sha256(data).hexdigest()), at)
        return self._members[name].digest

    @property
    def members(self) -> Mapping[str, Member]:
        """Return what was taken, by name; positions are those in the draft."""
        return self._members

    def write(self) -> BinaryIO:
        """Return the bundle as an open file without a name, at its beginning."""
        out = tempfile.TemporaryFile()  # noqa: SIM115 - the caller sends it and closes it
        placed = []
        for name in sorted(self._members):
            kept = self._members[name]
            member = replace(kept, at=out.tell())
            out.write(zipform.local_header(member))
            self._kept.seek(kept.at)
            for chunk in _chunks(self._kept, kept.size):
                out.write(chunk)
            placed.append(member)
        for piece in zipform.directory(placed, out.tell()):
            out.write(piece)
        out.seek(0)
        return out


@dataclass(frozen=True)
class Archive:
    """A bundle every byte of which stands as the one spelling demands; `zip` reads its members."""

    zip: zipfile.ZipFile
    members: Mapping[str, Member]

    def read(self, name: str, most: int = 1 << 28) -> bytes:
        """Return the content of a member; raises `VerificationFailed` if it is missing or over *most* bytes."""
        member = self.members.get(name)
        if member is None:
            raise VerificationFailed(f"{name} is missing", place=name)
        if member.size > most:
            raise VerificationFailed(f"{name} is over {most} bytes long", place=name)
        return self.zip.read(name)


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """Open a bundle and compare every byte with the one spelling; raises `VerificationFailed` naming the place.

    The place is a member's name when its content does not match its checksum, else ``zip structure at byte N``.
    """
    try:
        with path.open("rb") as file:
            members = _members(file)
            yield Archive(zipfile.ZipFile(file), {member.name: member for member in members})
    except OSError as wrong:
        raise VerificationFailed(f"{path} cannot be read: {wrong.strerror}", place=str(path)) from wrong


def _members(file: BinaryIO) -> list[Member]:
    size = file.seek(0, 2)
    members: list[Member] = []
    at = 0
    while (member := _member(file, at, size)) is not None:
        if members and member.name <= members[-1].name:
            raise _bent(at + LOCAL.size, f"{member.name} stands twice or out of order")
        members.append(member)
        at = member.end
        if len(members) > _COUNT_MAX:
            raise _bent(at, f"more than {_COUNT_MAX} files")
    file.seek(at)
    for piece in zipform.directory(members, at):
        _compare(piece, file.read(len(piece)), at, "the central directory is not that of the files")
        at += len(piece)
    if at != size:
        raise _bent(at, f"{size - at} bytes follow the end")
    return members


def _member(file: BinaryIO, at: int, size: int) -> Member | None:
    """Read the member whose header begins at *at*; None if no header does."""
    file.seek(at)
    head = file.read(LOCAL.size)
    if head[:4] != zipform.LOCAL_MARK or len(head) < LOCAL.size:
        return None
    crc, length, width = (LOCAL.unpack(head)[field] for field in (6, 7, 9))
    raw = file.read(width)
    name = raw.decode("ascii", "replace")
    if not zipform.is_safe(name):
        raise _bent(at + LOCAL.size, f"not a name that a bundle may hold: {name[:80]!r}")
    shape = Member(name, length, crc, Digest("0" * 64), at)
    _compare(zipform.local_header(shape), head + raw, at, f"the header of {name} is not as it must be")
    if length > zipform.MEMBER_MAX or shape.end > size:
        raise _bent(at + 18, f"{name} would reach beyond the end of the file")
    found, content = 0, sha256()
    for chunk in _chunks(file, length):
        found = zlib.crc32(chunk, found)
        content.update(chunk)
    if found != crc:
        # Where no header follows, name and size in this one are not what they were.
        file.seek(shape.end)
        if file.read(4) not in (zipform.LOCAL_MARK, zipform.CENTRAL_MARK):
            raise _bent(at, f"the header of {name} is not as it must be")
        raise VerificationFailed(f"the content of {name} does not match its checksum", place=name)
    return replace(shape, digest=Digest(content.hexdigest()))


def _compare(expected: bytes, found: bytes, at: int, detail: str) -> None:
    if expected != found:
        pairs = zip(expected, found, strict=False)
        offset = next((n for n, (one, other) in enumerate(pairs) if one != other), min(len(expected), len(found)))
        raise _bent(at + offset, detail)


def _bent(at: int, detail: str) -> VerificationFailed:
    return VerificationFailed(f"{detail} (byte {at})", place=f"zip structure at byte {at}")


def _chunks(file: BinaryIO, size: int) -> Iterator[bytes]:
    while size:
        chunk = file.read(min(size, CHUNK))
        if not chunk:
            return
        size -= len(chunk)
        yield chunk
