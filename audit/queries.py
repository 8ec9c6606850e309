# SPDX-License-Identifier: Apache-2.0
"""Reading the ledger: pages of entries, one entry with its proof, the latest checkpoint."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import Row, select

from audit import endorsements, export, stored
from audit import entries as codec
from audit.checkpoint import Checkpoint
from audit.epoch_tables import epochs
from audit.ledger_tables import checkpoints, entries
from audit.stored import StoredCheckpoint
from audit.transaction import Reader
from audit.witness_policy import WitnessPolicy
from khatim.errors import Malformed, NotFound
from khatim.vocabulary import Action, Resource
from khatim.wire import proofs

LEDGER = Resource("ledger", "ledger")
PAGE_LIMIT = 500


def page(  # noqa: PLR0913 - the filters of one page
    reader: Reader,
    *,
    kind: str = "",
    resource: str = "",
    actor: str = "",
    refusals: bool = False,
    before: int | None = None,
    limit: int = 50,
) -> list[proofs.Entry]:
    """Return entries, newest first, below index *before*; a kind ending in ``*`` matches its beginning.

    With *refusals*, only those entries in which a rule said no (``….refused``).
    """
    reader.require(Action.LEDGER_READ, LEDGER)
    query = select(entries).order_by(entries.c.index.desc()).limit(min(max(limit, 1), PAGE_LIMIT))
    if kind:
        column = entries.c.kind
        query = query.where(column.startswith(kind[:-1], autoescape=True) if kind.endswith("*") else column == kind)
    if resource:
        query = query.where(entries.c.resource == resource)
    if actor:
        query = query.where(entries.c.actor == actor)
    if refusals:
        query = query.where(entries.c.kind.endswith(".refused", autoescape=True))
    if before is not None:
        query = query.where(entries.c.index < before)
    return [_answer(row) for row in reader.rows(query)]


def about(reader: Reader, resources: Sequence[str], limit: int = PAGE_LIMIT) -> list[proofs.Entry]:
    """Return the entries about any of *resources*, oldest first; the caller has asked to read those resources."""
    query = select(entries).where(entries.c.resource.in_(resources)).order_by(entries.c.index).limit(limit)
    return [_answer(row) for row in reader.rows(query)]


def entry(reader: Reader, index: int) -> proofs.Entry:
    """Return one entry; raises `NotFound`."""
    reader.require(Action.LEDGER_READ, LEDGER)
    found = reader.rows(select(entries).where(entries.c.index == index))
    if not found:
        stored.require_not_archived(reader.connection(), index)
        raise NotFound(f"the ledger has no entry {index}")
    return _answer(found[0])


def receipt(reader: Reader, index: int, policy: WitnessPolicy | None = None) -> proofs.Receipt:
    """Return the proof that an entry stands in the ledger: of the checkpoint that counts, or else of the latest one."""
    reader.require(Action.LEDGER_READ, LEDGER)
    return _receipt(reader, index, policy or WitnessPolicy())


def receipt_of(reader: Reader, event: str, policy: WitnessPolicy) -> proofs.Receipt:
    """Return the proof for the entry of an event (`events.reference`), also to whoever caused that event.

    Raises `NotFound` while the event has no place yet, and for everybody else's events.
    """
    at, _, digest = event.partition("/")
    try:
        moment = datetime.fromisoformat(at)
    except ValueError as wrong:
        raise Malformed("an event is named by its moment and the SHA-256 of its body") from wrong
    for row in reader.rows(select(entries).where(entries.c.at == moment)):
        index = int(row._mapping["index"])  # noqa: SLF001 - as in `_answer`
        if sha256(codec.body_of(bytes(row.entry), index)).hexdigest() == digest:
            if row.actor != reader.actor.ref:
                reader.require(Action.LEDGER_READ, LEDGER)
            return _receipt(reader, index, policy)
    raise NotFound("the ledger has no entry of this event, or not yet", advice="Wait for it: ?wait=5.")


def _receipt(reader: Reader, index: int, policy: WitnessPolicy) -> proofs.Receipt:
    conn = reader.connection()
    try:
        counted = Checkpoint.of_note(endorsements.latest_that_counts(conn, policy)).size
    except NotFound:
        counted = 0  # nothing is witnessed yet
    proof = export.inclusion(conn, index, counted if counted > index else None)
    note = endorsements.cosigned_note(conn, StoredCheckpoint(proof.size, proof.root, proof.note))
    return proofs.Receipt(
        index=index,
        leaf=_b64(proof.leaf),
        size=proof.size,
        proof=[_b64(one) for one in proof.proof],
        checkpoint=note,
        entry=_b64(proof.entry),
        openings=_openings(reader, proof.size),
        is_witnessed=policy.is_demanding and policy.judge(note).counts,
    )


def _openings(reader: Reader, size: int) -> list[proofs.Opening]:
    """Return the entries that opened the epochs below *size*, less those that lie in archives."""
    joined = entries.join(epochs, entries.c.index == epochs.c.first)
    query = select(entries).select_from(joined).where(epochs.c.first < size).order_by(epochs.c.number)
    return [
        proofs.Opening(index=row._mapping["index"], entry=_b64(bytes(row.entry)))  # noqa: SLF001 - as in `_answer`
        for row in reader.rows(query)
    ]


def checkpoint(reader: Reader) -> Row[Any] | None:
    """Return the latest checkpoint's row (size, root, note, at), or None before the first."""
    rows: list[Row[Any]] = reader.rows(select(checkpoints).order_by(checkpoints.c.size.desc()).limit(1))
    return rows[0] if rows else None


def _answer(row: Row[Any]) -> proofs.Entry:
    index = int(row._mapping["index"])  # noqa: SLF001 - `index` is a method of a Row, SQLAlchemy's documented way
    return proofs.Entry(
        index=index,
        kind=row.kind,
        actor=row.actor,
        resource=row.resource,
        namespace=row.namespace,
        zone=row.zone,
        at=row.at,
        leaf=_b64(bytes(row.leaf)),
        body=dict(codec.parse(bytes(row.entry), index).event),
    )


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
