# SPDX-License-Identifier: Apache-2.0
"""Zip archives: every member judged by name, kind and size before a byte of it is expanded."""

from __future__ import annotations

import io
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath

from runners.zone.scanners.findings import Found, Limits, Unreadable, whole

_ENCRYPTED = 0x1


def contents_of(data: bytes, limits: Limits, found: Found) -> Iterator[tuple[str, bytes]]:
    """Yield the members of a zip that are harmless as archive members; the others become findings.

    Not harmless are paths that leave the archive, links, encryption, names that occur twice, and bombs.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            yield from _judged(archive, limits, found)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
        raise Unreadable(f"the archive is broken ({type(error).__name__})") from error


def _judged(archive: zipfile.ZipFile, limits: Limits, found: Found) -> Iterator[tuple[str, bytes]]:
    members = archive.infolist()
    if len(members) > limits.members:
        raise Unreadable(f"the archive has more than {limits.members} members")
    left, seen = limits.expanded_bytes, set[str]()
    for member in members:
        if reason := _wrong(member, limits, seen):
            found.danger("archive-member", member.orig_filename, reason)
            continue
        seen.add(member.filename.casefold())
        if not member.is_dir():
            with archive.open(member) as stream:
                content = whole(stream, left)
            left -= len(content)
            yield member.filename, content


def _wrong(member: zipfile.ZipInfo, limits: Limits, seen: set[str]) -> str:
    name, path = member.orig_filename, PurePosixPath(member.orig_filename)
    checks = (
        (path.is_absolute() or ".." in path.parts or ":" in name, "its path leaves the archive"),
        ("\\" in name or not name.isprintable(), "its path means different things to different readers"),
        (name.casefold() in seen, "the same name occurs twice"),
        (stat.S_ISLNK(member.external_attr >> 16), "it is a link"),
        (bool(member.flag_bits & _ENCRYPTED), "it is encrypted"),
        (member.file_size > limits.expanded_bytes, "it expands to more than a scan reads"),
        (member.file_size > limits.ratio * max(member.compress_size, 1), "it is compressed like a bomb"),
    )
    return next((reason for wrong, reason in checks if wrong), "")
