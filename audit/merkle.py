# SPDX-License-Identifier: Apache-2.0
"""Merkle trees of RFC 6962 / RFC 9162: roots, inclusion and consistency proofs, and how to check them.

A *node* is a complete subtree: level 0 is the leaf hashes, node (level, i) covers the leaves
[i * 2**level, (i + 1) * 2**level).  Everything here is computed from a function that returns nodes, so that the same
rules serve a tree in memory (`Tree`) and one that is stored in tiles (`audit.tiles`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256

from khatim.errors import LedgerInvalid

EMPTY_ROOT = sha256(b"").digest()  # RFC 9162 2.1.1: the hash of an empty list
HASH_SIZE = 32

Node = Callable[[int, int], bytes]
"""``node(level, index)``: the hash of a complete subtree."""


def leaf_hash(data: bytes) -> bytes:
    """Return SHA-256(0x00 || data)."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return SHA-256(0x01 || left || right)."""
    return sha256(b"\x01" + left + right).digest()


def _split(count: int) -> int:
    """Return the largest power of two smaller than *count* (>= 2)."""
    return 1 << ((count - 1).bit_length() - 1)


def range_root(start: int, end: int, node: Node) -> bytes:
    """Return MTH(D[start:end]) for a range that the recursion of RFC 9162 2.1.1 visits (or a whole tree)."""
    if end == start:
        return EMPTY_ROOT
    count = end - start
    if count & (count - 1) == 0 and start % count == 0:
        level = count.bit_length() - 1
        return node(level, start >> level)
    middle = start + _split(count)
    return node_hash(range_root(start, middle, node), range_root(middle, end, node))


def inclusion_path(index: int, size: int, node: Node) -> list[bytes]:
    """Return the inclusion proof of leaf *index* in the tree of *size* (RFC 9162 2.1.3.1), nearest sibling first."""
    if not 0 <= index < size:
        raise LedgerInvalid(f"there is no leaf {index} in a tree of size {size}", place=f"entry {index}")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(range_root(middle, end, node))
            end = middle
        else:
            path.append(range_root(start, middle, node))
            start = middle
    return path[::-1]


def consistency_path(old: int, size: int, node: Node) -> list[bytes]:
    """Return the proof that the tree of size *old* is a prefix of the tree of *size* (RFC 9162 2.1.4.1)."""
    if not 0 <= old <= size:
        raise LedgerInvalid(f"a tree of size {size} does not contain one of size {old}", place="checkpoint")
    if old in (0, size):
        return []  # RFC 9162 2.1.4.2: nothing has to be shown
    path: list[bytes] = []
    start, end, whole = 0, size, True
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            path.append(range_root(middle, end, node))
            end = middle
        else:
            path.append(range_root(start, middle, node))
            start, whole = middle, False
    if not whole:  # the old root itself is known to the verifier unless the walk left the left edge
        path.append(range_root(start, end, node))
    return path[::-1]


