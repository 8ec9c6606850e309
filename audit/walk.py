# SPDX-License-Identifier: Apache-2.0
"""The ledger derived anew from its entries: links, indexes, leaves, tiles and root.  The heart of every verification.

A walk takes the entries in order and compares as it goes, but a difference alone does not say which side is wrong.
So it remembers where it first saw one, and names the culprit when the root is known: a tree that ends in the signed
root has the right entries, and then it is the tile that was changed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from audit import entries, epochs
from audit.entries import Columns
from audit.epochs import Epoch
from audit.merkle import HASH_SIZE, leaf_hash
from audit.tiles import Frontier, FullTile
from khatim.errors import LedgerInvalid


@dataclass(frozen=True, slots=True)
class LedgerReport:
    """What a verified ledger holds.

    *head* is the SHA-256 of the last entry, *first_at* and *last_at* the earliest and latest moment that any event
    gives, *kinds* the number of events of each kind.  *epochs* are its logs, oldest first: more than one when entries
    were lost for good (`audit.epochs`); *origin* is that of the last.  *skipped* entries were not at hand, or only the
    tree was asked for: their leaves lead to the root, what they say was not read and does not count, and for the tree
    alone *head* is empty.  *archives* says by which way each archived range was verified, ``file`` or ``tiles``.
    """

    origin: str
    size: int
    root: bytes
    head: bytes
    first_at: datetime
    last_at: datetime
    kinds: dict[str, int]
    epochs: tuple[Epoch, ...] = ()
    skipped: int = 0
    archives: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """What one entry led to: its look-up columns, the payload it names, and the tiles that it completed."""

    columns: Columns
    payload_digest: str | None
    full: list[FullTile]


class Walk:
    """A derivation under way: `step` for every entry, `compare` for every tile, `check` at every signed root."""

    def __init__(self, origin: str, vkey: str) -> None:
        """Start before entry 0, which must open the ledger of this origin and key, or of an epoch before it."""
        self.frontier = Frontier()
        self.epochs: list[Epoch] = []
        self._origin, self._vkey = origin, vkey
        self.skipped = 0  # leaves taken without their entries
        self._head = entries.NO_ENTRY
        self._kinds: Counter[str] = Counter()
        self._moments: list[datetime] = []  # the earliest and the latest
        self._entry_fault: LedgerInvalid | None = None
        self._chain_fault: LedgerInvalid | None = None
        self._tile_fault: LedgerInvalid | None = None
        self._opening_fault: LedgerInvalid | None = None

    def step(self, entry: bytes, stored_leaf: bytes) -> Step:
        """Take the next entry and the leaf hash stored for it; raises `LedgerInvalid` if it has not the form."""
        index = self.frontier.size
        place = f"entry {index}"
        parsed = entries.parse(entry, index)
        columns = entries.columns_of(parsed.event, place)
        leaf = leaf_hash(entry)
        if leaf != stored_leaf and not self._entry_fault:
            self._entry_fault = LedgerInvalid(f"{place} is not the one in the tree", place=place)
        if self._head and parsed.prev != self._head and not self._chain_fault:
            self._chain_fault = LedgerInvalid(f"{place} does not follow from the one before", place=place)
        self._open(parsed)
        self._kinds[columns.kind] += 1
        self._moments = [min([*self._moments, columns.at]), max([*self._moments, columns.at])]
        self._head = entries.link_of(entry)
        return Step(columns, entries.payload_digest_of(parsed.event), self.frontier.append(leaf))

    def skip(self, leaf: bytes) -> list[FullTile]:
        """Take the next leaf for an entry that is not at hand; what follows it is held against its link by `rejoin`."""
        self._head = b""
        self.skipped += 1
        return self.frontier.append(leaf)

    def rejoin(self, link: bytes) -> None:
        """Go on after skipped entries, the last of which has the SHA-256 *link*; it is remembered if that differs."""
        if self._head not in {b"", link} and not self._chain_fault:
            place = f"entry {self.frontier.size - 1}"
            self._chain_fault = LedgerInvalid(f"{place} is not the one that the archive records", place=place)
        self._head = link

    def _open(self, entry: entries.Entry) -> None:
        """Note it if the entry opens an epoch; the ledger's first entry has to."""
        if self.epochs:
            opened = epochs.next_of(entry.event, entry.index, self.epochs[-1])
        else:
            opened = epochs.first_of(entry.event)
        if opened:
            self.epochs.append(opened)
        elif entry.index:
            return
        if epochs.trusted(self.epochs, self._vkey):
            self._opening_fault = None
        elif entry.index == 0:
            detail = f"entry 0 does not open the ledger of {self._origin} with this key"
            self._opening_fault = LedgerInvalid(detail, place="entry 0")
            if not opened:
                raise self._opening_fault

    def compare(self, path: str, derived: bytes, found: bytes) -> None:
        """Remember it if a tile is not what its leaves lead to."""
        if derived != found and not self._tile_fault:
            pairs = zip(derived, found, strict=False)
            at = next((n for n, (one, other) in enumerate(pairs) if one != other), min(len(derived), len(found)))
            detail = f"hash {at // HASH_SIZE} of {path} is not what the entries lead to"
            self._tile_fault = LedgerInvalid(detail, place=path)

    def check(self, root: bytes, place: str) -> None:
        """Compare with a signed root; raises `LedgerInvalid` naming the first entry that differs, else *place*."""
        if self.frontier.root() != root:
            size = self.frontier.size
            lost = LedgerInvalid(f"the first {size} entries do not lead to the signed root", place=place)
            raise self._entry_fault or self._chain_fault or lost

    def finish(self, root: bytes) -> LedgerReport:
        """Compare with the last signed root and report; raises `LedgerInvalid` naming what was changed."""
        if self._opening_fault:
            raise self._opening_fault
        self.check(root, "root")
        fault = self._tile_fault or self._chain_fault or self._entry_fault
        if fault:
            raise fault
        if not self._moments:
            raise LedgerInvalid("the ledger has no entries", place="entry 0")
        kinds = dict(sorted(self._kinds.items()))
        first_at, last_at = self._moments
        return LedgerReport(
            origin=self.epochs[-1].origin,
            size=self.frontier.size,
            root=root,
            head=self._head,
            first_at=first_at,
            last_at=last_at,
            kinds=kinds,
            epochs=tuple(self.epochs),
            skipped=self.skipped,
        )
