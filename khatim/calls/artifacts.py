# SPDX-License-Identifier: Apache-2.0
"""Bytes on their way between a file and a zone.  The registry gives the ticket, the bytes go through the zone's door.

What is sent is hashed first, what is received is hashed while it is written; a file appears whole and right, or not
at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx

from khatim.calls.connection import Connection, answering, body, pause, raise_for_problem, unreachable
from khatim.calls.files import CHUNK, Progress, appearing, pieces
from khatim.errors import Unavailable, VerificationFailed
from khatim.vocabulary import Digest, FileRole
from khatim.wire import answers, requests

ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that a zone's store holds now: the name it had here, its digest and its size in bytes."""

    name: str
    digest: str
    size: int

    def as_file(self, role: FileRole = FileRole.WEIGHTS, path: str = "") -> requests.ManifestFile:
        """Return it as a file of a model version, under *path* (by default the name it had)."""
        return requests.ManifestFile(path=path or self.name, digest=self.digest, size=self.size, role=role)


class Artifacts:
    """Uploads and downloads."""

    def __init__(self, connection: Connection) -> None:
        """Call through *connection*; the door gets the ticket only, never the caller's token."""
        self._connection = connection

    def upload(
        self,
        file: Path,
        *,
        zone: str,
        tags: Sequence[str] = (),
        media_type: str = "application/octet-stream",
        purpose: str = "",
        namespace: str = "",
        progress: Progress | None = None,
    ) -> Stored:
        """Bring a file into *zone* for *namespace*; *purpose* as in the transfer authorisation, where one is the basis.

        Raises `ResidencyRefused` when bytes with these tags may not be there, `StoreFull` or `TooLarge` when they do
        not fit; nothing half is kept.
        """
        digest, size = measured(file)
        given = body(
            requests.Upload,
            zone=zone,
            digest=digest,
            size=size,
            media_type=media_type,
            tags=sorted(set(tags)),
            purpose=purpose,
            namespace=namespace,
        )
        for attempt in range(ATTEMPTS):
            # A ticket opens the door once, so every attempt asks for its own.
            ticket = self._connection.send(answers.Ticket, "/v1/uploads", given)
            try:
                self._put(ticket, file, size, progress)
            except httpx.TransportError as error:
                if attempt == ATTEMPTS - 1:
                    raise unreachable(ticket.door, error) from error
                self._connection.sleep(pause(attempt))
            else:
                return Stored(file.name, digest, size)
        raise Unavailable(f"the door of {zone} does not answer")

    def download(
        self,
        digest: str,
        to: Path,
        *,
        zone: str,
        to_zone: str,
        purpose: str = "",
        progress: Progress | None = None,
    ) -> Path:
        """Take *digest* out of the store of *zone* into the file *to*, which stands in *to_zone*.

        Raises `ResidencyRefused` when it may not be read there, and `VerificationFailed` when other bytes came; the
        file appears only when it is whole and right.
        """
        given = body(requests.Download, zone=zone, digest=digest, to_zone=to_zone, purpose=purpose)
        ticket = self._connection.send(answers.Ticket, "/v1/downloads", given)
        with appearing(to) as draft:
            found = self._get(ticket, draft, progress)
            if found != digest:
                raise VerificationFailed(f"the door gave {found}, not {digest}; the file was thrown away")
        return to

    def _put(self, ticket: answers.Ticket, file: Path, size: int, progress: Progress | None) -> None:
        headers = {
            "Authorization": f"Bearer {ticket.token}",
            "Content-Length": str(size),
            "Content-Type": "application/octet-stream",
        }
        url = f"{ticket.door.rstrip('/')}/blobs/{ticket.digest}"
        raise_for_problem(self._connection.http.put(url, content=pieces(file, size, progress), headers=headers))

    def _get(self, ticket: answers.Ticket, to: IO[bytes], progress: Progress | None) -> str:
        url = f"{ticket.door.rstrip('/')}/blobs/{ticket.digest}"
        headers = {"Authorization": f"Bearer {ticket.token}"}
        seen, done = hashlib.sha256(), 0
        with answering(ticket.door), self._connection.http.stream("GET", url, headers=headers) as response:
            raise_for_problem(response)
            total = int(response.headers.get("content-length", "0"))
            for piece in response.iter_bytes(CHUNK):
                seen.update(piece)
                to.write(piece)
                done += len(piece)
                if progress:
                    progress(done, total)
        return str(Digest(seen.hexdigest()))


def measured(file: Path) -> tuple[str, int]:
    """Return digest and size of a file; raises `Malformed` when it cannot be read."""
    seen, size = hashlib.sha256(), 0
    for piece in pieces(file):
        seen.update(piece)
        size += len(piece)
    return str(Digest(seen.hexdigest())), size
