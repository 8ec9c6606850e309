# SPDX-License-Identifier: Apache-2.0
"""The zone door: the only way for bytes into a zone and out of it, over HTTP, on the registry's tickets.

``PUT``, ``GET`` and ``HEAD /blobs/{digest}`` with ``Authorization: Bearer <ticket>``, and ``GET /health``.  The
registry signs tickets and never sees the bytes; the door holds the bytes and decides nothing beyond the ticket.
Both ways stream.  Every error is problem+json (RFC 9457).
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
from anyio.streams.memory import MemoryObjectReceiveStream
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from khatim.errors import KhatimError, Malformed, Misconfigured, TooLarge
from khatim.vocabulary import Digest
from runners.zone.ranges import span_of
from runners.zone.store import CHUNK, StoredBlob, ZoneStore
from runners.zone.tickets import Op, Ticket, UsedTickets, check, ticket_of

OnStored = Callable[[StoredBlob, Mapping[str, Any]], None]
OnRead = Callable[[Digest, Mapping[str, Any]], None]

# How many MiB of one upload wait for the disk, how many uploads write at once, and how long a client may be silent.
QUEUED = 4
WRITERS = 8
PATIENCE = timedelta(seconds=60)
# After an early refusal this much is still read, so that the client reads our answer instead of a reset connection.
DRAINED = 32 << 20
DRAIN_TIME = 2.0


class _Interrupted(Exception):
    """The client went away; raised inside the writer so that it drops what it has."""


class _Door:
    """The handlers and what they share."""

    def __init__(  # noqa: PLR0913 - wired once, by name
        self,
        store: ZoneStore,
        *,
        keys: Sequence[Ed25519PublicKey],
        on_stored: OnStored,
        on_read: OnRead,
        clock: Callable[[], datetime],
        max_size: int,
        patience: timedelta,
    ) -> None:
        self.store = store
        self.keys = keys
        self.on_stored = on_stored
        self.on_read = on_read
        self.clock = clock
        self.max_size = max_size
        self.patience = patience.total_seconds()
        self.used = UsedTickets(store.folder / "tickets")
        self.writers = anyio.CapacityLimiter(WRITERS)

    def admit(self, request: Request, op: Op) -> Ticket:
        """Return the ticket that allows *request*, or raise why not; the ticket first: strangers learn nothing."""
        ticket = ticket_of(request.headers.get("authorization", ""), self.keys, zone=self.store.zone, at=self.clock())
        try:
            digest = Digest.parse(request.path_params["digest"])
        except ValueError as error:
            raise Malformed(str(error)) from error
        check(ticket, op=op, digest=digest)
        return ticket

    async def put(self, request: Request) -> Response:
        """Take a blob in."""
        ticket = self.admit(request, "put")
        limit = min(ticket.max_size, self.max_size)
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > limit:
            raise TooLarge(f"{length} bytes are more than the {limit} that this ticket allows", max_size=limit)
        await anyio.to_thread.run_sync(lambda: self.used.use(ticket, at=self.clock()))
        body = request.stream()
        try:
            blob = await self._write(body, ticket, limit)
        except KhatimError:
            await _drain(body)
            raise
        return JSONResponse(
            {"digest": str(blob.digest), "size": blob.size}, status_code=201, headers=_marks(blob.digest)
        )

    async def _write(self, body: AsyncIterator[bytes], ticket: Ticket, limit: int) -> StoredBlob:
        send, receive = anyio.create_memory_object_stream[bytes | None](QUEUED)
        outcome: list[StoredBlob | Exception] = []

        def write() -> None:
            try:
                blob = self.store.put(_received(receive), expect=ticket.digest, max_size=limit)
                self.on_stored(blob, ticket.claims)
                outcome.append(blob)
            except Exception as error:  # noqa: BLE001 - carried to the request, where it is raised
                outcome.append(error)

        async def writer() -> None:
            # The thread cannot be cancelled and need not be: it ends when the queue is closed.
            with anyio.CancelScope(shield=True), receive:
                await anyio.to_thread.run_sync(write, limiter=self.writers)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(writer)
            with send, contextlib.suppress(anyio.BrokenResourceError, ClientDisconnect):
                async with contextlib.aclosing(_pieces(body, self.patience)) as pieces:
                    async for piece in pieces:
                        await send.send(piece)
                await send.send(None)  # only this mark says that the body is whole
        if isinstance(outcome[0], _Interrupted):
            raise Malformed("the upload ended early or stood still; nothing was kept")
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]

    def get(self, request: Request) -> Response:
        """Give a blob out, or the one span of it that ``Range`` asks for."""
        ticket = self.admit(request, "get")
        digest, size = ticket.digest, self.store.size_of(ticket.digest)
        headers = {**_marks(digest), "Content-Disposition": "attachment", "Accept-Ranges": "bytes"}
        if request.method == "HEAD":
            return Response(headers={**headers, "Content-Length": str(size)}, media_type=ticket.media_type)
        span = span_of(request.headers.get("range", ""), size)
        start, stop = span or (0, size)
        self.on_read(digest, ticket.claims)
        # The first segment is verified before the answer begins, so that a spoiled small blob gets a clear error.
        chunks = self.store.chunks(digest, start=start)
        first = next(chunks, b"")
        headers["Content-Length"] = str(stop - start)
        if span:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        return StreamingResponse(
            _sent(first, chunks, stop - start), 206 if span else 200, headers, media_type=ticket.media_type
        )

    def health(self, _: Request) -> Response:
        """Say that the door is open."""
        return JSONResponse({"status": "ok", "zone": self.store.zone})


def build_door(  # noqa: PLR0913 - wired once, by name
    store: ZoneStore,
    *,
    zone: str,
    ticket_keys: Sequence[Ed25519PublicKey],
    on_stored: OnStored,
    on_read: OnRead,
    clock: Callable[[], datetime],
    max_size: int,
    patience: timedelta = PATIENCE,
) -> Starlette:
    """Build the door of *zone* on its *store*.

    *on_stored* is called when the blob is durable and before the answer 201; *on_read* before the first byte leaves.
    A `KhatimError` that they raise is the answer.  Both run in a thread and get the ticket's claims.  A blob whose
    *on_stored* failed stays, unregistered.  *max_size* (bytes) bounds every upload whatever its ticket says, and an
    upload that is silent for *patience* is given up.
    """
    if store.zone != zone:
        raise Misconfigured(f"the door of {zone!r} cannot open on the store of {store.zone!r}")
    door = _Door(
        store,
        keys=ticket_keys,
        on_stored=on_stored,
        on_read=on_read,
        clock=clock,
        max_size=max_size,
        patience=patience,
    )
    return Starlette(
        routes=[
            Route("/health", door.health, methods=["GET"]),
            Route("/blobs/{digest}", door.put, methods=["PUT"]),
            Route("/blobs/{digest}", door.get, methods=["GET", "HEAD"]),
        ],
        exception_handlers={KhatimError: _problem, HTTPException: _http_problem, Exception: _unknown_problem},
    )


def _problem(_: Request, error: Exception) -> Response:
    problem = error if isinstance(error, KhatimError) else KhatimError()
    headers = {"WWW-Authenticate": "Bearer"} if problem.status == 401 else None  # noqa: PLR2004 - RFC 6750 3
    return JSONResponse(problem.as_problem(), problem.status, headers, media_type="application/problem+json")


def _http_problem(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = error.detail if isinstance(error, HTTPException) else ""
    body = {"type": "about:blank", "title": detail, "status": status, "detail": detail}
    return JSONResponse(body, status, media_type="application/problem+json")


def _unknown_problem(request: Request, _: Exception) -> Response:
    # Starlette raises the error again after the answer, so that the server logs it; its text stays there.
    return _problem(request, KhatimError("the zone door failed; its log says why"))


def _marks(digest: Digest) -> dict[str, str]:
    # RFC 9530: the representation is the plaintext, so its digest is the blob's name.
    content = base64.b64encode(bytes.fromhex(digest.hex)).decode()
    return {
        "ETag": f'"{digest.hex}"',
        "Repr-Digest": f"sha-256=:{content}:",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }


async def _pieces(body: AsyncIterator[bytes], patience: float) -> AsyncGenerator[bytes]:
    """Gather the small reads of the socket into pieces that are worth a switch of threads."""
    gathered = bytearray()
    while True:
        try:
            with anyio.fail_after(patience):
                chunk = await anext(body, None)
        except TimeoutError:
            raise ClientDisconnect from None
        if chunk is None:
            break
        gathered += chunk
        if len(gathered) >= CHUNK:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)


def _received(receive: MemoryObjectReceiveStream[bytes | None]) -> Iterator[bytes]:
    """Yield what the request sends, in the writer's thread; raises `_Interrupted` when the end mark never comes."""
    while True:
        try:
            piece = anyio.from_thread.run(receive.receive)
        except anyio.EndOfStream:
            raise _Interrupted from None
        if piece is None:
            return
        yield piece


async def _drain(body: AsyncIterator[bytes]) -> None:
    left = DRAINED
    with contextlib.suppress(ClientDisconnect, RuntimeError), anyio.move_on_after(DRAIN_TIME):
        async for chunk in body:
            left -= len(chunk)
            if left < 0:
                return


async def _sent(first: bytes, chunks: Generator[bytes], length: int) -> AsyncIterator[bytes]:
    try:
        piece: bytes | None = first
        while piece is not None and length > 0:
            yield piece[:length]
            length -= len(piece[:length])
            piece = await anyio.to_thread.run_sync(next, chunks, None)
        # The last look reaches the check of the whole digest, which comes after the last segment.
    finally:
        chunks.close()
