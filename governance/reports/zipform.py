# SPDX-License-Identifier: Apache-2.0
"""The one spelling of a zip file: for given names and contents there is exactly one sequence of bytes.

Members are stored, not deflated (what a compressor writes depends on its version), in the order of their names, each
with one local header, without data descriptors, extra fields or comments, dated 1980-01-01.  Where 32 bits are too few
the zip64 records of APPNOTE 4.3.14 and 4.3.15 stand.  Any unzip reads it; a reader that writes it anew and compares
has looked at every byte.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from khatim.vocabulary import Digest

LOCAL = struct.Struct("<IHHHHHIIIHH")
_CENTRAL = struct.Struct("<IHHHHHHIIIHHHHHII")
_END64 = struct.Struct("<IQHHIIQQQQ")
_LOCATOR = struct.Struct("<IIQI")
_END = struct.Struct("<IHHHHIIH")
_LOCAL_MARK, _CENTRAL_MARK, _END64_MARK, _LOCATOR_MARK, _END_MARK = (
    0x04034B50, 0x02014B50, 0x06064B50, 0x07064B50, 0x06054B50,
)  # fmt: skip
LOCAL_MARK, CENTRAL_MARK = _LOCAL_MARK.to_bytes(4, "little"), _CENTRAL_MARK.to_bytes(4, "little")

_PLAIN, _ZIP64 = 20, 45  # version needed to extract: 2.0 and 4.5
_UNIX = 3 << 8
_DATE = 0x0021  # 1980-01-01, the first day that a zip file knows
_FILE = 0o100644 << 16  # a regular file that everybody may read
_MAX16, _MAX32 = 0xFFFF, 0xFFFFFFFF
MEMBER_MAX = _MAX32 - 1
"""Bytes of one member: its local header never needs zip64."""
NAME_MAX = 200

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*\Z")


@dataclass(frozen=True, slots=True)
class Member:
    """One file of an archive: *at* is where its local header begins, *crc* and *digest* are of its content."""

    name: str
    size: int
    crc: int
    digest: Digest
    at: int

    @property
    def content_at(self) -> int:
        """Return where the content begins."""
        return self.at + LOCAL.size + len(self.name)

    @property
    def end(self) -> int:
        """Return where the next header begins."""
        return self.content_at + self.size


def is_safe(name: str) -> bool:
    """Whether *name* may name a member: relative, ASCII, no hidden file, nothing that leads out of a folder."""
    return len(name) <= NAME_MAX and bool(_NAME.match(name))


def local_header(member: Member) -> bytes:
    """Return what stands before the content, the name included."""
    return LOCAL.pack(
        _LOCAL_MARK, _PLAIN, 0, 0, 0, _DATE, member.crc, member.size, member.size, len(member.name), 0
    ) + member.name.encode("ascii")  # fmt: skip


def directory(members: Iterable[Member], at: int) -> Iterator[bytes]:
    """Yield everything after the last content, which ends at *at*: the central directory and its end."""
    count = size = 0
    for member in members:
        entry = _central(member)
        count, size = count + 1, size + len(entry)
        yield entry
    if count >= _MAX16 or size >= _MAX32 or at >= _MAX32:
        yield _END64.pack(_END64_MARK, _END64.size - 12, _UNIX | _ZIP64, _ZIP64, 0, 0, count, count, size, at)
        yield _LOCATOR.pack(_LOCATOR_MARK, 0, at + size, 1)
    shown = min(count, _MAX16)
    yield _END.pack(_END_MARK, 0, 0, shown, shown, min(size, _MAX32), min(at, _MAX32), 0)


def _central(member: Member) -> bytes:
    far = struct.pack("<HHQ", 1, 8, member.at) if member.at >= _MAX32 else b""
    needed = _ZIP64 if far else _PLAIN
    head = _CENTRAL.pack(
        _CENTRAL_MARK, _UNIX | needed, needed, 0, 0, 0, _DATE, member.crc, member.size, member.size,
        len(member.name), len(far), 0, 0, 0, _FILE, min(member.at, _MAX32),
    )  # fmt: skip
    return head + member.name.encode("ascii") + far
