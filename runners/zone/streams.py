# SPDX-License-Identifier: Apache-2.0
"""Files as Tink and readers want them: a sink that keeps our error, and a generator of bytes as a stream."""

from __future__ import annotations

import io
from collections.abc import Generator

from typing_extensions import Buffer

from khatim.errors import KhatimError
from runners.zone.staging import Part


class Sink(io.RawIOBase):
    """Where Tink writes.  Tink turns every exception into its own, so ours is kept here to be raised again."""

    def __init__(self, part: Part) -> None:
        """Write to *part* until `abandon`."""
        self._part: Part | None = part
        self.failure: KhatimError | None = None

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, data: Buffer) -> int:
        """Write all of *data*; what it raises is kept in `failure`."""
        view = memoryview(data)
        if self._part is not None:  # after the end, Tink's finaliser may still flush what must not be kept
            try:
                self._part.write(view)
            except KhatimError as error:
                self.failure = error
                raise
        return view.nbytes

    def abandon(self) -> None:
        """Let nothing through from now on."""
        self._part = None


class Readable(io.RawIOBase):
    """A generator of bytes as a stream."""

    def __init__(self, chunks: Generator[bytes]) -> None:
        """Read *chunks*, and close them with the stream."""
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Fill *buffer* as far as the next chunk goes; 0 at the end."""
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        target = memoryview(buffer).cast("B")
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        """Close the generator too."""
        self._chunks.close()
        super().close()
