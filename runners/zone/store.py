# SPDX-License-Identifier: Apache-2.0
"""The zone's encrypted store, and the only importer of Tink.

Blobs are named by the SHA-256 of their plaintext and encrypted with the zone's own key (AES-256-GCM-HKDF streaming
AEAD, 1 MiB segments); zone and digest are the associated data, so a file moved under another name or into another
zone does not open.  The names stay plain digests on purpose: the registry publishes them anyway, and an operator can
compare the folder with the ledger without the key.  Whoever reads the folder learns which known files a zone holds,
never what is in an unknown one.

A blob appears by one atomic rename after its bytes are on disk: there is no half blob.  What a crash leaves behind
lies in ``staging/`` encrypted, is never read, and is swept when the store is next opened.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import uuid
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self, cast

import tink
from tink import json_proto_keyset_format, secret_key_access, streaming_aead

from khatim.errors import (
    AlreadyExists,
    Misconfigured,
    NotFound,
    TooLarge,
    Unavailable,
    VerificationFailed,
)
from khatim.vocabulary import Digest, is_name
from runners.zone.staging import Part, Staging, failures_as_ours, sync_folder, write_once
from runners.zone.streams import Readable, Sink

FORMAT = "khatim-zone-store/1"
KEY_FILE = "zone.key"
CHUNK = 1 << 20
# The shape of Tink's AES-GCM-HKDF streaming ciphertext: length byte, salt and nonce prefix; then a tag per segment.
_HEADER, _TAG, _SEGMENT = 40, 16, 1 << 20
_PRIVATE = 0o077


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A blob that is durably in the store: the digest and the size in bytes of its plaintext."""

    digest: Digest
    size: int


