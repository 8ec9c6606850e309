# SPDX-License-Identifier: Apache-2.0
"""The fast way through an honest ledger: a bundle at a time, in several processes, each checked by itself.

It answers yes or nothing, and checks all that the slow way (`audit.walk`) does: envelopes, links, leaves, tiles, that
every event is a JSON object with its moment and kind, payloads kept aside.  At the first thing that is not as Khatim
writes it this way gives up, and the slow one decides whether it is wrong and names the place.

For the tree alone, every byte is hashed into its leaf, and all tiles and the root are derived; links and what events
say are left out, but for the ledger's own (`ledger.…`), which tell whose it is.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from multiprocessing import get_context
from typing import Any

from audit import entries, epochs
from audit.epochs import Epoch
from audit.hashing import leaves_and_links, leaves_of, root_of
from audit.merkle import HASH_SIZE
from audit.skimming import skim
from audit.sources import FolderSource, TileSource
from audit.tiles import WIDTH, Frontier, TileRef, decode_bundle, payload_path
from audit.walk import LedgerReport
from khatim.errors import LedgerInvalid, Malformed
from khatim.vocabulary import Digest

BUNDLES = 64  # in one block: 16,384 entries, some ten megabytes
_KIND_MAX = 500
_SPECIAL = "ledger."
_SPECIAL_MARK = b'"kind":"ledger.'
# Moments of this one form compare as text.
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_MOMENT = b"0000-00-00T00:00:00.000000Z"
_HEAD = b'{"event":'
_INDEX = b',"index":%d,"prev":"'
_END = b'","v":1}'
_PREV = slice(-len(_END) - 2 * HASH_SIZE, -len(_END))
Progress = Callable[[int, int], None]
"""``progress(done, total)`` in entries."""


@dataclass(slots=True)
class Block:
    """What some bundles in a row hold: every check inside them has held.

    *prev* is what its first entry names as the one before, *head* the hash of its last (both empty for the tree alone);
    *leaves* are those of a bundle that is not full, *roots* those of full ones; *special* are the events of kinds
    ``ledger.…``, by index.
    """

    prev: str = ""
    head: str = ""
    count: int = 0
    roots: list[bytes] = field(default_factory=list)
    leaves: bytes = b""
    kinds: Counter[str] = field(default_factory=Counter)
    first_at: str = "~"
    last_at: str = ""
    special: dict[int, Mapping[str, Any]] = field(default_factory=dict)


def usable_cores() -> int:
    """Return how many processes can work at once: the cores that this one may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def blocks_of(source: TileSource, size: int, *, processes: int = 1, tree_only: bool = False) -> Iterator[Block | None]:
    """Yield the blocks of the first *size* entries in order; None in the place of one that is not as it should be."""
    spans = [(first, min(first + BUNDLES * WIDTH, size)) for first in range(0, size, BUNDLES * WIDTH)]
    if processes < 2 or len(spans) < 4 or not isinstance(source, FolderSource):  # noqa: PLR2004 - not worth a process
        yield from (block_of(source, *span, tree_only=tree_only) for span in spans)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("fork")) as pool:
        rest = (pool.submit(block_of, source, *span, tree_only=tree_only) for span in spans)
        # As many as keep everybody busy, so that memory stays flat.
        waiting = list(islice(rest, processes * 2))
        while waiting:
            found = waiting.pop(0).result()
            waiting += islice(rest, 1)
            yield found
            if found is None:
                pool.shutdown(cancel_futures=True)
                return


