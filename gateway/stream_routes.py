# SPDX-License-Identifier: Apache-2.0
"""HTTP routes of streams: where the ledger goes, and how far each sink has come."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from audit.http import Read, SealedRoute, Tx, part
from governance import streams as sinks
from governance.streams import Streams
from khatim.wire import answers, requests
from khatim.wire import streams as wire

Judging = Annotated[Streams, Depends(part(Streams))]
router = APIRouter(prefix="/v1/sinks", tags=["streams"], route_class=SealedRoute)


@router.get("")
def listed(reader: Read) -> answers.Page[wire.Sink]:
    """List sinks with how far they have come, oldest first."""
    return answers.Page(items=sinks.listed(reader))


@router.post("", status_code=201)
def add(tx: Tx, streams: Judging, body: wire.AddSink) -> wire.Sink:
    """Send the ledger to a further receiver, if its zone may have it."""
    return sinks.one(tx, sinks.add(tx, body, streams=streams))


@router.post("/{name}/pause")
def pause(tx: Tx, name: str, body: requests.Reason) -> wire.Sink:
    """Stop a stream for now."""
    return sinks.one(tx, sinks.pause(tx, name, because=body.because))


@router.post("/{name}/resumption")
def resume(tx: Tx, streams: Judging, name: str, body: requests.Reason) -> wire.Sink:
    """Let a stream go on from its cursor."""
    return sinks.one(tx, sinks.resume(tx, name, because=body.because, streams=streams))


@router.post("/{name}/removal")
def remove(tx: Tx, name: str, body: requests.Reason) -> wire.Sink:
    """End a stream for good."""
    return sinks.one(tx, sinks.remove(tx, name, because=body.because))


@router.post("/{name}/test")
def test(tx: Tx, streams: Judging, name: str) -> wire.SinkTest:
    """Send one heartbeat and say whether the receiver took it."""
    return sinks.test(tx, name, streams=streams)
