# SPDX-License-Identifier: Apache-2.0
"""The signature log: every signature this authority helped to make, in a Merkle tree with signed checkpoints.

Its answers have the shape of Rekor v2 (hashedrekord 0.0.2, no promise, a proof at once), so outside verifiers read
them.  It has its own key and origin, apart from the audit ledger's.

On disk: ``entries``, append-only frames of length, leaf hash and body; ``checkpoint``, the last one signed; ``lock``.
Each append takes the lock (flock, so several processes may share the folder), reads what others appended, writes
one frame, and flushes it to the disk before it answers.  A frame cut short by a crash was never answered: it is
cut off.
"""

from __future__ import annotations

import fcntl
import os
import struct
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.canonical import canonical
from audit.checkpoint import Checkpoint, NoteSigner, open_checkpoint, sign_checkpoint
from audit.merkle import Tree, leaf_hash
from audit.tiles import ENTRY_MAX
from khatim.errors import AlreadyExists, LedgerInvalid, Malformed, Misconfigured, StoreFull, Unavailable
from registry.signing.bundle import KIND, KIND_VERSION
from registry.signing.encoding import b64

_HEADER = struct.Struct("!I32s")  # length of the body, leaf hash
_FRAME_MAX = _HEADER.size + ENTRY_MAX
_FLAGS = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
_MODE = 0o600


def log_id(origin: str, public: bytes) -> bytes:
    """Return the id of a log (32 bytes): SHA-256 over origin, newline, signature type Ed25519 and the public key."""
    return sha256(origin.encode() + b"\n\x01" + public).digest()


