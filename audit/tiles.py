# SPDX-License-Identifier: Apache-2.0
"""The tile layout of a log (C2SP tlog-tiles): where each hash and each entry lies, and how tiles grow.

Tile (level, number) holds up to 256 hashes; hash *i* of it is the root of 256**level leaves.  Entry bundles hold the
same 256 entries as the level-0 tile of their number.  A tile narrower than 256 is *partial* and says so in its path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from audit.merkle import EMPTY_ROOT, HASH_SIZE, Node, Tree, node_hash
from khatim.errors import LedgerInvalid, Malformed

WIDTH = 256
HEIGHT = 8  # 2**8 == WIDTH: the Merkle levels inside one tile
ENTRY_MAX = 65_535  # an entry's length is written in two bytes
MAX_LEVEL = 63
CHECKPOINT = "checkpoint"
"""The path of the latest checkpoint below the log's prefix."""
ENDORSED = "endorsed"
"""The path of the largest checkpoint that others vouch for, with what they put under it."""
_PATH = re.compile(r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?\Z")
_CACHED_TILES = 64


@dataclass(frozen=True, slots=True)
class TileRef:
    """One tile or entry bundle: *level* is None for a bundle, *width* the number of hashes or entries in it."""

    level: int | None
    number: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Return the path below the log's prefix: ``tile/0/x001/x234/067.p/112``."""
        groups, rest = [f"{self.number % 1000:03d}"], self.number // 1000
        while rest:
            groups.append(f"x{rest % 1000:03d}")
            rest //= 1000
        level = "entries" if self.level is None else str(self.level)
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{level}/{'/'.join(reversed(groups))}{partial}"

    @property
    def first(self) -> int:
        """Return the index, within its level, of the first hash or entry."""
        return self.number * WIDTH

    @classmethod
    def parse(cls, path: str) -> TileRef:
        """Read a tile's path; raises `Malformed` if it is not exactly the one that `path` writes."""
        match = _PATH.match(path)
        if match:
            level = None if match[1] == "entries" else int(match[1])
            ref = cls(level, int(match[2].replace("x", "").replace("/", "")), int(match[3] or WIDTH))
            if ref.width <= WIDTH and (level or 0) <= MAX_LEVEL and ref.path == path:
                return ref
        raise Malformed(f"not the path of a tile: {path[:200]!r}")


def payload_path(digest: str) -> str:
    """Return where a payload too large for an entry lies beside the tiles (our addition): ``payload/sha256/<hex>``."""
    return f"payload/{digest.replace(':', '/')}"


@dataclass(frozen=True, slots=True)
class FullTile:
    """A completed tile: its 256 hashes side by side, and their root, which is one hash of the level above."""

    level: int
    number: int
    hashes: bytes
    root: bytes


def hashes_of(data: bytes) -> list[bytes]:
    """Split the bytes of a hash tile; raises `Malformed` if they are not whole hashes, 1 to 256 of them."""
    if not data or len(data) % HASH_SIZE or len(data) > WIDTH * HASH_SIZE:
        raise Malformed(f"{len(data)} bytes are not a tile of hashes")
    return [data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE)]


def subtree_root(hashes: Sequence[bytes]) -> bytes:
    """Return the root of a complete subtree over *hashes* (their number is a power of two)."""
    row = list(hashes)
    while len(row) > 1:
        row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
    return row[0]


def layout(size: int) -> Iterator[TileRef]:
    """Yield every bundle and tile of a tree of *size*: bundles first, then level by level; a partial one ends each."""
    yield from _row(None, size)
    level, count = 0, size
    while count:
        yield from _row(level, count)
        level, count = level + 1, count // WIDTH


