# SPDX-License-Identifier: Apache-2.0
"""Copies of checkpoints that nobody can overwrite: a folder on write-once storage, or an object store with object lock.

A copy is one file for each checkpoint: the signed note, the cosignatures, and the timestamp after it in base64 on a
line ``timestamp <who> <DER>`` that no reader of notes needs.  `audit.worm_objects` is the object store.
"""

from __future__ import annotations

import base64
import os
import re
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from audit.checkpoint import unbase64
from khatim.errors import LedgerInvalid, Unavailable

FOLDER = "checkpoints"
_NAME = re.compile(r"([0-9]{20})\.note\Z")


class Copies(Protocol):
    """Write-once storage of checkpoints; a `heads.HeadKeeper` too."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def must_answer(self) -> bool:
        """Whether nothing may be signed while it does not answer."""
        ...

    def put(self, size: int, note: str, tokens: Iterable[tuple[str, bytes]]) -> str:
        """Store the checkpoint of *size* and return its address; one that is stored already stays as it is.

        Raises `Unavailable`.
        """
        ...

    def highest(self) -> str | None:
        """Return the note of the largest checkpoint stored, None if there is none; raises `Unavailable`."""
        ...

    def keep(self, note: str) -> None:
        """Do nothing: the publisher stores copies, outside the way of whoever waits for an entry."""


def name_of(size: int) -> str:
    """Return the name under which the checkpoint of *size* is stored; names sort as sizes do."""
    return f"{FOLDER}/{size:020d}.note"


def size_in(name: str) -> int | None:
    """Return the size that a name says; None for another file."""
    found = _NAME.search(name)
    return int(found[1]) if found else None


def written(note: str, tokens: Iterable[tuple[str, bytes]]) -> bytes:
    """Return the bytes of a copy."""
    lines = "".join(f"timestamp {who.replace(' ', '_')} {base64.b64encode(der).decode()}\n" for who, der in tokens)
    return (note + (f"\n{lines}" if lines else "")).encode()


def note_in(data: bytes) -> str:
    """Return the note of a copy."""
    text = data.decode("utf-8", "replace")
    head, _, tail = text.rpartition("\n\n")
    return f"{head}\n" if tail.startswith("timestamp ") else text


def tokens_in(data: bytes) -> tuple[tuple[str, bytes], ...]:
    """Return who gave each timestamp of a copy, and the token (DER); raises `LedgerInvalid` for another line."""
    _, _, tail = data.decode("utf-8", "replace").rpartition("\n\n")
    if not tail.startswith("timestamp "):
        return ()
    found = []
    for line in tail.removesuffix("\n").split("\n"):
        words = line.split(" ")
        if len(words) != 3 or words[0] != "timestamp":  # noqa: PLR2004 - the word, who, and the token
            raise LedgerInvalid("a line after the checkpoint is no timestamp", place="timestamp")
        found.append((words[1], unbase64(words[2], "a timestamp")))
    return tuple(found)


class WriteOnceFolder:
    """A folder of which the file system or its mount keeps that nothing in it is changed or deleted.

    Khatim creates files there and never opens one for writing again; that others cannot is the storage's promise.
    """

    def __init__(self, root: Path, *, must_answer: bool = False) -> None:
        """Take the folder; `checkpoints/` is made in it."""
        self.name = f"folder {root}"
        self.must_answer = must_answer
        self._root = root

    def put(self, size: int, note: str, tokens: Iterable[tuple[str, bytes]]) -> str:
        """Create the file, written through to the disk; one that is there stays as it is."""
        path = self._root / name_of(size)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                return str(path)
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444), "wb") as file:
                file.write(written(note, tokens))
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(draft, path)  # appears whole, and never in the place of another
            except FileExistsError:
                pass
            finally:
                draft.unlink(missing_ok=True)
            descriptor = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as wrong:
            raise Unavailable(f"{self.name} does not take the checkpoint: {wrong.strerror}") from wrong
        return str(path)

    def highest(self) -> str | None:
        """Return the note with the largest size."""
        try:
            names = [one for one in os.listdir(self._root / FOLDER) if size_in(one) is not None]  # noqa: PTH208 - names
            return note_in((self._root / FOLDER / max(names)).read_bytes()) if names else None
        except FileNotFoundError:
            return None
        except OSError as wrong:
            raise Unavailable(f"{self.name} cannot be read: {wrong.strerror}") from wrong

    def keep(self, note: str) -> None:
        """Do nothing, as `Copies.keep`."""