class ZoneStore:
    """The encrypted, content-addressed store of one zone.  Safe for several threads and several processes."""

    def __init__(self, folder: Path, zone: str, primitive: Any, capacity_bytes: int | None) -> None:
        """Use `create`, `open` or `ensure`."""
        self.folder = folder
        self.zone = zone
        self._primitive = primitive
        self._blobs = folder / "blobs"
        self._staging = Staging(folder / "staging", beside=self._blobs, capacity_bytes=capacity_bytes)

    @classmethod
    def create(
        cls, folder: Path, zone: str, *, key_file: Path | None = None, capacity_bytes: int | None = None
    ) -> Self:
        """Make a store with a new key; raises `AlreadyExists` when the zone has one here.

        *key_file* (default ``folder/zone.key``, mode 0600) may lie on another disk than the data.  *capacity_bytes*
        bounds what all blobs together may take on disk; None means the disk itself is the bound.
        """
        if not is_name(zone):
            raise Misconfigured(f"{zone[:80]!r} is not the name of a zone")
        where = key_file or folder / KEY_FILE
        streaming_aead.register()
        handle = tink.new_keyset_handle(streaming_aead.streaming_aead_key_templates.AES256_GCM_HKDF_1MB)
        keyset = json.loads(json_proto_keyset_format.serialize(handle, secret_key_access.TOKEN))
        with failures_as_ours():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_once(where, json.dumps({"format": FORMAT, "zone": zone, "keyset": keyset}, indent=2).encode())
        return cls.open(folder, zone, key_file=key_file, capacity_bytes=capacity_bytes)

    @classmethod
    def open(cls, folder: Path, zone: str, *, key_file: Path | None = None, capacity_bytes: int | None = None) -> Self:
        """Open a zone's store and sweep what crashed writers left; raises `NotFound` or `Misconfigured`."""
        where = key_file or folder / KEY_FILE
        try:
            mode = where.stat().st_mode
            found = json.loads(where.read_bytes())
            format_, owner, keyset = found["format"], found["zone"], json.dumps(found["keyset"])
        except FileNotFoundError as error:
            raise NotFound(f"zone {zone!r} has no key at this place") from error
        except (ValueError, KeyError, TypeError) as error:
            raise Misconfigured("the key file of the zone store cannot be read") from error
        if mode & _PRIVATE:
            raise Misconfigured("the key file of the zone store is open to others", advice=f"chmod 600 {where.name}")
        if format_ != FORMAT or owner != zone:
            raise Misconfigured(f"this store belongs to zone {owner!r} ({format_}), not to {zone!r}")
        streaming_aead.register()
        try:
            handle = json_proto_keyset_format.parse(keyset, secret_key_access.TOKEN)
            primitive = handle.primitive(streaming_aead.StreamingAead)
        except tink.TinkError as error:
            raise Misconfigured("the key of the zone store cannot be used") from error
        store = cls(folder, zone, primitive, capacity_bytes)
        with failures_as_ours():
            store._blobs.mkdir(exist_ok=True, mode=0o700)
            store._staging.sweep()
        return store

    @classmethod
    def ensure(
        cls, folder: Path, zone: str, *, key_file: Path | None = None, capacity_bytes: int | None = None
    ) -> Self:
        """Open the zone's store, making it first when there is none."""
        with contextlib.suppress(AlreadyExists):
            return cls.create(folder, zone, key_file=key_file, capacity_bytes=capacity_bytes)
        return cls.open(folder, zone, key_file=key_file, capacity_bytes=capacity_bytes)

    def put(self, chunks: Iterable[bytes], *, expect: Digest | None = None, max_size: int) -> StoredBlob:
        """Store the bytes of *chunks* as they come; the blob is durable when this returns.

        Raises `VerificationFailed` when they are not those of *expect*, `TooLarge` above *max_size* bytes and
        `StoreFull` when disk or quota end; then, and when *chunks* raises, nothing is kept.  Storing what is there
        already replaces it with the same content.
        """
        with self._staging.file() as part:
            place = str(expect) if expect else f"staging:{uuid.uuid4()}"
            stored = self._encrypt(chunks, part, place, max_size)
            if expect is None:
                # The name is known only now, and it must be bound: once more from ciphertext to ciphertext.
                with self._staging.file() as final:
                    with contextlib.closing(self._decrypt(part.reader(), place)) as again:
                        self._encrypt(again, final, str(stored.digest), stored.size)
                    final.publish(self._path(stored.digest))
                return stored
            if stored.digest != expect:
                raise VerificationFailed(
                    "the bytes are not those of the digest; nothing was kept",
                    expected=str(expect),
                    found=str(stored.digest),
                )
            part.publish(self._path(stored.digest))
            return stored

    def chunks(self, digest: Digest, *, start: int = 0) -> Generator[bytes]:
        """Return the plaintext from byte *start* on, each segment authenticated before it is given out.

        Raises `NotFound` at once; `VerificationFailed` at the segment where the ciphertext was changed or cut, and
        at the end when the whole is not what its digest says.  Close the generator if you stop early.
        """
        self.size_of(digest)
        return self._verified(digest, start)

    def stream(self, digest: Digest) -> BinaryIO:
        """Return the plaintext as a readable, not seekable stream; raises as `chunks` does."""
        return cast("BinaryIO", io.BufferedReader(Readable(self.chunks(digest)), CHUNK))

    def read(self, digest: Digest, *, max_size: int) -> bytes:
        """Return the whole plaintext, verified; raises `TooLarge` above *max_size* bytes, else as `chunks` does."""
        if self.size_of(digest) > max_size:
            raise TooLarge(f"{digest} has more than {max_size} bytes", max_size=max_size)
        return b"".join(self.chunks(digest))

    def has(self, digest: Digest) -> bool:
        """Whether the blob is in the store."""
        return self._path(digest).is_file()

    def size_of(self, digest: Digest) -> int:
        """Return the size of the plaintext in bytes, computed from that of the ciphertext; raises `NotFound`."""
        try:
            length = self._path(digest).stat().st_size
        except FileNotFoundError as error:
            raise NotFound(f"{digest} is not in the store of zone {self.zone!r}") from error
        return max(0, length - _HEADER - _TAG * -(-length // _SEGMENT))

    def digests(self) -> Iterator[Digest]:
        """Return what the store holds, in no order."""
        for path in self._blobs.glob("[0-9a-f][0-9a-f]/*"):
            with contextlib.suppress(ValueError):
                yield Digest(path.name)

    def delete(self, digest: Digest) -> None:
        """Remove a blob durably; raises `NotFound`."""
        path = self._path(digest)
        try:
            with failures_as_ours():
                path.unlink()
                sync_folder(path.parent)
        except FileNotFoundError as error:
            raise NotFound(f"{digest} is not in the store of zone {self.zone!r}") from error

    def _path(self, digest: Digest) -> Path:
        return self._blobs / digest.hex[:2] / digest.hex

    def _associated(self, place: str) -> bytes:
        return f"{FORMAT}\0{self.zone}\0{place}".encode()

    def _encrypt(self, chunks: Iterable[bytes], part: Part, place: str, max_size: int) -> StoredBlob:
        sink, hasher, size = Sink(part), hashlib.sha256(), 0
        try:
            stream = self._primitive.new_encrypting_stream(sink, self._associated(place))
            for chunk in chunks:
                size += len(chunk)
                if size > max_size:
                    raise TooLarge(f"more than {max_size} bytes; nothing was kept", max_size=max_size)
                hasher.update(chunk)
                stream.write(chunk)
            stream.close()
        except tink.TinkError as error:
            raise sink.failure or Unavailable("the zone's store cannot encrypt") from error
        finally:
            sink.abandon()
        part.sync()
        return StoredBlob(Digest(hasher.hexdigest()), size)

    def _decrypt(self, source: BinaryIO, place: str) -> Generator[bytes]:
        with source:
            try:
                with self._primitive.new_decrypting_stream(source, self._associated(place)) as stream:
                    while chunk := stream.read(CHUNK):
                        yield chunk
            except tink.TinkError as error:
                raise VerificationFailed(f"the stored bytes of {place} were changed or cut", digest=place) from error

    def _verified(self, digest: Digest, start: int) -> Generator[bytes]:
        try:
            source = self._path(digest).open("rb")
        except FileNotFoundError as error:
            raise NotFound(f"{digest} is not in the store of zone {self.zone!r}") from error
        hasher, skip = hashlib.sha256(), start
        with contextlib.closing(self._decrypt(source, str(digest))) as plain:
            for chunk in plain:
                hasher.update(chunk)
                if skip < len(chunk):
                    yield chunk[skip:]
                skip = max(0, skip - len(chunk))
        # Only a holder of the key could have written such a file; the digest is the promise all the same.
        if hasher.hexdigest() != digest.hex:
            raise VerificationFailed(f"the stored bytes are not those of {digest}", digest=str(digest))
