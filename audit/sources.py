# SPDX-License-Identifier: Apache-2.0
"""Where the files of a log come from: a folder, a zip file, or any address that serves C2SP tlog-tiles."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import httpx

from audit.merkle import Node
from audit.tiles import CHECKPOINT, WIDTH, TileRef, hashes_of, nodes_of
from khatim.errors import LedgerInvalid, Malformed, Unavailable

_FILE_MAX = 256 * (65_535 + 2)  # a bundle full of the largest entries; payloads have their own limit
_PAYLOAD_MAX = 64 * 2**20
_TIMEOUT_S = 30.0


class TileSource(Protocol):
    """Where the files of a log come from."""

    def checkpoint(self) -> str:
        """Return the signed checkpoint; raises `LedgerInvalid` if there is none."""
        ...

    def read(self, path: str) -> bytes:
        """Return the file at *path* below the log's prefix; raises `LedgerInvalid` naming it if it is not there."""
        ...


class FolderSource:
    """A log in a folder."""

    def __init__(self, root: Path) -> None:
        """Take the folder that holds ``checkpoint`` and ``tile/``."""
        self._root = str(root)

    def checkpoint(self) -> str:
        """Return the signed checkpoint."""
        return text_of(self.read(CHECKPOINT))

    def read(self, path: str) -> bytes:
        """Return the file at *path*."""
        try:
            # Without a buffer: a tile is read whole, by one call into bytes of its size.
            with open(f"{self._root}/{path}", "rb", buffering=0) as file:  # noqa: PTH123 - a third of Path's time
                return file.read()
        except (OSError, ValueError) as missing:  # a ValueError for a NUL
            raise LedgerInvalid(f"{path} is missing or unreadable", place=path) from missing


class ZipSource:
    """A log inside a zip file, below a prefix such as ``ledger/``."""

    def __init__(self, archive: zipfile.ZipFile, prefix: str = "") -> None:
        """Take the open archive, which the caller closes."""
        self._archive, self._prefix = archive, prefix

    def checkpoint(self) -> str:
        """Return the signed checkpoint."""
        return text_of(self.read(CHECKPOINT))

    def read(self, path: str) -> bytes:
        """Return the member at *path*."""
        try:
            return self._archive.read(self._prefix + path)
        except (
            KeyError,
            OSError,
            EOFError,
            RuntimeError,
            NotImplementedError,
            zipfile.BadZipFile,
            zlib.error,
        ) as wrong:
            raise LedgerInvalid(f"{self._prefix}{path} is missing or damaged", place=path) from wrong


class UrlSource:
    """A log below an address (C2SP tlog-tiles): nothing of Khatim's own API is asked for.

    The checkpoint is fetched once, so that all tiles are of one size while the log grows on.
    """

    def __init__(self, prefix: str, *, http: httpx.Client | None = None) -> None:
        """Take the log's prefix; raises `Malformed` if it is not an HTTP address."""
        if urlsplit(prefix).scheme not in {"http", "https"}:
            raise Malformed(f"not an address of a log: {prefix[:200]!r}")
        self._prefix = prefix.rstrip("/")
        self._http = http or httpx.Client(timeout=_TIMEOUT_S, follow_redirects=True)
        self._checkpoint = ""

    def checkpoint(self) -> str:
        """Return the signed checkpoint as it was when first asked for."""
        self._checkpoint = self._checkpoint or text_of(self.read(CHECKPOINT))
        return self._checkpoint

    def read(self, path: str) -> bytes:
        """Return the file at *path*; raises `Unavailable` when the server does not answer."""
        most = _PAYLOAD_MAX if path.startswith("payload/") else _FILE_MAX
        data = bytearray()
        try:
            with self._http.stream("GET", f"{self._prefix}/{path}") as answer:
                if answer.status_code in {401, 403, 404, 410}:
                    raise LedgerInvalid(f"{path} is not handed out ({answer.status_code})", place=path)
                answer.raise_for_status()
                for piece in answer.iter_bytes():
                    data += piece
                    if len(data) > most:
                        raise LedgerInvalid(f"{path} is larger than it can be", place=path)
        except httpx.HTTPError as lost:
            raise Unavailable(f"{self._prefix} does not answer: {str(lost) or type(lost).__name__}") from lost
        return bytes(data)

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()


def nodes_in(source: TileSource, size: int) -> Node:
    """Return the node function of a log of *size*, from tiles that are read as they are asked for and not believed."""

    def read(level: int, number: int) -> list[bytes]:
        width = min(WIDTH, size // WIDTH**level - number * WIDTH)
        return hashes_of(source.read(TileRef(level, number, width).path))

    return nodes_of(read)


def text_of(data: bytes) -> str:
    """Return the text of a checkpoint file; raises `LedgerInvalid` if it is not UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError as wrong:
        raise LedgerInvalid("the checkpoint is not UTF-8", place=CHECKPOINT) from wrong
