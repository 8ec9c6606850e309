# SPDX-License-Identifier: Apache-2.0
"""Tiles: the geometry of the specification's example, and that a log grown tile by tile is the tree itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.merkle import EMPTY_ROOT, Tree, consistency_path, inclusion_path, leaf_hash
from audit.tiles import (
    ENTRY_MAX,
    WIDTH,
    Frontier,
    FullTile,
    TileRef,
    bundles_of,
    decode_bundle,
    encode_bundle,
    hashes_of,
    layout,
    nodes_of,
    tiles_of,
)
from khatim.errors import LedgerInvalid, Malformed

SPECIFIED = 70_000  # the example of C2SP tlog-tiles


@pytest.fixture(scope="module")
def tree() -> Tree:
    made = Tree()
    for number in range(SPECIFIED):
        made.append(leaf_hash(b"%d" % number))
    return made


def test_seventy_thousand_entries_lie_as_in_the_specification() -> None:
    """256 x 273 + 112 = 70,000; 256 + 17 = 273; 1."""
    refs = list(layout(SPECIFIED))
    by_level = {level: [ref for ref in refs if ref.level == level] for level in (None, 0, 1, 2)}
    assert sum(len(rows) for rows in by_level.values()) == len(refs)
    for level in (None, 0):
        rows = by_level[level]
        assert [ref.width for ref in rows] == [WIDTH] * 273 + [112]
    assert [ref.path for ref in by_level[1]] == ["tile/1/000", "tile/1/001.p/17"]
    assert [ref.path for ref in by_level[2]] == ["tile/2/000.p/1"]
    assert by_level[0][-1].path == "tile/0/273.p/112"
    assert by_level[None][-1].path == "tile/entries/273.p/112"


def test_the_written_tiles_have_the_widths_of_their_paths(tree: Tree) -> None:
    written = dict(tiles_of(tree))
    assert set(written) == {ref.path for ref in layout(SPECIFIED) if ref.level is not None}
    assert all(len(data) == 32 * TileRef.parse(path).width for path, data in written.items())


def test_a_log_grown_by_its_frontier_is_the_tree(tree: Tree) -> None:
    frontier, full = Frontier(), list[FullTile]()
    for number in range(SPECIFIED):
        full += frontier.append(leaf_hash(b"%d" % number))
    written = dict(tiles_of(tree))
    grown = {TileRef(tile.level, tile.number).path: tile.hashes for tile in full} | dict(frontier.unfinished())
    assert grown == written
    assert frontier.root() == tree.root()


def test_proofs_from_tiles_are_those_of_the_tree(tree: Tree) -> None:
    written = dict(tiles_of(tree))
    reads = 0

    def read(level: int, number: int) -> list[bytes]:
        nonlocal reads
        reads += 1
        width = min(WIDTH, SPECIFIED // WIDTH**level - number * WIDTH)
        return hashes_of(written[TileRef(level, number, width).path])

    for index in (0, 1, 255, 256, 65_535, 65_536, 69_887, 69_888, 69_999):
        reads = 0
        assert inclusion_path(index, SPECIFIED, nodes_of(read)) == tree.inclusion_proof(index)
        assert reads <= 6, "a proof reads at most two tiles per level of tiles"
        reads = 0
        assert consistency_path(index, SPECIFIED, nodes_of(read)) == tree.consistency_proof(index)
        assert reads <= 6


@given(st.integers(0, 1500), st.integers(0, 600))
def test_a_frontier_goes_on_from_its_unfinished_tiles(before: int, after: int) -> None:
    whole = Frontier()
    for number in range(before):
        whole.append(leaf_hash(b"%d" % number))
    rows: list[list[bytes]] = [[], []]
    for path, data in whole.unfinished():
        rows[TileRef.parse(path).level or 0] = hashes_of(data)
    restored = Frontier(rows)
    assert (restored.size, restored.root()) == (whole.size, whole.root())
    for number in range(before, before + after):
        assert restored.append(leaf_hash(b"%d" % number)) == whole.append(leaf_hash(b"%d" % number))
    assert restored.root() == whole.root()


def test_an_empty_log_has_no_tiles() -> None:
    assert list(layout(0)) == []
    assert Frontier().unfinished() == []
    assert Frontier().root() == EMPTY_ROOT


def test_large_numbers_are_written_in_groups_of_three() -> None:
    assert TileRef(0, 1_234_067).path == "tile/0/x001/x234/067"
    assert TileRef(None, 1_234_067, 8).path == "tile/entries/x001/x234/067.p/8"


@given(st.none() | st.integers(0, 63), st.integers(0, 10**12), st.integers(1, WIDTH))
def test_a_path_is_read_back(level: int | None, number: int, width: int) -> None:
    ref = TileRef(level, number, width)
    assert TileRef.parse(ref.path) == ref


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile",
        "tile/0/0",
        "tile/0/0000",
        "tile/0/x000/001",
        "tile/00/000",
        "tile/64/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/012",
        "tile/0/000.p/257",
        "tile/-1/000",
        "tile/0/000/",
        "tile/0/000\n",
        "tile/0/\u0660\u0660\u0660",
        "tile/0/../../checkpoint",
        "tile/data/000",
    ],
)
def test_what_is_not_exactly_a_path_is_malformed(path: str) -> None:
    with pytest.raises(Malformed):
        TileRef.parse(path)


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_a_bundle_is_read_back(entries: list[bytes]) -> None:
    assert decode_bundle(encode_bundle(entries)) == entries


def test_bundles_hold_256_entries_each() -> None:
    entries = [b"%d" % number for number in range(600)]
    written = dict(bundles_of(entries))
    assert list(written) == ["tile/entries/000", "tile/entries/001", "tile/entries/002.p/88"]
    assert [entry for data in written.values() for entry in decode_bundle(data)] == entries


def test_an_entry_of_65535_bytes_fits_and_one_more_does_not() -> None:
    assert decode_bundle(encode_bundle([bytes(ENTRY_MAX)])) == [bytes(ENTRY_MAX)]
    with pytest.raises(Malformed, match="65536"):
        encode_bundle([bytes(ENTRY_MAX + 1)])


@pytest.mark.parametrize("data", [b"\x00", b"\x00\x02a", b"\x00\x01a\x00"])
def test_a_bundle_that_ends_early_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode_bundle(data)


@pytest.mark.parametrize("data", [b"", bytes(31), bytes(33), bytes(32 * 257)], ids=len)
def test_what_is_not_whole_hashes_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        hashes_of(data)


def test_a_tile_narrower_than_the_tree_is_named() -> None:
    node = nodes_of(lambda _level, _number: [bytes(32)])
    with pytest.raises(LedgerInvalid) as refused:
        node(0, 1)
    assert refused.value.members["place"] == "tile/0/000"
