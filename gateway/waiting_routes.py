# SPDX-License-Identifier: Apache-2.0
"""What waits for the caller: asked once, asked until it changes (long poll), or told as it changes (events)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from audit.http import WAIT_MAX_S, SealedRoute, actor_of, part
from gateway.composition import Parts
from governance import waiting
from khatim.errors import KhatimError
from khatim.vocabulary import Actor
from khatim.wire import waiting as wire

router = APIRouter(prefix="/v1", tags=["governance"], route_class=SealedRoute)
LOOK_S: Final = 1.0
LONGEST_S: Final = 900.0
"""After so long a stream of events ends; a client comes again by itself (HTML, server-sent events)."""
Wiring = Annotated[Parts, Depends(part(Parts))]
Asker = Annotated[Actor, Depends(actor_of)]


@router.get("/waiting")
async def waiting_for(
    actor: Asker,
    wiring: Wiring,
    mark: Annotated[str, Query(max_length=64)] = "",
    wait: Annotated[float, Query(ge=0, le=WAIT_MAX_S)] = 0,
) -> wire.Waiting:
    """List what waits for the caller; with `wait` and the last `mark`, when it differs or time is over."""
    until, seen = time.monotonic() + wait, -1
    found = await run_in_threadpool(_asked, wiring, actor)
    while found.mark == mark and time.monotonic() < until:
        await asyncio.sleep(min(LOOK_S, max(0.0, until - time.monotonic())))
        at = await run_in_threadpool(_moved, wiring, actor)
        if at != seen:
            seen, found = at, await run_in_threadpool(_asked, wiring, actor)
    return found


@router.get("/waiting/events", response_class=StreamingResponse)
async def waiting_events(
    request: Request, actor: Asker, for_s: Annotated[float, Query(ge=0, le=LONGEST_S)] = LONGEST_S
) -> StreamingResponse:
    """Tell what waits for the caller now, and for so many seconds whenever it changes (`text/event-stream`)."""
    del actor  # asked so that a stranger is refused before the stream begins
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_events(request, for_s), media_type="text/event-stream", headers=headers)


async def _events(request: Request, for_s: float) -> AsyncIterator[str]:
    ends, seen, mark = time.monotonic() + for_s, -2, ""
    while not await request.is_disconnected():
        try:
            # Who was cut off, or whose token ended, hears no more; the rules may be others by now.
            wiring = await part(Parts)(request)
            actor = await run_in_threadpool(actor_of, request)
            at = await run_in_threadpool(_moved, wiring, actor)
            found = await run_in_threadpool(_asked, wiring, actor) if at != seen else None
        except KhatimError:
            return
        seen = at
        if found is not None and found.mark != mark:
            mark = found.mark
            yield f"id: {mark}\nevent: waiting\ndata: {found.model_dump_json()}\n\n"
        else:
            yield ": nothing new\n\n"
        if time.monotonic() >= ends:
            return
        await asyncio.sleep(LOOK_S)


def _asked(wiring: Parts, actor: Actor) -> wire.Waiting:
    with wiring.ledger.reading(actor) as reader:
        return waiting.for_actor(reader, wiring.notary, wiring.rules)


def _moved(wiring: Parts, actor: Actor) -> int:
    with wiring.ledger.reading(actor) as reader:
        return waiting.moved(reader)
