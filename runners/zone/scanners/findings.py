# SPDX-License-Identifier: Apache-2.0
"""What scanners share: findings, limits, bounded reading.  A scanner understands a whole file or says it does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import IO, Any, BinaryIO

_MOST = 100
_CHUNK = 1 << 20


class Severity(StrEnum):
    """A danger fails the scan; a note is for the reader."""

    DANGER = "danger"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a scanner saw, where (member, line, tensor, offset), and what it means."""

    severity: Severity
    code: str
    place: str
    message: str


@dataclass(frozen=True, slots=True)
class Limits:
    """What a scan may take.  Sizes in bytes."""

    file_bytes: int = 512 << 20  # of files that must be held in memory; safetensors and GGUF stream
    header_bytes: int = 64 << 20
    expanded_bytes: int = 1 << 30  # all members of an archive together, or a compressed file
    members: int = 10_000
    ratio: int = 200  # of compression; random weights stay near 1, bombs are above 1000
    depth: int = 64
    memory_bytes: int = 6 << 30  # address space of the sandbox


class Unreadable(Exception):
    """The file is not what its format says; the message names the place.  Never leaves the scanners."""


@dataclass
class Found:
    """What a scanner found so far."""

    findings: list[Finding] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    def danger(self, code: str, place: str, message: str) -> None:
        """Record something that fails the scan."""
        self._add(Finding(Severity.DANGER, code, _short(place), message))

    def note(self, code: str, place: str, message: str) -> None:
        """Record something worth knowing."""
        self._add(Finding(Severity.NOTE, code, _short(place), message))

    def _add(self, finding: Finding) -> None:
        dangers_left = finding.severity is Severity.DANGER and not self.is_dangerous
        if len(self.findings) < _MOST or dangers_left:
            self.findings.append(finding)

    @property
    def is_dangerous(self) -> bool:
        """Whether anything found fails the scan."""
        return any(one.severity is Severity.DANGER for one in self.findings)


Scanner = Callable[[str, BinaryIO, Limits, Found], None]


def whole(stream: IO[bytes], limit: int) -> bytes:
    """Read everything; raises `Unreadable` above *limit* bytes."""
    data = bytearray()
    while chunk := stream.read(_CHUNK):
        data += chunk
        if len(data) > limit:
            raise Unreadable(f"more than {limit} bytes, which is more than this scan reads")
    return bytes(data)


def exactly(stream: BinaryIO, count: int) -> bytes:
    """Read *count* bytes; raises `Unreadable` when there are fewer."""
    data = bytearray()
    while len(data) < count:
        chunk = stream.read(min(_CHUNK, count - len(data)))
        if not chunk:
            raise Unreadable("the file ends too early")
        data += chunk
    return bytes(data)


def rest_of(stream: BinaryIO) -> int:
    """Read to the end and return how many bytes there were."""
    count = 0
    while chunk := stream.read(_CHUNK):
        count += len(chunk)
    return count


def _short(text: str) -> str:
    """Make a name of a stranger's file fit for a report."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[:200])