def _row(level: int | None, count: int) -> Iterator[TileRef]:
    for number in range(count // WIDTH):
        yield TileRef(level, number)
    if count % WIDTH:
        yield TileRef(level, count // WIDTH, count % WIDTH)


def encode_bundle(entries: Iterable[bytes]) -> bytes:
    """Return an entry bundle: each entry after its length in two bytes; raises `Malformed` for one over 65,535."""
    parts: list[bytes] = []
    for entry in entries:
        if len(entry) > ENTRY_MAX:
            raise Malformed(f"an entry of {len(entry)} bytes does not fit (at most {ENTRY_MAX})")
        parts += (len(entry).to_bytes(2, "big"), entry)
    return b"".join(parts)


def decode_bundle(data: bytes) -> list[bytes]:
    """Split an entry bundle; raises `Malformed` if the lengths do not add up."""
    entries: list[bytes] = []
    at, end = 0, len(data)
    try:
        while at < end:
            start = at + 2
            at = start + (data[at] << 8 | data[at + 1])
            entries.append(data[start:at])
    except IndexError:
        at = -1
    if at != end:
        raise Malformed("the entry bundle ends inside an entry")
    return entries


def nodes_of(read: Callable[[int, int], Sequence[bytes]]) -> Node:
    """Return the node function (see `audit.merkle`) of a log whose tile (level, number) *read* returns as hashes.

    The last tiles read are kept; a proof reads at most two tiles per level of tiles.
    """
    cached = lru_cache(_CACHED_TILES)(read)

    def node(level: int, index: int) -> bytes:
        tile_level, inner = divmod(level, HEIGHT)
        number, offset = divmod(index << inner, WIDTH)
        hashes = cached(tile_level, number)[offset : offset + (1 << inner)]
        if len(hashes) != 1 << inner:
            place = TileRef(tile_level, number).path
            raise LedgerInvalid(f"{place} is narrower than the tree needs", place=place)
        return subtree_root(hashes)

    return node


class Frontier:
    """The right edge of a log: for each level the hashes of its last, unfinished tile.  All a log needs to grow."""

    def __init__(self, partial: Iterable[Sequence[bytes]] = ()) -> None:
        """Start empty, or from the unfinished tiles of levels 0, 1, … (each fewer than 256 hashes)."""
        self._partial = [list(hashes) for hashes in partial]
        self.size: int = sum(len(hashes) * WIDTH**level for level, hashes in enumerate(self._partial))

    def unfinished(self) -> list[tuple[str, bytes]]:
        """Return path and bytes of the partial tiles at this size."""
        rows = enumerate(self._partial)
        return [(TileRef(n, self._count(n) // WIDTH, len(row)).path, b"".join(row)) for n, row in rows if row]

    def _count(self, level: int) -> int:
        """Return how many hashes the log has at a level of tiles."""
        return self.size >> HEIGHT * level

    def append(self, leaf: bytes) -> list[FullTile]:
        """Add a leaf hash; return the tiles that it completed, lowest level first."""
        self.size += 1
        return self._put(0, leaf)

    def append_tile(self, root: bytes) -> list[FullTile]:
        """Add a full level-0 tile by its root, where one begins; return the tiles above that it completed."""
        if self.size % WIDTH:
            raise LedgerInvalid(f"no tile begins at {self.size}", place=f"entry {self.size}")
        self.size += WIDTH
        if not self._partial:
            self._partial.append([])
        return self._put(1, root)

    def _put(self, level: int, node: bytes) -> list[FullTile]:
        done: list[FullTile] = []
        while True:
            if level == len(self._partial):
                self._partial.append([])
            row = self._partial[level]
            row.append(node)
            if len(row) < WIDTH:
                return done
            node = subtree_root(row)
            done.append(FullTile(level, self._count(level) // WIDTH - 1, b"".join(row), node))
            row.clear()
            level += 1

    def root(self) -> bytes:
        """Return the root of the whole log."""
        found: bytes | None = None
        for row in self._partial:
            end = len(row)
            while end:  # complete subtrees from right to left: the set bits of the size, lowest first
                start = end - (end & -end)
                subtree = subtree_root(row[start:end])
                found = subtree if found is None else node_hash(subtree, found)
                end = start
        return EMPTY_ROOT if found is None else found


def tiles_of(tree: Tree, size: int | None = None) -> Iterator[tuple[str, bytes]]:
    """Yield path and bytes of every hash tile (partial ones too) of the first *size* leaves of a tree in memory."""
    for ref in layout(tree.size if size is None else size):
        if ref.level is not None:
            first = ref.number * WIDTH
            hashes = (tree.node(ref.level * HEIGHT, first + offset) for offset in range(ref.width))
            yield ref.path, b"".join(hashes)


def bundles_of(entries: Iterable[bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield path and bytes of every entry bundle (a partial one last)."""
    number, waiting = 0, list[bytes]()
    for entry in entries:
        waiting.append(entry)
        if len(waiting) == WIDTH:
            yield TileRef(None, number).path, encode_bundle(waiting)
            number, waiting = number + 1, []
    if waiting:
        yield TileRef(None, number, len(waiting)).path, encode_bundle(waiting)
