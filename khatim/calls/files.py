# SPDX-License-Identifier: Apache-2.0
"""Files on the caller's side: read in pieces, written so that they appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from khatim.errors import Malformed

CHUNK = 1 << 20
Progress = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all (0 when nobody knows)."""


def pieces(file: Path, total: int = 0, progress: Progress | None = None) -> Iterator[bytes]:
    """Yield the bytes of a file; raises `Malformed` when it cannot be read."""
    done = 0
    try:
        with file.open("rb") as source:
            while piece := source.read(CHUNK):
                yield piece
                done += len(piece)
                if progress:
                    progress(done, total)
    except OSError as error:
        raise Malformed(f"{file} cannot be read: {error.strerror}") from error


@contextmanager
def appearing(to: Path) -> Iterator[IO[bytes]]:
    """Write the file *to*: it takes the place of what was there when the block ends well, and is gone otherwise.

    Raises `Malformed` when it cannot be written.
    """
    try:
        handle, draft = tempfile.mkstemp(dir=to.parent, prefix=f".{to.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
            Path(draft).replace(to)
        finally:
            Path(draft).unlink(missing_ok=True)
    except OSError as error:
        raise Malformed(f"{to} cannot be written: {error.strerror}") from error
