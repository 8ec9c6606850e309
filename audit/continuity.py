# SPDX-License-Identifier: Apache-2.0
"""Whether the stored ledger extends every head that is known outside its database, through all of its epochs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from psycopg.rows import tuple_row

from audit import entries, epochs, stored
from audit.epochs import Epoch
from audit.heads import KnownHead
from audit.merkle import EMPTY_ROOT, range_root
from audit.stored import Conn
from khatim.errors import LedgerForked, LedgerInvalid


def stored_epochs(conn: Conn) -> list[Epoch]:
    """Return the ledger's epochs as its entries open them; the table only says where to look.

    Empty for an empty ledger.  Raises `LedgerInvalid` where an entry does not open what the table says.
    """
    found: list[Epoch] = []
    rows = conn.cursor(row_factory=tuple_row).execute('SELECT "first" FROM ledger_epochs ORDER BY number').fetchall()
    for index in (0, *(row[0] for row in rows)):
        entry = next(iter(_entry(conn, index)), None)
        if entry is None:
            if index == 0:
                return []
            raise LedgerInvalid(f"entry {index}, which opens an epoch, is missing", place=f"entry {index}")
        event = entries.parse(entry, index).event
        opened = epochs.next_of(event, index, found[-1]) if found else epochs.first_of(event)
        if opened is None:
            raise LedgerInvalid(f"entry {index} does not open an epoch of this ledger", place=f"entry {index}")
        found.append(opened)
    return found


def _entry(conn: Conn, index: int) -> Iterable[bytes]:
    return (row[1] for row in stored.entry_rows(conn, index, index + 1))


def root_at(conn: Conn, size: int, whole: int) -> bytes:
    """Return the root of the first *size* entries of a ledger of *whole*; reads O(log n) tiles."""
    return range_root(0, size, stored.nodes(conn, whole)) if size else EMPTY_ROOT


def contradicted(conn: Conn, size: int, known: Sequence[Epoch], head: KnownHead) -> str:
    """Return in a sentence how the ledger of *size* contradicts *head*; empty when it extends it.

    A head of a closed epoch has to be one that the next epoch's opening accounts for.
    """
    said = head.checkpoint
    later = [epoch.loss for epoch in known if epoch.loss and epoch.loss.old_note.startswith(f"{said.origin}\n")]
    if not later and (not known or said.origin != known[-1].origin):
        return f"{head.keeper} holds a checkpoint of {said.origin}, an epoch that this ledger does not have"
    end, named = (later[0].lost_from, later[0].lost_to) if later else (size, size)
    if end < said.size <= named:
        return ""  # the opening of the next epoch names these entries as lost
    if said.size > end:
        return f"{head.keeper} holds a checkpoint of size {said.size}, but the ledger ends at {end}"
    if root_at(conn, said.size, size) != said.root:
        return f"{head.keeper} holds a checkpoint of size {said.size} with another root than this ledger's"
    return ""


def require_extends(conn: Conn, size: int, known: Sequence[Epoch], heads: Iterable[KnownHead]) -> None:
    """Raise `LedgerForked` unless the ledger of *size* extends all *heads*; it names the keeper and both sizes."""
    for head in heads:
        said = contradicted(conn, size, known, head)
        if said:
            raise LedgerForked(
                f"{said}: going on would be a second history",
                place="head",
                keeper=head.keeper,
                known_size=head.checkpoint.size,
                size=size,
            )
