# SPDX-License-Identifier: Apache-2.0
"""What outsiders verify: the ledger, entry by entry or tile by tile, and engagements."""

from __future__ import annotations

from collections.abc import Iterator, MutableSequence
from contextlib import contextmanager
from pathlib import Path

from khatim.calls import addresses
from khatim.calls.connection import Connection
from khatim.calls.files import Progress, appearing
from khatim.wire import proofs

PAGE = 500


class Ledger:
    """The ledger, read only."""

    def __init__(self, connection: Connection) -> None:
        """Call through *connection*."""
        self._connection = connection

    def list(
        self, *, kind: str = "", resource: str = "", actor: str = "", before: int | None = None, page: int = PAGE
    ) -> Iterator[proofs.Entry]:
        """Yield entries, newest first, below index *before*; a kind that ends in ``*`` matches its beginning.

        *page* is how many are fetched at once (1 to 500).
        """
        asked = {"kind": kind, "resource": resource, "actor": actor, "before": before, "limit": page}
        return self._connection.pages(proofs.Entry, "/v1/ledger/entries", asked, cursor="before")

    def get(self, index: int) -> proofs.Entry:
        """Return one entry."""
        return self._connection.ask(proofs.Entry, f"/v1/ledger/entries/{int(index)}")

    def archives(self) -> Iterator[proofs.Archive]:
        """Yield the archives of the ledger, oldest entries first."""
        return self._connection.pages(proofs.Archive, "/v1/ledger/archives")

    def receipt(self, of: int | str, *, wait: float = 0) -> proofs.Receipt:
        """Return the proof that an entry stands in the ledger (RFC 9162): by its index, or by an event of `noting`.

        *wait* is how many seconds the registry may take until what was committed has its place (30 at most).
        """
        if isinstance(of, int):
            return self._connection.ask(proofs.Receipt, f"/v1/ledger/entries/{of}/receipt", {"wait": str(wait)})
        return self._connection.ask(proofs.Receipt, "/v1/ledger/receipts", {"event": of, "wait": str(wait)})

    @contextmanager
    def noting(self) -> Iterator[MutableSequence[str]]:
        """Collect the events that the calls inside the block record, for `receipt`; one block at a time a thread."""
        with self._connection.noting() as events:
            yield events

    def checkpoint(self) -> str:
        """Return the latest signed checkpoint (C2SP tlog-checkpoint)."""
        return self._connection.read("/ledger/checkpoint").decode("utf-8", "replace")

    def endorsed(self) -> bytes:
        """Return the largest checkpoint that others vouch for, with cosignatures and timestamps; raises `NotFound`."""
        return self._connection.read("/ledger/endorsed")

    def tile(self, path: str) -> bytes:
        """Return one tile or entry bundle (C2SP tlog-tiles), as ``tile/0/000.p/17``."""
        return self._connection.read(f"/ledger/{path}")

    def payload(self, digest: str) -> bytes:
        """Return a payload that was too large for its entry."""
        return self._connection.read(f"/ledger/payload/{digest}")


class Engagements:
    """Everything about a version as one signed file that needs no server."""

    def __init__(self, connection: Connection) -> None:
        """Call through *connection*."""
        self._connection = connection

    def export(self, path: str, to: Path, *, progress: Progress | None = None) -> Path:
        """Export the engagement of a version into the file *to*, which appears whole or not at all."""
        model, _, number = addresses.numbered(path).partition("@")
        namespace, name = addresses.split(model)
        asked = {"namespace": namespace, "name": name, "number": number}
        with appearing(to) as file, self._connection.streamed("POST", "/v1/engagements", asked) as answer:
            total, done = int(answer.headers.get("content-length", "0")), 0
            for piece in answer.iter_bytes():
                file.write(piece)
                done += len(piece)
                if progress:
                    progress(done, total)
        return to
