# SPDX-License-Identifier: Apache-2.0
"""A witness (C2SP tlog-witness): somebody else who remembers how far a log grew, and cosigns only what continues it.

It needs no database and none of the registry's parts: a folder, a key, and the verifier keys of the logs it watches.
What it cosigned is on the disk before the cosignature leaves, so that a crash can only make it forget an answer, never
what it knows.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path

from audit.checkpoint import Checkpoint, NoteVerifier, held_signatures, open_note, unbase64
from audit.cosignatures import Cosigner, cosigned_by
from audit.merkle import EMPTY_ROOT, verify_consistency
from khatim.errors import LedgerInvalid, Misconfigured, Unavailable

PROOF_MAX = 63  # tlog-witness: the client must not send more lines
BODY_MAX = 262_144  # a checkpoint with a hundred ML-DSA-44 cosignatures does not come near it
TEXT = "text/plain; charset=utf-8"
SIZE = "text/x.tlog.size"
_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})\Z")


@dataclass(frozen=True, slots=True)
class Reply:
    """What the witness answers: an HTTP status, a body and its type."""

    status: HTTPStatus
    body: str
    media_type: str = TEXT


@dataclass(frozen=True, slots=True)
class Submission:
    """The body of an ``add-checkpoint`` request, read but not believed."""

    old: int
    proof: tuple[bytes, ...]
    note: str
    checkpoint: Checkpoint

    @classmethod
    def parse(cls, body: bytes) -> Submission:
        """Read *body*; raises `LedgerInvalid` if it is not in the one form of the specification."""
        try:
            text = body.decode()
        except UnicodeDecodeError as wrong:
            raise LedgerInvalid("the request is not UTF-8", place="request") from wrong
        head, blank, note = text.partition("\n\n")
        first, *proof = head.split("\n")
        old = _OLD.match(first)
        if not blank or old is None:
            raise LedgerInvalid("the request does not begin with an old size and its proof", place="request")
        if len(proof) > PROOF_MAX:
            raise LedgerInvalid(f"the proof has {len(proof)} lines, more than {PROOF_MAX}", place="request")
        hashes = tuple(unbase64(line, "a line of the proof") for line in proof)
        return cls(int(old[1]), hashes, note, Checkpoint.parse(note.rpartition("\n\n")[0] + "\n"))


class WitnessStore:
    """The latest cosigned checkpoint of each log, one file each, replaced in one step under a lock of its own."""

    def __init__(self, folder: Path) -> None:
        """Take the folder; it is made if need be.  Raises `Misconfigured` if it cannot be."""
        self._folder = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as wrong:
            raise Misconfigured(f"{folder} cannot be a witness's folder: {wrong.strerror}") from wrong

    @contextmanager
    def alone(self, origin: str) -> Iterator[None]:
        """Hold the log *origin*: nobody else, thread or process, compares or replaces its checkpoint meanwhile."""
        # A fresh descriptor each time: flock then keeps threads apart too.
        with (self._folder / f"{named(origin)}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def latest(self, origin_hash: str) -> str | None:
        """Return the cosigned note of a log, None before the first."""
        try:
            return (self._folder / f"{origin_hash}.checkpoint").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as wrong:
            raise Unavailable(f"the witness's record cannot be read: {wrong}") from wrong

    def save(self, origin: str, note: str) -> None:
        """Put *note* in the place of the one before; when this returns, a power cut does not take it back."""
        path = self._folder / f"{named(origin)}.checkpoint"
        draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            with draft.open("x", encoding="utf-8") as file:
                file.write(note)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
            descriptor = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)  # the new name itself
            finally:
                os.close(descriptor)
        except OSError as wrong:
            raise Unavailable(f"the witness's record cannot be written: {wrong.strerror}") from wrong
        finally:
            draft.unlink(missing_ok=True)


def named(origin: str) -> str:
    """Return the name under which a log's checkpoint is kept and served: SHA-256 of the origin, in hexadecimal."""
    return sha256(origin.encode()).hexdigest()


