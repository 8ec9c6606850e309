# SPDX-License-Identifier: Apache-2.0
"""Recovery on the database: compare the stored ledger with what is known outside, put entries back, open an epoch.

All of it happens on the sequencer's own connection while this process holds the lead, so nothing is signed meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from psycopg.rows import tuple_row

from audit import appending, continuity, direct, entries, epochs, stored
from audit.checkpoint import Checkpoint, NoteSigner, NoteVerifier, open_checkpoint, sign_checkpoint
from audit.epochs import Epoch, origin_of
from audit.heads import HeadKeeper, KnownHead, known_heads
from audit.merkle import leaf_hash
from audit.recovery import Decided, Plan, Way
from audit.recovery_sources import LostEntries
from audit.stored import Conn
from khatim.errors import Conflict, LedgerForked, LedgerInvalid, Unavailable

_EPOCHS_MOST = 1000


@dataclass(frozen=True)
class Workbench:
    """What a recovery needs beside the database: the ledger's first origin, a key for each epoch, the keepers."""

    origin: str
    signer_of: Callable[[int], NoteSigner]
    keepers: Sequence[HeadKeeper]


@contextmanager
def leading(dsn: str, *, patience_s: float = 15.0) -> Iterator[Conn]:
    """Yield the connection that leads the ledger; raises `Unavailable` where a sequencer does not give up the lead.

    A halted sequencer holds the lock only while it looks.
    """
    deadline = time.monotonic() + patience_s
    with direct.translated(), direct.connect(dsn) as conn:
        while not direct.take_lead(conn):
            if time.monotonic() > deadline:
                raise Unavailable("a sequencer leads the ledger and does not stand still: there is nothing to recover")
            time.sleep(0.05)
        yield conn


def plan(conn: Conn, bench: Workbench, lost: LostEntries | None = None) -> Plan:
    """Say what is missing and what would be done about it.

    Raises `LedgerInvalid` when the stored ledger itself does not re-derive, or when *lost* does not lead to the known
    checkpoint: then it is not the copy to put back.
    """
    known = continuity.stored_epochs(conn)
    if not known:
        raise Conflict("the database holds no ledger at all", advice="Restore a backup, however old it is.")
    last = known[-1]
    size, root = _stored(conn, last)
    heads, silent = known_heads(bench.keepers, _verifiers(bench))
    if silent:
        raise Unavailable("; ".join(silent), advice="A recovery asks everyone who may know more.")
    against = [head for head in heads if continuity.contradicted(conn, size, known, head)]
    if not against:
        return Plan(Way.NOTHING, last.origin, size, root.hex())
    worst = max(against, key=lambda head: (_number(bench, head), head.checkpoint.size))
    if lost is not None:
        _put_back(None, conn, size, worst.checkpoint, lost)
    found = Plan(
        way=Way.EPOCH if lost is None else Way.IMPORT,
        origin=last.origin,
        size=size,
        root=root.hex(),
        keeper=worst.keeper,
        known_size=worst.checkpoint.size,
        known_note=worst.note,
        lost_from=_lost_from(conn, size, known, heads, worst),
        lost_to=worst.checkpoint.size,
    )
    if found.way is Way.IMPORT:
        return found
    number = max(_number(bench, worst), last.number) + 1
    signer = bench.signer_of(number)
    return replace(found, next_number=number, next_origin=signer.name, next_vkey=signer.vkey)


def carry_out(
    conn: Conn, bench: Workbench, planned: Plan, decided: Decided, lost: LostEntries | None = None
) -> Checkpoint:
    """Do what was planned and decided; return the checkpoint that the ledger goes on from."""
    if planned.way is Way.IMPORT and lost is not None:
        known = Checkpoint.parse(planned.known_note.rpartition("\n\n")[0] + "\n")
        with conn.transaction():
            _put_back(conn, conn, planned.size, known, lost)
            appending.add_checkpoint(conn, known.size, known.root, planned.known_note)
        note = planned.known_note
    else:
        note = _open_epoch(conn, bench, planned, decided)
    for keeper in bench.keepers:
        keeper.keep(note)
    return Checkpoint.parse(note.rpartition("\n\n")[0] + "\n")