class SignatureLog:
    """One log in one folder; safe for several threads and several processes."""

    def __init__(self, folder: Path, origin: str, key: Ed25519PrivateKey) -> None:
        """Open an existing log: raises `LedgerInvalid` if it lost entries, `Misconfigured` if it is not there."""
        self.origin = origin
        self.id = log_id(origin, key.public_key().public_bytes_raw())
        self._folder = folder
        self._signer = NoteSigner(origin, key)
        try:
            self._file = os.open(folder / "entries", _FLAGS)
        except OSError as wrong:
            raise Misconfigured(
                f"the signature log {origin} cannot be opened: {wrong.strerror}",
                advice="Bring back the authority's folder from its backup; a new log would deny the old signatures.",
            ) from wrong
        self._tree = Tree()
        self._starts = array("Q")  # where the frame of each entry starts
        self._end = 0
        try:
            with self._locked():
                self._check_against_last_checkpoint()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)

    @classmethod
    def create(cls, folder: Path, origin: str, key: Ed25519PrivateKey) -> SignatureLog:
        """Start a log; raises `AlreadyExists`.  Entry 0 only names it, so that every real entry has an index above 0.

        (Go's JSON leaves out a zero index, and sigstore-python refuses a bundle without one: trust.md A1, defect 3.)
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            os.close(os.open(folder / "entries", _FLAGS | os.O_CREAT | os.O_EXCL, _MODE))
        except FileExistsError as there:
            raise AlreadyExists(f"there is a signature log in {folder.name} already") from there
        log = cls(folder, origin, key)
        log.append(canonical({"apiVersion": "0.0.1", "kind": "genesis", "spec": {"origin": origin, "vkey": log.vkey}}))
        return log

    @property
    def vkey(self) -> str:
        """The verifier key of the log's checkpoints (C2SP signed-note)."""
        return self._signer.vkey

    def append(self, body: bytes) -> dict[str, Any]:
        """Add an entry; return its TransparencyLogEntry (protobuf JSON) with proof and checkpoint.

        When this returns the entry is on the disk.  Raises `StoreFull` if there is no room; nothing is kept then.
        """
        if not 0 < len(body) <= ENTRY_MAX:
            raise Malformed(f"an entry of the signature log has 1 to {ENTRY_MAX} bytes, not {len(body)}")
        leaf = leaf_hash(body)
        with self._locked():
            try:
                self._write(_HEADER.pack(len(body), leaf) + body)
            except OSError as wrong:
                os.ftruncate(self._file, self._end)
                raise StoreFull(f"the signature log cannot be written: {wrong.strerror}") from wrong
            index = self._add(leaf, len(body))
            note = self._sign()
            self._save(note)
            return self._proof(index, body, note)

    def prove(self, index: int) -> dict[str, Any]:
        """Return the TransparencyLogEntry of entry *index* in the log as it is now; raises `LedgerInvalid`."""
        with self._locked():
            return self._proof(index, self._body(index), self._sign())

    def checkpoint(self) -> str:
        """Return the signed checkpoint of the log as it is now."""
        with self._locked():
            return self._sign()

    def entries(self) -> Iterator[bytes]:
        """Yield the bodies in order, each checked against its leaf hash; raises `LedgerInvalid` naming the entry."""
        with self._locked():
            size = self._tree.size
        for index in range(size):
            yield self._body(index)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # A fresh descriptor each time: flock then also keeps threads and forked children apart.
        try:
            descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        except OSError as wrong:
            raise Unavailable(f"the signature log {self.origin} cannot be locked: {wrong.strerror}") from wrong
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._catch_up()
            yield
        finally:
            os.close(descriptor)

    def _catch_up(self) -> None:
        """Read the frames that other processes appended; cut off one that a crash left unfinished."""
        size = os.fstat(self._file).st_size
        if size < self._end:
            raise LedgerInvalid(f"the signature log {self.origin} has lost entries", place=f"entry {self._tree.size}")
        while self._end < size:
            length, leaf = self._header(self._end)
            last = self._end + _HEADER.size + length >= size
            # Only the last frame can be torn: every frame before it was flushed before the next was written.
            if 0 < length <= ENTRY_MAX and (not last or leaf_hash(self._read(self._end, length)) == leaf):
                self._add(leaf, length)
                continue
            known = self._last_checkpoint()
            if size - self._end > _FRAME_MAX or (known and known.size > self._tree.size):
                raise LedgerInvalid(f"the signature log {self.origin} is damaged", place=f"entry {self._tree.size}")
            os.ftruncate(self._file, self._end)
            os.fsync(self._file)
            return

    def _last_checkpoint(self) -> Checkpoint | None:
        """Return the checkpoint beside the entries; None if it was never written, or emptied by a power cut."""
        try:
            note = (self._folder / "checkpoint").read_text("utf-8")
        except FileNotFoundError:
            return None
        return open_checkpoint(note, self.origin, [self._signer.verifier]) if note else None

    def _check_against_last_checkpoint(self) -> None:
        known = self._last_checkpoint()
        if known and (known.size > self._tree.size or self._tree.root(known.size) != known.root):
            raise LedgerInvalid(
                f"the signature log {self.origin} does not continue its last checkpoint ({known.size} entries)",
                advice="Bring back the authority's folder from its backup. Do not delete the checkpoint.",
                place="checkpoint",
            )

    def _write(self, frame: bytes) -> None:
        written = 0
        while written < len(frame):
            written += os.pwrite(self._file, frame[written:], self._end + written)
        os.fdatasync(self._file)

    def _add(self, leaf: bytes, length: int) -> int:
        self._starts.append(self._end)
        self._end += _HEADER.size + length
        return self._tree.append(leaf)

    def _sign(self) -> str:
        return sign_checkpoint(Checkpoint(self.origin, self._tree.size, self._tree.root()), self._signer)

    def _save(self, note: str) -> None:
        """Keep the checkpoint: what a later start must continue.  Not flushed; the entries themselves are."""
        new = self._folder / "checkpoint.new"
        try:
            new.write_text(note, "utf-8")
            new.replace(self._folder / "checkpoint")
        except OSError as wrong:
            raise StoreFull(f"the checkpoint of {self.origin} cannot be written: {wrong.strerror}") from wrong

    def _proof(self, index: int, body: bytes, note: str) -> dict[str, Any]:
        size = self._tree.size
        return {
            "logIndex": str(index),
            "logId": {"keyId": b64(self.id)},
            "kindVersion": {"kind": KIND, "version": KIND_VERSION},
            "inclusionProof": {
                "logIndex": str(index),
                "rootHash": b64(self._tree.root()),
                "treeSize": str(size),
                "hashes": [b64(one) for one in self._tree.inclusion_proof(index)],
                "checkpoint": {"envelope": note},
            },
            "canonicalizedBody": b64(body),
        }

    def _body(self, index: int) -> bytes:
        if not 0 <= index < self._tree.size:
            raise LedgerInvalid(f"the signature log {self.origin} has no entry {index}", place=f"entry {index}")
        length, leaf = self._header(self._starts[index])
        body = self._read(self._starts[index], length)
        if leaf_hash(body) != leaf or self._tree.node(0, index) != leaf:
            raise LedgerInvalid(f"entry {index} of the signature log {self.origin} changed", place=f"entry {index}")
        return body

    def _header(self, start: int) -> tuple[int, bytes]:
        raw = os.pread(self._file, _HEADER.size, start)
        length, leaf = _HEADER.unpack(raw.ljust(_HEADER.size, b"\0"))
        return int(length), bytes(leaf)

    def _read(self, start: int, length: int) -> bytes:
        return os.pread(self._file, length, start + _HEADER.size)
