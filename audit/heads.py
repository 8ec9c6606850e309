# SPDX-License-Identifier: Apache-2.0
"""The ledger's head as it is known outside the database: what a restored backup cannot take back.

A database that was restored, or a standby promoted too early, ends before what was already signed; going on from
there would be a fork.  So whoever signs asks its keepers first: a file beside the keys, witnesses, copies that
nobody can overwrite.  A keeper holds signed notes, so it need not be believed, only asked.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from audit.checkpoint import Checkpoint, NoteVerifier, open_checkpoint
from khatim.errors import LedgerForked, LedgerInvalid, Unavailable


class HeadKeeper(Protocol):
    """Whoever remembers the highest checkpoint of one ledger outside its database."""

    @property
    def name(self) -> str:
        """What people call it: ``file``, ``witness w1.example``."""
        ...

    @property
    def must_answer(self) -> bool:
        """Whether nothing may be signed while it does not answer; otherwise its silence is only logged."""
        ...

    def highest(self) -> str | None:
        """Return the signed note of the largest checkpoint it knows, None if it knows none; raises `Unavailable`."""
        ...

    def keep(self, note: str) -> None:
        """Remember a note that is committed, unless a larger one is known; raises `Unavailable` if it cannot."""
        ...


@dataclass(frozen=True, slots=True)
class KnownHead:
    """A checkpoint that some keeper holds, and which one."""

    keeper: str
    checkpoint: Checkpoint
    note: str


def known_heads(keepers: Iterable[HeadKeeper], verifiers: Iterable[NoteVerifier]) -> tuple[list[KnownHead], list[str]]:
    """Ask every keeper; return the heads, largest first, and a sentence for each keeper that did not answer.

    *verifiers* are those of the ledger's epochs.  Raises `Unavailable` when one that must answer does not, and
    `LedgerForked` for a note that none of them signed: somebody else's head, or a damaged one.
    """
    found, silent = list[KnownHead](), list[str]()
    held = list(verifiers)
    for keeper in keepers:
        try:
            note = keeper.highest()
        except Unavailable as lost:
            if keeper.must_answer:
                raise
            silent.append(f"{keeper.name} does not answer: {lost}")
            continue
        if note is not None:
            found.append(KnownHead(keeper.name, _opened(note, held, keeper.name), note))
    return sorted(found, key=lambda head: head.checkpoint.size, reverse=True), silent


def _opened(note: str, verifiers: list[NoteVerifier], keeper: str) -> Checkpoint:
    origin = _origin(note)
    try:
        return open_checkpoint(note, origin, [one for one in verifiers if one.name == origin])
    except LedgerInvalid as wrong:
        raise LedgerForked(
            f"the head that is kept by {keeper} is not one of this ledger: {wrong}", place="head", keeper=keeper
        ) from wrong


class HeadFile:
    """The highest checkpoint in a file beside the keys, written through to the disk before it counts as kept.

    It is written after the commit, so a normal crash leaves it behind the database, at most by one batch, and never
    ahead: a file that is ahead always means that the database lost something.
    """

    name = "file"
    must_answer = True

    def __init__(self, path: Path) -> None:
        """Take the path of the file; its folder exists."""
        self._path = path

    def highest(self) -> str | None:
        """Return the kept note; None where none was ever kept."""
        try:
            return self._path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unavailable(f"{self._path} cannot be read: {error.strerror}") from error

    def keep(self, note: str) -> None:
        """Put *note* in the place of a smaller one; two sequencers of one machine may do so at once.

        A note of another origin replaces any: whoever opened an epoch has committed to what was known before.
        """
        try:
            with self._alone():
                known = self.highest()
                if known is None or _origin(known) != _origin(note) or _size(note) >= _size(known):
                    self._write(note)
        except OSError as error:
            raise Unavailable(f"{self._path} cannot be written: {error.strerror}") from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        lock = os.open(self._path.with_name(f".{self._path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _write(self, note: str) -> None:
        draft = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}")
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                file.write(note)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
        finally:
            draft.unlink(missing_ok=True)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the new name itself must survive a power cut
        finally:
            os.close(folder)


def _origin(note: str) -> str:
    return note.partition("\n")[0]


def _size(note: str) -> int:
    """Return the size that a note claims; -1 for what is none, which any checkpoint may replace."""
    try:
        return Checkpoint.parse(note.rpartition("\n\n")[0] + "\n").size
    except LedgerInvalid:
        return -1
