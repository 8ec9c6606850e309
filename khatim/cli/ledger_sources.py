# SPDX-License-Identifier: Apache-2.0
"""Where a command reads a ledger: a folder, a zip file, an address of tiles, or the registry itself."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from khatim.cli.connection import address_in, open_client
from khatim.errors import LedgerInvalid, Malformed, NotFound

if TYPE_CHECKING:
    from audit.sources import TileSource
    from khatim.client import Client


@contextmanager
def opened(source: str, server: str, token: str, data: Path) -> Iterator[TileSource]:
    """Open what SOURCE names: a folder, a zip file (its ``ledger/`` or its root), an address, or the server."""
    from audit.sources import FolderSource, UrlSource, ZipSource

    if source.startswith(("http://", "https://")):
        address = UrlSource(source)
        try:
            yield address
        finally:
            address.close()
    elif source:
        path = Path(source)
        if path.is_dir():
            yield FolderSource(path)
            return
        try:
            with zipfile.ZipFile(path) as archive:
                inside = "ledger/" if "ledger/checkpoint" in archive.namelist() else ""
                yield ZipSource(archive, inside)
        except (OSError, zipfile.BadZipFile) as wrong:
            raise Malformed(f"{source} is no folder, no zip file and no address: {wrong}") from wrong
    elif token:
        with open_client(server, token, data) as client:
            yield Served(client)
    else:  # a public ledger is read by everybody
        address = UrlSource(f"{server or address_in(data)}/ledger")
        try:
            yield address
        finally:
            address.close()


def claimed_key(files: TileSource) -> str:
    """Return the verifier key that entry 0 names; believed only because no other was given."""
    from audit import entries
    from audit.checkpoint import Checkpoint
    from audit.verify import entries_of

    size = Checkpoint.of_note(files.checkpoint()).size
    for index, entry in entries_of(files, size):
        payload = entries.parse(entry, index).event.get("payload")
        return str(payload.get("vkey", "")) if isinstance(payload, dict) else ""
    raise LedgerInvalid("the ledger has no entries", place="entry 0")


class Served:
    """The files of a log as a registry serves them to who may read it; all of one checkpoint, whatever is appended."""

    def __init__(self, client: Client) -> None:
        """Read through *client*."""
        self._client = client
        self._checkpoint = ""

    def checkpoint(self) -> str:
        """Return the signed checkpoint as it was when first asked for."""
        self._checkpoint = self._checkpoint or self._client.ledger.checkpoint()
        return self._checkpoint

    def read(self, path: str) -> bytes:
        """Return a tile, a bundle or a payload; raises `LedgerInvalid` naming it when it is not handed out."""
        try:
            if path.startswith("payload/"):
                return self._client.ledger.payload(path.removeprefix("payload/").replace("/", ":", 1))
            return self._client.ledger.endorsed() if path == "endorsed" else self._client.ledger.tile(path)
        except NotFound as missing:
            raise LedgerInvalid(f"the registry does not hand out {path}: {missing.detail}", place=path) from missing