def _open_epoch(conn: Conn, bench: Workbench, planned: Plan, decided: Decided) -> str:
    before, signer = continuity.stored_epochs(conn)[-1], bench.signer_of(planned.next_number)
    epoch = Epoch(planned.next_number, signer.name, signer.vkey, planned.size, decided.loss(planned))
    with conn.transaction():
        head = appending.head_at(conn, planned.size)
        now = direct.value(conn.execute("SELECT clock_timestamp()"))
        body = epochs.opening_body(epoch, bench.signer_of(before.number), now)
        appending.append(conn, head, [(body, None)])
        checkpoint = Checkpoint(signer.name, head.frontier.size, head.frontier.root())
        note = sign_checkpoint(checkpoint, signer)
        appending.add_checkpoint(conn, checkpoint.size, checkpoint.root, note)
        conn.execute(
            'INSERT INTO ledger_epochs (number, origin, "first", "at") VALUES (%s, %s, %s, %s)',
            (epoch.number, epoch.origin, epoch.first, now),
        )
        if len(continuity.stored_epochs(conn)) < 2:  # noqa: PLR2004 - the first one and this one
            raise LedgerInvalid("the new epoch does not open", place=f"entry {epoch.first}")
    return note


def _put_back(write: Conn | None, read: Conn, size: int, known: Checkpoint, lost: LostEntries) -> None:
    """Derive the tree that *lost* leads to from *size*, writing it through *write* if given; it has to be *known*'s."""
    head = appending.head_at(read, size)
    if known.size <= size:
        raise LedgerForked(
            f"the stored ledger and the known checkpoint of {known.size} are two histories: no entry can be put back",
            place="head",
        )
    back: set[bytes] = set()

    def told() -> Iterator[tuple[bytes, bytes | None]]:
        for index, (entry, payload) in enumerate(lost.between(size, head.prev, known), size):
            back.add(entries.body_of(entry, index))
            yield entry, payload

    if write is None:
        for index, (entry, _) in enumerate(told(), size):
            if entries.parse(entry, index).prev != head.prev:
                raise LedgerInvalid(f"entry {index} does not follow from the one before", place=f"entry {index}")
            head.prev = entries.link_of(entry)
            head.frontier.append(leaf_hash(entry))
    else:
        appending.add(write, head, told())
        _forget_waiting(write, back)
    if head.frontier.root() != known.root:
        raise LedgerInvalid("these entries do not lead to the checkpoint that is known outside", place="root")


def _forget_waiting(conn: Conn, back: set[bytes]) -> None:
    """Take out of the outbox what stands in the ledger again: the backup is from before it was sequenced."""
    rows = conn.cursor(row_factory=tuple_row).execute("SELECT id, body FROM ledger_outbox", binary=True).fetchall()
    again = [number for number, body in rows if bytes(body) in back]
    conn.execute("DELETE FROM ledger_outbox WHERE id = ANY (%s)", (again,))


def _stored(conn: Conn, last: Epoch) -> tuple[int, bytes]:
    """Return size and root of the stored ledger, its last entries hashed anew and its checkpoint verified."""
    checkpoint = stored.checkpoint_at(conn)
    if checkpoint is None:
        raise LedgerInvalid("the ledger has no checkpoint", place="checkpoint")
    root = appending.head_at(conn, checkpoint.size).frontier.root()
    signed = open_checkpoint(checkpoint.note, last.origin, [last.verifier])
    if (signed.size, signed.root) != (checkpoint.size, root):
        raise LedgerInvalid(f"the stored tree does not have the root of checkpoint {checkpoint.size}", place="root")
    return checkpoint.size, root


def _lost_from(conn: Conn, size: int, known: Sequence[Epoch], heads: Sequence[KnownHead], worst: KnownHead) -> int:
    """Return from where on entries may be missing.

    A database that only ended early misses what follows its end.  One that went on by itself shares with the other
    history what some keeper's smaller checkpoint proves, else nothing that could be proved.
    """
    if size < worst.checkpoint.size:
        return size
    shared = [head.checkpoint.size for head in heads if not continuity.contradicted(conn, size, known, head)]
    return max([at for at in shared if at < worst.checkpoint.size], default=0)


def _verifiers(bench: Workbench) -> list[NoteVerifier]:
    """Return the verifiers of the epochs that the keepers' notes name, also of one that the database has lost."""
    numbers = {1}
    for keeper in bench.keepers:
        origin = (keeper.highest() or "").partition("\n")[0]
        tail = origin.removeprefix(f"{bench.origin}/")
        if tail.isdecimal() and 1 < int(tail) <= _EPOCHS_MOST and origin == origin_of(bench.origin, int(tail)):
            numbers |= set(range(2, int(tail) + 1))
    return [bench.signer_of(number).verifier for number in sorted(numbers)]


def _number(bench: Workbench, head: KnownHead) -> int:
    tail = head.checkpoint.origin.removeprefix(f"{bench.origin}/")
    return int(tail) if tail.isdecimal() else 1
