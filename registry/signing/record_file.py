# SPDX-License-Identifier: Apache-2.0
"""The file of an authority's public record: read, and replaced as a whole, under a lock."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from khatim.errors import Misconfigured
from registry.signing.keys import flush
from registry.signing.record import Change, PublicRecord

RECORD = "authority.json"


def load(folder: Path) -> PublicRecord:
    """Read the public record in *folder*; raises `Misconfigured`."""
    try:
        return PublicRecord.loads((folder / RECORD).read_text("utf-8"))
    except OSError as wrong:
        raise Misconfigured(
            f"there is no signing authority in {folder.name}: {wrong.strerror}",
            advice="Found one (khatim authority create), or bring it back from its recovery kit.",
        ) from wrong


@contextmanager
def changing(folder: Path) -> Iterator[Callable[[PublicRecord], None]]:
    """Hold the record's lock; what is given to the yielded function becomes the record, durably and at once."""
    load(folder)
    descriptor = os.open(folder / "record.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield lambda record: _store(folder, record)
    finally:
        os.close(descriptor)


def note(folder: Path, change: Change) -> None:
    """Add something that was done to the authority to its history."""
    with changing(folder) as store:
        record = load(folder)
        store(replace(record, history=(*record.history, change)))


def _store(folder: Path, record: PublicRecord) -> None:
    draft = folder / f"{RECORD}.new"
    try:
        draft.write_text(record.dumps(), "utf-8")
        flush(draft)
        draft.replace(folder / RECORD)
        flush(folder)
    except OSError as wrong:
        raise Misconfigured(f"the authority's record cannot be written: {wrong.strerror}") from wrong
