# SPDX-License-Identifier: Apache-2.0
"""The quick way through an honest ledger: a bundle at a time, in several processes, each checked by itself.

It answers yes or nothing.  What the slow way (`audit.walk`) checks of chain, tree and envelopes is checked here, but at
the first thing that is not as Khatim writes it this way gives up, and the slow one decides whether it is wrong and
names the place.  Only the slow way reads the whole event: that a payload is JSON is the signer's word here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from itertools import islice
from multiprocessing import get_context
from typing import Any

import orjson

from audit import entries, epochs
from audit.epochs import Epoch
from audit.merkle import HASH_SIZE
from audit.sources import FolderSource, TileSource
from audit.tiles import WIDTH, Frontier, TileRef, decode_bundle, payload_path
from audit.walk import LedgerReport
from khatim.errors import LedgerInvalid, Malformed
from khatim.vocabulary import Digest

BUNDLES = 64  # in one block: 16,384 entries, a few megabytes
_KIND_MAX = 500
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII).fullmatch
_AT = rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)"
# Only where no backslash stands in the whole bundle: then a string ends at the next quotation mark.
_PLAIN = re.compile(rb'\{"event":\{"actor":"[^"]*","at":"' + _AT + rb'","entity":"[^"]*","kind":"([a-z][^"]*)","').match
_TAIL = '},"index":%d,"prev":"%s","v":1}'
_PREV = slice(-72, -8)
Progress = Callable[[int, int], None]
"""``progress(done, total)`` in entries."""


@dataclass(slots=True)
class Block:
    """What some bundles in a row hold: every check inside them has held.

    *prev* is what its first entry names as the one before, *head* the hash of its last; *leaves* are those of a
    bundle that is not full, *roots* those of full ones; *special* are the events of kinds ``ledger.…``, by index.
    """

    prev: str
    head: str = ""
    count: int = 0
    roots: list[bytes] = field(default_factory=list)
    leaves: bytes = b""
    kinds: Counter[str] = field(default_factory=Counter)
    first_at: str = "~"
    last_at: str = ""
    special: dict[int, Mapping[str, Any]] = field(default_factory=dict)


def blocks_of(source: TileSource, size: int, *, processes: int = 1) -> Iterator[Block | None]:
    """Yield the blocks of the first *size* entries in order; None in the place of one that is not as it should be."""
    spans = [(first, min(first + BUNDLES * WIDTH, size)) for first in range(0, size, BUNDLES * WIDTH)]
    if processes < 2 or len(spans) < 4 or not isinstance(source, FolderSource):  # noqa: PLR2004 - not worth a process
        yield from (block_of(source, *span) for span in spans)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("fork")) as pool:
        rest = iter(spans)
        # As many as keep everybody busy, so that memory stays flat.
        waiting = [pool.submit(block_of, source, *span) for span in islice(rest, processes * 2)]
        while waiting:
            found = waiting.pop(0).result()
            waiting += [pool.submit(block_of, source, *span) for span in islice(rest, 1)]
            yield found
            if found is None:
                pool.shutdown(cancel_futures=True)
                return


def block_of(source: TileSource, first: int, end: int) -> Block | None:
    """Check the entries [first, end), bundle by bundle; None if anything is not as Khatim writes it."""
    try:
        return _checked(source, first, end)
    except (LedgerInvalid, Malformed, ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None


def _checked(source: TileSource, first: int, end: int) -> Block | None:
    block, head = Block(prev=""), ""
    for start in range(first, end, WIDTH):
        width = min(WIDTH, end - start)
        ref = TileRef(None, start // WIDTH, width)
        data = source.read(ref.path)
        found = decode_bundle(data)
        if len(found) != width:
            return None
        leaves = b"".join([sha256(b"\x00" + entry).digest() for entry in found])
        if leaves != source.read(TileRef(0, ref.number, width).path):
            return None
        if not head:
            head = block.prev = found[0][_PREV].decode("ascii")
        links = [sha256(entry).hexdigest() for entry in found]
        if not (_follow(found, start, [head, *links[:-1]]) and _read_events(source, block, data, found, start)):
            return None
        head = links[-1]
        block.count += width
        if width == WIDTH:
            block.roots.append(root_of_tile(leaves))
        else:
            block.leaves = leaves
    block.head = head
    return block


def _follow(found: list[bytes], start: int, prevs: list[str]) -> bool:
    """Whether the envelopes give the indexes from *start* on, and these hashes of the entries before."""
    said: list[Any] = [None] * (2 * len(found))
    said[::2], said[1::2] = range(start, start + len(found)), prevs
    # One formatting and one comparison for a whole bundle: what is done entry by entry costs more than its hashes.
    wanted = (_TAIL * len(found) % tuple(said)).encode()
    if len(str(start)) == len(str(start + len(found) - 1)):
        size = len(wanted) // len(found)
        return b"".join([entry[-size:] for entry in found]) == wanted
    tails = [(_TAIL % pair).encode() for pair in zip(said[::2], prevs, strict=True)]
    return all(entry.endswith(tail) for entry, tail in zip(found, tails, strict=True))


def _read_events(source: TileSource, block: Block, data: bytes, found: list[bytes], start: int) -> bool:
    """Take in what the events say; False for one that Khatim would not have written.

    Kind and moment are read where canonical JSON puts them, before the payload.  Only what says more than that (an
    epoch, a payload kept aside) or is spelled otherwise is parsed: the hashes already bind every byte.
    """
    heads = [None] * len(found) if b"\\" in data else list(map(_PLAIN, found))
    told = [head or _parsed(entry) for head, entry in zip(heads, found, strict=True)]
    counted = Counter([one[2] for one in told])
    moments = b" ".join([one[1] for one in told]).decode("ascii").split(" ")
    # Moments of one form compare as text, and their form is checked by reading each one.
    if len(moments) != len(found) or not all(map(datetime.fromisoformat, moments)):
        return False
    block.first_at = min(block.first_at, *moments)
    block.last_at = max(block.last_at, *moments)
    for kind, count in counted.items():
        if len(kind) > _KIND_MAX:
            return False
        block.kinds[kind.decode()] += count
    if b'"ledger.' not in data and b'"payload_digest"' not in data and None not in heads:
        return True
    return all(
        _read_event(source, block, start + at, orjson.loads(entry)["event"])
        for at, entry in enumerate(found)
        if heads[at] is None or b'"ledger.' in entry or b'"payload_digest"' in entry
    )


def _read_event(source: TileSource, block: Block, index: int, event: Mapping[str, Any]) -> bool:
    if event["kind"].startswith("ledger."):
        block.special[index] = event
    digest = event.get("payload_digest")
    return not isinstance(digest, str) or _holds_payload(source, digest)


def _parsed(entry: bytes) -> tuple[bytes, bytes, bytes]:
    """Return what `_PLAIN` finds, of an event that is spelled otherwise; raises `ValueError`."""
    event = orjson.loads(entry)["event"]
    if not _MOMENT(event["at"]) or "\0" in event["kind"]:
        raise ValueError("not as Khatim writes it")
    return entry, event["at"].encode(), event["kind"].encode()


def _holds_payload(source: TileSource, digest: str) -> bool:
    return str(Digest.of(source.read(payload_path(str(Digest.parse(digest)))))) == digest


def root_of_tile(leaves: bytes) -> bytes:
    """Return the root over hashes that lie side by side; their number is a power of two."""
    row, pair = leaves, 2 * HASH_SIZE
    while len(row) > HASH_SIZE:
        row = b"".join([sha256(b"\x01" + row[at : at + pair]).digest() for at in range(0, len(row), pair)])
    return row


class Whole:
    """The blocks put together: the chain across them, the tiles above them, the epochs that their events open."""

    def __init__(self) -> None:
        """Start before entry 0."""
        self.frontier = Frontier()
        self.epochs: list[Epoch] = []
        self._head = entries.NO_ENTRY.hex()
        self._kinds: Counter[str] = Counter()
        self._first_at, self._last_at = "~", ""

    def take(self, source: TileSource, block: Block) -> bool:
        """Take the next block; False if it does not follow, or a tile above it is not what it leads to."""
        if block.prev != self._head or not self._open(block):
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
        )
