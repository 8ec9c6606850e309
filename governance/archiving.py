# SPDX-License-Identifier: Apache-2.0
"""Archiving decided: who may, where the file may lie, and whether retention and legal holds let the rows go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, insert, select

from audit import archives, ledger_tables, stored
from audit.archive_events import ArchivedRemoved, LedgerArchived
from audit.archive_tables import archives as table
from audit.archives import Archive, ArchiveFolder
from audit.queries import LEDGER
from audit.tiles import WIDTH
from audit.transaction import Reader, Transaction
from governance import holds, streams
from khatim.errors import Conflict, NotFound, ResidencyRefused
from khatim.vocabulary import Action, Resource
from policies import residency
from policies.loading import PolicyBundle
from policies.residency import Movement, MovementKind
from policies.retention import Record

TILES = 256
"""How many full tiles one file holds by default: 65,536 entries."""


@dataclass(frozen=True, slots=True)
class Archiving:
    """What an archive is made with: the rules, the registry's own zone and the folder that stands in it."""

    rules: PolicyBundle
    zone: str
    folder: ArchiveFolder


def ranges(reader: Reader, *, before: datetime | None, below: int | None, tiles: int = TILES) -> list[tuple[int, int]]:
    """Return the ranges [first, end) that would each become a file: full tiles, nothing younger than asked."""
    reader.require(Action.LEDGER_ARCHIVE, LEDGER)
    start = max((one.end for one in archives.registered(reader.connection())), default=0)
    last = _most(reader, before, below) // WIDTH * WIDTH
    return [(first, min(first + tiles * WIDTH, last)) for first in range(start, last, tiles * WIDTH)]


def removable(reader: Reader, *, before: datetime | None, below: int | None) -> list[Archive]:
    """Return the archives whose entries are all as old as asked, oldest first; whether they may go `let_go` decides."""
    reader.require(Action.LEDGER_ARCHIVE, LEDGER)
    most = _most(reader, before, below)
    return [one for one in archives.registered(reader.connection()) if one.end <= most]


def _most(reader: Reader, before: datetime | None, below: int | None) -> int:
    """Return the index below which every entry is as old as asked."""
    checkpoint = stored.checkpoint_at(reader.connection())
    most = checkpoint.size - 1 if checkpoint else 0  # the last entry stays: the ledger grows on from it
    if below is not None:
        most = min(most, below)
    if before is not None:
        columns = ledger_tables.entries.c
        young = reader.scalar(select(func.min(columns.index)).where(columns["at"] >= before))
        most = most if young is None else min(most, young)
    return most


def archive(tx: Transaction, first: int, end: int, *, desk: Archiving) -> Archive:
    """Write one file and register it; raises `ResidencyRefused` where the registry's zone may not have it.

    Should the transaction not commit, the file lies there unnamed, and the next run makes the same one.
    """
    tx.require(Action.LEDGER_ARCHIVE, LEDGER)
    tx.lock("archives")
    # No tags: nobody has said what an entry is about, so it is judged as personal data.
    movement = Movement(
        kind=MovementKind.PLACE, from_zone=desk.zone, to_zone=desk.zone, tags=frozenset(), purpose="archive",
        artefact=str(LEDGER),
    )  # fmt: skip
    decision = residency.decide(desk.rules.residency, movement, at=tx.now)
    if not decision:
        raise ResidencyRefused(decision.reason, advice=decision.advice, **decision.as_members())
    made, data = archives.made(tx.connection(), first, end)
    desk.folder.put(made.place, data)
    tx.execute(
        insert(table).values(
            first=made.first, end=made.end, digest=made.digest, place=made.place, link=made.link, size=made.size,
            root=made.root, at=tx.now,
        )
    )  # fmt: skip
    tx.record(
        LedgerArchived(
            about=str(LEDGER), zone=desk.zone, first=first, end=end, digest=made.digest, place=made.place,
            size=made.size, root=made.root.hex(), rule=decision.rule,
        )
    )  # fmt: skip
    return made


def let_go(tx: Transaction, first: int, *, desk: Archiving) -> Archive:
    """Decide that the rows of an archive may leave the database, and say so; `archives.remove` then does it.

    Raises `ErasureHeld` while a legal hold covers one of them or the ledger has to be online, `Conflict` while a stream
    has not sent them, `NotFound` without such an archive.
    """
    tx.require(Action.LEDGER_ARCHIVE, LEDGER)
    found = next((one for one in archives.registered(tx.connection()) if one.first == first), None)
    if found is None:
        raise NotFound(f"no archive begins at entry {first}")
    if waiting := streams.behind(tx, found.end):
        raise Conflict(
            f"the stream to {', '.join(waiting)} may still need entries below {found.end} from the database",
            advice="Wait until it has caught up (khatim streams list), or end it: khatim streams remove.",
        )
    record = _record(tx, found, desk)
    rule = holds.require_disposable(tx, record, rules=desk.rules.retention).rule if record else "gone"
    tx.record(
        ArchivedRemoved(
            about=str(LEDGER), zone=desk.zone, first=found.first, end=found.end, digest=found.digest, rule=rule
        )
    )
    return found


def _record(tx: Transaction, found: Archive, desk: Archiving) -> Record | None:
    """Return what a hold or period may cover of the rows still there; None when none is."""
    rows = list(stored.entry_rows(tx.connection(), found.first, found.end))
    if not rows:
        return None
    zones = frozenset(row[7] or desk.zone for row in rows)
    return Record(
        f"entries {found.first} to {found.end - 1} in the database", "ledger-online",
        min(row[8] for row in rows), max(row[8] for row in rows),
        namespaces=frozenset(row[6] for row in rows), resources=frozenset(row[5] for row in rows),
        people=frozenset(row[4] for row in rows), zones=zones,
    )  # fmt: skip


def listed(reader: Reader) -> list[Archive]:
    """Return every archive, oldest entries first."""
    reader.require(Action.LEDGER_READ, Resource("ledger", "ledger"))
    return archives.registered(reader.connection())


def online(reader: Reader, found: Sequence[Archive]) -> frozenset[int]:
    """Return where those of *found* begin whose rows are all in the database; the ledger's first entry always is."""
    columns = ledger_tables.entries.c
    lasts = [one.end - 1 for one in found]
    there = frozenset(reader.scalars(select(columns.index).where(columns.index.in_(lasts))))
    return frozenset(one.first for one in found if one.end - 1 in there)