class Tree:
    """A growing Merkle tree in memory that keeps every complete node; one writer, amortised O(1) per leaf."""

    def __init__(self) -> None:
        """Start with no leaves."""
        self._levels: list[list[bytes]] = [[]]

    @property
    def size(self) -> int:
        """The number of leaves."""
        return len(self._levels[0])

    def append(self, leaf: bytes) -> int:
        """Add a leaf *hash* (see `leaf_hash`) and return its index."""
        index, level, node = self.size, 0, leaf
        self._levels[0].append(leaf)
        while len(self._levels[level]) % 2 == 0:
            node = node_hash(self._levels[level][-2], node)
            level += 1
            if level == len(self._levels):
                self._levels.append([])
            self._levels[level].append(node)
        return index

    def node(self, level: int, index: int) -> bytes:
        """Return the hash of a complete subtree; raises `LedgerInvalid` if the tree does not hold it yet."""
        try:
            return self._levels[level][index]
        except IndexError as missing:
            place = f"node {level}/{index}"
            raise LedgerInvalid(f"the tree of size {self.size} has no {place}", place=place) from missing

    def root(self, size: int | None = None) -> bytes:
        """Return the root of the first *size* leaves (all of them by default)."""
        return range_root(0, self._at(size), self.node)

    def inclusion_proof(self, index: int, size: int | None = None) -> list[bytes]:
        """Return the inclusion proof of leaf *index* in the tree of *size*."""
        return inclusion_path(index, self._at(size), self.node)

    def consistency_proof(self, old: int, size: int | None = None) -> list[bytes]:
        """Return the proof that the first *old* leaves are a prefix of the first *size*."""
        return consistency_path(old, self._at(size), self.node)

    def _at(self, size: int | None) -> int:
        if size is None:
            return self.size
        if not 0 <= size <= self.size:
            raise LedgerInvalid(f"the tree has {self.size} leaves, not {size}", place="size")
        return size


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that the leaf hash *leaf* stands at *index* of the tree (RFC 9162 2.1.3.2); raises `LedgerInvalid`."""
    place = f"inclusion proof of {index} in {size}"
    if not 0 <= index < size:
        raise LedgerInvalid(f"there is no leaf {index} in a tree of size {size}", place=place)
    _check_hashes([leaf, root, *proof], place)
    found = leaf
    for sibling, is_left in _climb(index, size - 1, proof, place):
        found = node_hash(sibling, found) if is_left else node_hash(found, sibling)
    if found != root:
        raise LedgerInvalid("the inclusion proof does not lead to the root", place=place)


def verify_consistency(old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the old tree is a prefix of the new one (RFC 9162 2.1.4.2); raises `LedgerInvalid`."""
    place = f"consistency proof of {old_size} in {size}"
    if not 0 <= old_size <= size:
        raise LedgerInvalid(f"a tree of size {size} does not contain one of size {old_size}", place=place)
    _check_hashes([old_root, root, *proof], place)
    if old_size in (0, size):
        if proof or old_root != (root if old_size == size else EMPTY_ROOT):
            raise LedgerInvalid("the trees of these sizes do not agree", place=place)
        return
    # RFC 9162 2.1.4.2 step 2: a complete old tree is itself the first node of the proof.
    nodes = [old_root, *proof] if old_size & (old_size - 1) == 0 else list(proof)
    if not nodes:
        raise LedgerInvalid("the consistency proof is empty", place=place)
    complete = ((old_size - 1) ^ old_size).bit_length() - 1  # the set bits at the end of old_size - 1
    old_found = new_found = nodes[0]
    for sibling, is_left in _climb((old_size - 1) >> complete, (size - 1) >> complete, nodes[1:], place):
        if is_left:
            old_found, new_found = node_hash(sibling, old_found), node_hash(sibling, new_found)
        else:
            new_found = node_hash(new_found, sibling)
    if old_found != old_root or new_found != root:
        raise LedgerInvalid("the newer tree does not continue the older one", place=place)


def _climb(position: int, last: int, proof: Sequence[bytes], place: str) -> Iterator[tuple[bytes, bool]]:
    """Yield each sibling from a node up to the root, and whether it stands left; the proof must fit the tree exactly.

    *position* is the node's place in its level, *last* that of the level's last node (fn and sn of RFC 9162).
    """
    for sibling in proof:
        if last == 0:
            raise LedgerInvalid("the proof is too long", place=place)
        is_left = bool(position & 1) or position == last
        yield sibling, is_left
        while is_left and position and not position & 1:  # a last node without sibling moves up unhashed
            position, last = position >> 1, last >> 1
        position, last = position >> 1, last >> 1
    if last != 0:
        raise LedgerInvalid("the proof is too short", place=place)


def _check_hashes(hashes: Sequence[bytes], place: str) -> None:
    if any(len(one) != HASH_SIZE for one in hashes):
        raise LedgerInvalid("a hash in the proof is not 32 bytes long", place=place)
