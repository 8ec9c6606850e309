# SPDX-License-Identifier: Apache-2.0
"""Where the ledger goes: sinks are added, paused, resumed and removed like everything else that is governed.

A stream is a transfer.  Whether the registry's own metadata may go to a sink's zone is decided when it is added or
resumed and refused with its rule; which entries of other zones go there is decided for each by the same rules, and
what may not leave goes out as an index without content.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select

from audit import stored
from audit.streams import transports
from audit.streams.messages import Format, Heartbeat
from audit.streams.tables import ACTIVE, PAUSED, REMOVED, Delivery, Sink
from audit.streams.transports import Places
from audit.transaction import Reader, Transaction
from governance.stream_events import SinkAdded, SinkChanged, SinkTested
from khatim.errors import AlreadyExists, Conflict, KhatimError, NotFound, ResidencyRefused
from khatim.vocabulary import Action, Decision, Resource
from khatim.wire import streams as wire
from policies import residency
from policies.residency import Movement, MovementKind, ResidencyRules

PURPOSE = "security monitoring"
LEDGER = "ledger:ledger"


@dataclass(frozen=True)
class Streams:
    """What streams are judged and tested with: the rules, the registry's own zone, the ledger's name, the machine."""

    rules: ResidencyRules
    home: str
    origin: str
    places: Places


def judge(
    followed: Callable[[], ResidencyRules], home: str, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Callable[[str, str], Decision]:
    """Return what decides whether an entry of one zone may go to a sink in another.

    An entry without a zone is the registry's own and of the zone *home*; without one, nothing is allowed.
    """

    def decide(origin: str, target: str) -> Decision:
        rules = followed()
        if not (origin or home):
            return Decision(
                allowed=False,
                rule="streams/no-home",
                reason="Nobody has said in which zone the registry itself stands.",
                advice="Set KHATIM_ZONE.",
                policy=rules.policy,
            )
        # No tags: nobody has said what an event is about, so it is judged as personal data.
        movement = Movement(
            kind=MovementKind.REPORT,
            from_zone=origin or home,
            to_zone=target,
            tags=frozenset(),
            purpose=PURPOSE,
            artefact=LEDGER,
        )
        return residency.decide(rules, movement, at=clock())

    return decide


def add(tx: Transaction, body: wire.AddSink, *, streams: Streams) -> Sink:
    """Add a sink; its stream begins within seconds.  Raises `ResidencyRefused` where its zone may not have it.

    Raises `EntryArchived` for a start whose entries left the database.
    """
    tx.require(Action.STREAM_MANAGE, Resource("sink", body.name, zone=body.zone))
    target = body.target.model_dump(exclude_defaults=True)
    transports.check_target(body.transport, target)
    tx.lock("sinks")
    if tx.scalar(select(Sink.id).where(Sink.name == body.name, Sink.state != REMOVED)):
        raise AlreadyExists(f"there is a sink {body.name} already")
    decision = _allowed(tx, body.zone, streams)
    checkpoint = stored.checkpoint_at(tx.connection())
    start = body.start if body.start is not None else (checkpoint.size if checkpoint else 0)
    stored.require_not_archived(tx.connection(), start)  # it could never go on from there
    row = Sink(
        id=tx.new_id(), name=body.name, zone=body.zone, format=body.format, transport=body.transport, target=target,
        start=start, state=ACTIVE, because=body.because, added_by=tx.actor.ref, added_at=tx.now,
    )  # fmt: skip
    tx.add(row)
    # Certificates and addresses are told; keys and tokens are named and stand on the operator's machine.
    tx.record(
        SinkAdded(
            about=row.ref, zone=row.zone, name=row.name, format=row.format, transport=row.transport, target=target,
            start=start, because=row.because, rule=decision.rule, policy=decision.policy,
        )
    )  # fmt: skip
    return row


def pause(tx: Transaction, name: str, *, because: str) -> Sink:
    """Stop a stream for now; nothing is lost, it goes on from its cursor."""
    return _change(tx, name, PAUSED, because)


def resume(tx: Transaction, name: str, *, because: str, streams: Streams) -> Sink:
    """Let a stream go on, if its zone may still have it."""
    row = _named(tx, name)
    tx.require(Action.STREAM_MANAGE, row.resource)
    _allowed(tx, row.zone, streams)
    return _change(tx, name, ACTIVE, because)


def remove(tx: Transaction, name: str, *, because: str) -> Sink:
    """End a stream for good; its row stays as evidence, its name is free again."""
    return _change(tx, name, REMOVED, because)


def test(tx: Transaction, name: str, *, streams: Streams) -> wire.SinkTest:
    """Send one heartbeat now and say whether the receiver took it; that it was tried is recorded."""
    row = _named(tx, name)
    tx.require(Action.STREAM_MANAGE, row.resource)
    _allowed(tx, row.zone, streams)
    checkpoint = stored.checkpoint_at(tx.connection())
    beat = Heartbeat(streams.origin, checkpoint.size if checkpoint else 0, tx.now)
    error = ""
    try:
        transport = transports.open_transport(row.transport, row.target, Format(row.format), streams.places)
        try:
            transport.send([beat])
        finally:
            transport.close()
    except KhatimError as wrong:
        error = wrong.detail
    tx.record(SinkTested(about=row.ref, zone=row.zone, name=row.name, answered=not error, error=error))
    return wire.SinkTest(name=row.name, answered=not error, error=error)


def listed(reader: Reader) -> list[wire.Sink]:
    """Return every sink with how far it has come, those that were removed included, oldest first."""
    reader.require(Action.LEDGER_READ, Resource("sink", "all"))
    checkpoint = stored.checkpoint_at(reader.connection())
    size = checkpoint.size if checkpoint else 0
    come = {row.sink_id: row for row in reader.scalars(select(Delivery))}
    return [told(row, come.get(row.id), size) for row in reader.scalars(select(Sink).order_by(Sink.id))]


def one(reader: Reader, row: Sink) -> wire.Sink:
    """Return one sink with how far it has come."""
    checkpoint = stored.checkpoint_at(reader.connection())
    delivery = reader.scalar(select(Delivery).where(Delivery.sink_id == row.id))
    return told(row, delivery, checkpoint.size if checkpoint else 0)


def behind(reader: Reader, end: int) -> list[str]:
    """Return the sinks that may still need entries below *end*: unsent ones, or those that a new connection repeats."""
    query = select(Sink, Delivery).outerjoin(Delivery, Delivery.sink_id == Sink.id).where(Sink.state != REMOVED)
    needed = {
        row.name: max(row.start, (come.following if come else row.start) - transports.RESENT)
        for row, come in reader.rows(query.order_by(Sink.name))
    }
    return [name for name, first in needed.items() if first < end]


def told(row: Sink, delivery: Delivery | None, size: int) -> wire.Sink:
    """Return a sink as it goes out."""
    following = delivery.following if delivery else row.start
    return wire.Sink(
        id=row.id, name=row.name, zone=row.zone, format=row.format, transport=row.transport, target=row.target,
        start=row.start, state=row.state, because=row.because, added_by=row.added_by, added_at=row.added_at,
        following=following, lag=max(0, size - following), sent=delivery.sent if delivery else 0,
        withheld=delivery.withheld if delivery else 0, failures=delivery.failures if delivery else 0,
        error=delivery.error if delivery else "", seen_at=delivery.at if delivery else None,
    )  # fmt: skip


def _allowed(tx: Transaction, zone: str, streams: Streams) -> Decision:
    decision = judge(lambda: streams.rules, streams.home, lambda: tx.now)("", zone)
    if not decision:
        raise ResidencyRefused(decision.reason, advice=decision.advice, to=zone, **decision.as_members())
    return decision


def _change(tx: Transaction, name: str, state: str, because: str) -> Sink:
    row = _named(tx, name)
    tx.require(Action.STREAM_MANAGE, row.resource)
    if row.state == state:
        raise Conflict(f"the sink {row.name} is {state} already")
    if row.state == REMOVED:
        raise Conflict(f"the sink {row.name} was removed", advice="Add it again under the same name.")
    before, row.state, row.because = row.state, state, because
    tx.record(SinkChanged(about=row.ref, zone=row.zone, name=row.name, before=before, state=state, because=because))
    return row


def _named(tx: Transaction, name: str) -> Sink:
    """Return the sink of that name or id; a name that was used again means the last one."""
    query = select(Sink).where(Sink.name == name).order_by(Sink.id.desc()).limit(1).with_for_update()
    with contextlib.suppress(ValueError):
        query = select(Sink).where(Sink.id == uuid.UUID(name)).with_for_update()
    row: Sink | None = tx.scalar(query)
    if row is None:
        raise NotFound(f"there is no sink {name[:80]!r}")
    return row