def block_of(source: TileSource, first: int, end: int, *, tree_only: bool = False) -> Block | None:
    """Check the entries [first, end), bundle by bundle; None if anything is not as Khatim writes it."""
    block = Block()
    read = _read_tree if tree_only else _read
    try:
        for start in range(first, end, WIDTH):
            ref = TileRef(None, start // WIDTH, min(WIDTH, end - start))
            found = decode_bundle(source.read(ref.path))
            leaves = read(source, block, found, start) if len(found) == ref.width else None
            if leaves is None or leaves != source.read(TileRef(0, ref.number, ref.width).path):
                return None
            block.count += ref.width
            if ref.width == WIDTH:
                block.roots.append(root_of(leaves))
            else:
                block.leaves = leaves
    except (LedgerInvalid, Malformed, ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None
    return block


def _read(source: TileSource, block: Block, found: Sequence[bytes], start: int) -> bytes | None:
    """Return the leaves of a bundle whose links and events hold; None otherwise."""
    leaves, links = leaves_and_links(found)
    if not block.head:
        block.head = block.prev = found[0][_PREV].decode("ascii")
    following = links.hex()
    bodies = _bodies(found, start, block.head + following[: -2 * HASH_SIZE])
    if bodies is None or not _read_events(source, block, bodies, start):
        return None
    block.head = following[-2 * HASH_SIZE :]
    return leaves


def _read_tree(_: TileSource, block: Block, found: Sequence[bytes], start: int) -> bytes | None:
    """Return the leaves of a bundle; of its entries, only those about the ledger itself are read."""
    for index, entry in enumerate(found, start):
        if index == 0 or _SPECIAL_MARK in entry:
            event = block.special[index] = entries.parse(entry, index).event
            if not _take_in(block, [event["at"]], [event["kind"]]):
                return None
    return leaves_of(found)


def _bodies(found: Sequence[bytes], start: int, prevs: str) -> list[bytes] | None:
    """Take the envelopes off; None unless they give the indexes from *start* on, and *prevs* one after the other.

    A part of all envelopes is compared at once: what is done entry by entry costs more than its hashes.
    """
    count, head, prev = len(found), len(_HEAD), len(_END) + 2 * HASH_SIZE
    if (
        b"".join([entry[:head] for entry in found]) != _HEAD * count
        or b"".join([entry[_PREV] for entry in found]) != prevs.encode()
        or b"".join([entry[-len(_END) :] for entry in found]) != _END * count
    ):
        return None
    if len(str(start)) != len(str(start + count - 1)):  # indexes of two lengths: seldom
        said = [_INDEX % index for index in range(start, start + count)]
        pairs = list(zip(found, said, strict=True))
        if not all(entry.endswith(one, 0, -prev) for entry, one in pairs):
            return None
        return [entry[head : -prev - len(one)] for entry, one in pairs]
    wanted = _INDEX * count % tuple(range(start, start + count))
    size = prev + len(wanted) // count
    if b"".join([entry[-size:-prev] for entry in found]) != wanted:
        return None
    return [entry[head:-size] for entry in found]


def _read_events(source: TileSource, block: Block, bodies: Sequence[bytes], start: int) -> bool:
    """Take in what the events say; False for one that Khatim would not have written."""
    told = skim(bodies)
    kinds = [one.kind for one in told]
    if not _take_in(block, [one.at for one in told], kinds):
        return False
    if any(kind.startswith(_SPECIAL) for kind in set(kinds)):
        for at, kind in enumerate(kinds):
            if kind.startswith(_SPECIAL):
                block.special[start + at] = entries.event_of(bodies[at], f"entry {start + at}")
    digests = [one.payload_digest for one in told if isinstance(one.payload_digest, str)]
    return all(_holds_payload(source, digest) for digest in digests)


def _take_in(block: Block, moments: Sequence[str], kinds: Sequence[str]) -> bool:
    """Count events; False for a moment or a kind that is not written as Khatim does.  ValueError for 30 February."""
    if " ".join(moments).encode().translate(_DIGITS) != b" ".join([_MOMENT] * len(moments)):
        return False
    for moment in moments:
        datetime.fromisoformat(moment)
    counted = Counter(kinds)
    if any(len(kind) > _KIND_MAX or "\0" in kind for kind in counted):
        return False
    block.first_at = min(block.first_at, *moments)
    block.last_at = max(block.last_at, *moments)
    block.kinds.update(counted)
    return True


def _holds_payload(source: TileSource, digest: str) -> bool:
    return str(Digest.of(source.read(payload_path(str(Digest.parse(digest)))))) == digest


class Whole:
    """The blocks put together: the chain across them, the tiles above them, the epochs that their events open."""

    def __init__(self, *, tree_only: bool = False) -> None:
        """Start before entry 0; for the tree alone, the links are not looked at."""
        self.frontier = Frontier()
        self.epochs: list[Epoch] = []
        self._tree_only = tree_only
        self._head = entries.NO_ENTRY.hex()
        self._kinds: Counter[str] = Counter()
        self._first_at, self._last_at = "~", ""

    def take(self, source: TileSource, block: Block) -> bool:
        """Take the next block; False if it does not follow, or a tile above it is not what it leads to."""
        if (block.prev != self._head and not self._tree_only) or not self._open(block):
            return False
        for root in block.roots:
            for tile in self.frontier.append_tile(root):
                if source.read(TileRef(tile.level, tile.number).path) != tile.hashes:
                    return False
        for at in range(0, len(block.leaves), HASH_SIZE):
            self.frontier.append(block.leaves[at : at + HASH_SIZE])
        self._head = block.head
        self._kinds.update(block.kinds)
        self._first_at = min(self._first_at, block.first_at)
        self._last_at = max(self._last_at, block.last_at)
        return True

    def _open(self, block: Block) -> bool:
        for index, event in sorted(block.special.items()):
            opened = epochs.next_of(event, index, self.epochs[-1]) if self.epochs else epochs.first_of(event)
            if index == 0 and opened is None:
                return False
            if opened:
                self.epochs.append(opened)
        return bool(self.epochs)

    def ends_in(self, source: TileSource, root: bytes) -> bool:
        """Whether the blocks lead to *root*, and the unfinished tiles are what they lead to."""
        return self.frontier.root() == root and all(
            source.read(path) == derived for path, derived in self.frontier.unfinished()
        )

    def report(self, root: bytes) -> LedgerReport:
        """Return what the ledger holds."""
        return LedgerReport(
            origin=self.epochs[-1].origin,
            size=self.frontier.size,
            root=root,
            head=bytes.fromhex(self._head),
            first_at=datetime.fromisoformat(self._first_at),
            last_at=datetime.fromisoformat(self._last_at),
            kinds=dict(sorted(self._kinds.items())),
            epochs=tuple(self.epochs),
            skipped=self.frontier.size - self._kinds.total(),
        )