class Witness:
    """Cosigns the checkpoints of known logs, each continuing the one before; safe for threads and for processes."""

    def __init__(
        self,
        store: WitnessStore,
        cosigners: Sequence[Cosigner],
        logs: Mapping[str, Sequence[NoteVerifier]],
        clock: Callable[[], datetime],
    ) -> None:
        """Take the record, the keys that cosign (at least one), the keys trusted for each origin, and the clock."""
        if not cosigners:
            raise Misconfigured("a witness needs a key", advice="Make one: khatim witness keygen DIR --name NAME")
        self._store, self._cosigners, self._clock = store, tuple(cosigners), clock
        self._logs = {origin: tuple(keys) for origin, keys in logs.items()}

    def checkpoint(self, origin_hash: str) -> Reply:
        """Answer a monitor: the latest checkpoint, with the log's signature and the witness's (404 before one)."""
        note = self._store.latest(origin_hash) if origin_hash in map(named, self._logs) else None
        return Reply(HTTPStatus.OK, note) if note else Reply(HTTPStatus.NOT_FOUND, "no such checkpoint\n")

    def add_checkpoint(self, body: bytes) -> Reply:
        """Answer a log that hands in its next checkpoint; 200 with cosignatures, or the status that says why not.

        Raises `Unavailable` when the record cannot be read or written, or the clock runs behind it.
        """
        try:
            asked = Submission.parse(body)
        except LedgerInvalid as wrong:
            return _no(HTTPStatus.BAD_REQUEST, str(wrong))
        keys = self._logs.get(asked.checkpoint.origin)
        if keys is None:
            return _no(HTTPStatus.NOT_FOUND, "this log is not known here")
        try:
            text = open_note(asked.note, keys)
        except LedgerInvalid as wrong:
            return _no(HTTPStatus.FORBIDDEN, str(wrong))
        if asked.old > asked.checkpoint.size:
            return _no(HTTPStatus.BAD_REQUEST, "the old size is larger than the checkpoint's")
        with self._store.alone(asked.checkpoint.origin):
            return self._compare_and_swap(asked, text, keys)

    def _compare_and_swap(self, asked: Submission, text: str, keys: Sequence[NoteVerifier]) -> Reply:
        origin = asked.checkpoint.origin
        known, since = self._known(origin)
        if asked.old != known.size:
            return Reply(HTTPStatus.CONFLICT, f"{known.size}\n", SIZE)
        fault = _fault(asked, known)
        if fault:
            return _no(HTTPStatus.UNPROCESSABLE_ENTITY, fault)
        now = self._clock()
        if since and int(now.timestamp()) < int(since.timestamp()):
            raise Unavailable("the witness's clock runs behind its last cosignature")
        lines = "".join(cosigner.cosign(text, now) for cosigner in self._cosigners)
        held = "".join(one.line for one in held_signatures(asked.note, keys)[1])
        self._store.save(origin, f"{text}\n{held}{lines}")
        return Reply(HTTPStatus.OK, lines)

    def _known(self, origin: str) -> tuple[Checkpoint, datetime | None]:
        """Return the checkpoint cosigned last and when; an empty tree before the first."""
        note = self._store.latest(named(origin))
        if note is None:
            return Checkpoint(origin, 0, EMPTY_ROOT), None
        # It is ours: a record that somebody else changed, or the disk, must not be gone on from.
        try:
            moments = cosigned_by(note, [cosigner.verifier for cosigner in self._cosigners])
            known = Checkpoint.parse(note.rpartition("\n\n")[0] + "\n")
        except LedgerInvalid as wrong:
            raise Unavailable(f"the witness's record of {origin} is damaged: {wrong}") from wrong
        if not moments or known.origin != origin:
            raise Unavailable(f"the witness's record of {origin} is not signed with a key that it has")
        return known, max(moments.values())


def _fault(asked: Submission, known: Checkpoint) -> str:
    """Return why the checkpoint does not continue the *known* one; nothing if it does."""
    found = asked.checkpoint
    if found.size == 0 and found.root != EMPTY_ROOT:
        return "the root of an empty log is the hash of nothing"
    try:
        verify_consistency(known.size, known.root, found.size, found.root, asked.proof)
    except LedgerInvalid as wrong:
        return str(wrong)
    return ""


def _no(status: HTTPStatus, why: str) -> Reply:
    return Reply(status, f"{why}\n")
