# SPDX-License-Identifier: Apache-2.0
"""Where a blob is written before it is one: locked temporary files, durable names, a quota, sweeping.

The lock is the kernel's (flock), so it ends with the process that held it, however that ended; a sweep removes
exactly the files that nobody is writing any more, also when several processes share the store.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from khatim.errors import AlreadyExists, StoreFull, Unavailable

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_REMEASURE = 16 << 20


@contextlib.contextmanager
def failures_as_ours() -> Iterator[None]:
    """Turn a full disk into `StoreFull` and other disk failures into `Unavailable`; absence and existence pass."""
    try:
        yield
    except (FileNotFoundError, FileExistsError):
        raise
    except OSError as error:
        if error.errno in _FULL:
            raise StoreFull("the zone's store has no room left; nothing was kept") from error
        raise Unavailable("the zone's store cannot be used: " + (error.strerror or "disk failure")) from error


def sync_folder(folder: Path) -> None:
    """Make the names in *folder* durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_once(path: Path, data: bytes) -> None:
    """Write a private file that must not exist yet: whole and durable, or not at all; raises `AlreadyExists`."""
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        os.link(part, path)
        sync_folder(path.parent)
    except FileExistsError as error:
        raise AlreadyExists("there is a file of this name already") from error
    finally:
        part.unlink(missing_ok=True)


class Staging:
    """The folder of files being written, and the quota (bytes on disk) that they and the blobs share."""

    def __init__(self, folder: Path, *, beside: Path, capacity_bytes: int | None) -> None:
        """Stage in *folder* for publication in *beside*, which must be on the same file system."""
        self._folder = folder
        self._beside = beside
        self._capacity = capacity_bytes

    @contextlib.contextmanager
    def file(self) -> Iterator[Part]:
        """Give a new, locked temporary file; it is gone afterwards unless it was published."""
        with failures_as_ours():
            self._folder.mkdir(exist_ok=True, mode=0o700)
            path, descriptor = self._create()
        part = Part(path, descriptor, self)
        try:
            yield part
        finally:
            os.close(descriptor)
            path.unlink(missing_ok=True)

    def _create(self) -> tuple[Path, int]:
        while True:
            path = self._folder / f"{uuid.uuid4().hex}.part"
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                return path, descriptor
            os.close(descriptor)  # swept by another process between its making and its lock

    def sweep(self) -> int:
        """Remove the files of writers that are no more; returns how many."""
        removed = 0
        for path in self._folder.glob("*.part"):
            with contextlib.suppress(FileNotFoundError):
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
                    removed += 1
                except BlockingIOError:
                    continue
                finally:
                    os.close(descriptor)
        return removed

    def room(self) -> int | None:
        """Return how many bytes the quota still allows on disk (negative when over), None without a quota."""
        if self._capacity is None:
            return None
        return self._capacity - _bytes_in(self._beside) - _bytes_in(self._folder)


class Part:
    """One file being written."""

    def __init__(self, path: Path, descriptor: int, staging: Staging) -> None:
        """Use `Staging.file`."""
        self._path = path
        self._descriptor = descriptor
        self._staging = staging
        self._room = staging.room()
        self._since_measured = 0

    def write(self, data: bytes | memoryview) -> None:
        """Append all of *data*; raises `StoreFull`."""
        if self._room is not None and self._since_measured + len(data) > min(self._room, _REMEASURE):
            # Others write too: what was measured before is only a guess by now.
            self._room, self._since_measured = self._staging.room(), 0
            if self._room is not None and len(data) > self._room:
                raise StoreFull("the quota of the zone's store is used up; nothing was kept")
        self._since_measured += len(data)
        rest = memoryview(data)
        with failures_as_ours():
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]

    def sync(self) -> None:
        """Make the bytes durable."""
        with failures_as_ours():
            os.fsync(self._descriptor)

    def reader(self) -> BinaryIO:
        """Open what was written for reading."""
        return self._path.open("rb")

    def publish(self, target: Path) -> None:
        """Give the file its final name, durably; an older file of that name is replaced in one step."""
        room = self._staging.room()
        if room is not None and room < 0:
            raise StoreFull("the quota of the zone's store is used up; nothing was kept")
        with failures_as_ours():
            if not target.parent.is_dir():
                target.parent.mkdir(exist_ok=True, mode=0o700)
                sync_folder(target.parent.parent)
            self._path.replace(target)
            sync_folder(target.parent)


def _bytes_in(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += (Path(place) / name).stat().st_size
    return total
