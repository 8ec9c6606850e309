# SPDX-License-Identifier: Apache-2.0
"""Scanning the files of a model version: what a file is, what it may be used for, and what a look inside found.

`scan_in_sandbox` is what the agent uses: another process, without the store's key, with a bound on time, memory and
files written, gets the bytes through a pipe, so that no plaintext touches the disk and a hostile file can break
nothing but its own scan.  A scan that ends in any way but a clean report has failed.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO, Literal, cast

from khatim.vocabulary import FileRole
from policies.facts import Verdict
from policies.formats import HEAD_BYTES, Formats, FormatVerdict
from runners.zone.scan_process import look, look_in_child
from runners.zone.scanners.findings import Finding, Found, Limits
from runners.zone.streams import Readable

Opener = Callable[[], BinaryIO]
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What a scan says of one file.

    `verdict` is the scan's; `use` is the policy's (servable, record-only, refused), with its rule and advice.  A file
    may be promoted when it passed and is servable.  `details` is JSON, different for each format.
    """

    path: str
    format: str
    use: str
    rule: str
    verdict: Literal["passed", "failed"]
    findings: tuple[Finding, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
    scanner: str = ""
    runner: str = ""
    advice: str = ""

    @property
    def is_servable(self) -> bool:
        """Whether the file may be part of a version that is promoted."""
        return self.verdict == "passed" and self.use == Verdict.SERVABLE

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values, for statements and jobs' results."""
        return asdict(self)


def scan(
    path: str, opener: Opener, formats: Formats, *, role: FileRole | None = None, limits: Limits | None = None
) -> ScanReport:
    """Scan the file *path* whose bytes *opener* gives, in this process; for files one trusts not to harm it."""
    with opener() as stream:
        head = _head(stream)
        says = formats.classify(path, head, role)
        if refused := _refused(path, says):
            return refused
        whole = cast("BinaryIO", io.BufferedReader(Readable(_chunks(head, stream)), _CHUNK))
        found = look(says.scanner, path, whole, limits or Limits())
    return _report(path, says, found)


def scan_in_sandbox(  # noqa: PLR0913 - the file, the rules and the bounds
    path: str,
    opener: Opener,
    formats: Formats,
    *,
    role: FileRole | None = None,
    timeout_s: float = 120,
    limits: Limits | None = None,
) -> ScanReport:
    """Scan the file *path* in a process of its own; time over (seconds) or a crash is a failed scan.

    Raises what *opener*'s stream raises (a spoiled blob is `VerificationFailed`, not a finding about the model).
    """
    with opener() as stream:
        head = _head(stream)
        says = formats.classify(path, head, role)
        if refused := _refused(path, says):
            return refused
        found = look_in_child(says.scanner, path, _chunks(head, stream), limits or Limits(), timeout_s)
    return _report(path, says, found)


def _head(stream: BinaryIO) -> bytes:
    head = b""
    while len(head) < HEAD_BYTES and (more := stream.read(HEAD_BYTES - len(head))):
        head += more
    return head


def _refused(path: str, says: FormatVerdict) -> ScanReport | None:
    if says.verdict is not Verdict.REFUSED:
        return None
    found = Found()
    found.danger("format-refused", path, says.reason)
    return _report(path, says, found)


def _report(path: str, says: FormatVerdict, found: Found) -> ScanReport:
    return ScanReport(
        path=path,
        format=says.format,
        use=says.verdict.value,
        rule=says.rule,
        verdict="failed" if found.is_dangerous else "passed",
        findings=tuple(found.findings),
        details=found.details,
        scanner=says.scanner,
        runner=says.runner,
        advice=says.advice,
    )


def _chunks(head: bytes, stream: BinaryIO) -> Generator[bytes]:
    yield head
    while chunk := stream.read(_CHUNK):
        yield chunk
