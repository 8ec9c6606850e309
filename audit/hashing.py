# SPDX-License-Identifier: Apache-2.0
"""Many hashes at once: leaf and link of each entry of a bundle, the rows of a tile.  What `audit.merkle` says, faster.

Each hash starts as a copy of one that has taken its prefix: looking up the algorithm anew costs as much as hashing.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from audit.merkle import HASH_SIZE

_LEAF, _NODE, _LINK = sha256(b"\x00"), sha256(b"\x01"), sha256()
_PAIR = 2 * HASH_SIZE


def leaves_of(found: Sequence[bytes]) -> bytes:
    """Return the leaf hashes of entries side by side."""
    leaves: list[bytes] = []
    leaf, add = _LEAF.copy, leaves.append
    for entry in found:
        one = leaf()
        one.update(entry)
        add(one.digest())
    return b"".join(leaves)


def leaves_and_links(found: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return the leaf hashes of entries side by side, and the hashes that each next entry must carry as ``prev``.

    The two hash the same bytes at another offset (RFC 6962 puts a zero byte before a leaf), so neither saves the other.
    """
    leaves: list[bytes] = []
    links: list[bytes] = []
    leaf, link, add_leaf, add_link = _LEAF.copy, _LINK.copy, leaves.append, links.append
    for entry in found:
        one = leaf()
        one.update(entry)
        add_leaf(one.digest())
        one = link()
        one.update(entry)
        add_link(one.digest())
    return b"".join(leaves), b"".join(links)


def root_of(hashes: bytes) -> bytes:
    """Return the root over hashes that lie side by side; their number is a power of two."""
    node = _NODE.copy
    while len(hashes) > HASH_SIZE:
        row: list[bytes] = []
        add = row.append
        for at in range(0, len(hashes), _PAIR):
            one = node()
            one.update(hashes[at : at + _PAIR])
            add(one.digest())
        hashes = b"".join(row)
    return hashes
