# SPDX-License-Identifier: Apache-2.0
"""Merkle trees: the vectors of Certificate Transparency, and what no proof may get away with."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.merkle import EMPTY_ROOT, Tree, leaf_hash, node_hash, verify_consistency, verify_inclusion
from khatim.errors import LedgerInvalid

# The reference inputs and roots of the Certificate Transparency project for RFC 6962.
LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
SIZES = st.integers(1, 600)


def grown(count: int, leaf: Callable[[int], bytes] = lambda n: leaf_hash(b"%d" % n)) -> Tree:
    """Return a tree of *count* leaves."""
    tree = Tree()
    for index in range(count):
        assert tree.append(leaf(index)) == index
    return tree


TREE = grown(600)


def reference() -> Tree:
    """Return the tree of the reference inputs."""
    return grown(len(LEAVES), lambda n: leaf_hash(bytes.fromhex(LEAVES[n])))


def test_the_reference_roots_are_met() -> None:
    tree = reference()
    assert [tree.root(size).hex() for size in range(len(ROOTS))] == ROOTS
    assert tree.root() == tree.root(8)
    assert EMPTY_ROOT.hex() == ROOTS[0]


def test_the_reference_inclusion_proof_is_met() -> None:
    """Leaf 0 of 8, leaf 5 of 8 and leaf 1 of 5 of the same project's vectors."""
    tree = reference()
    assert [one.hex() for one in tree.inclusion_proof(0, 8)] == [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]
    assert [one.hex() for one in tree.inclusion_proof(1, 5)] == [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ]


def test_the_reference_consistency_proof_is_met() -> None:
    """From 6 to 8 of the same project's vectors."""
    assert [one.hex() for one in reference().consistency_proof(6, 8)] == [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]


def test_an_older_root_stays_what_it_was() -> None:
    assert TREE.root(5) == grown(5).root()


@given(SIZES, st.data())
def test_every_leaf_is_proved_included(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    leaf = leaf_hash(b"%d" % index)
    verify_inclusion(leaf, index, size, TREE.inclusion_proof(index, size), TREE.root(size))


@given(SIZES, st.data())
def test_every_older_tree_is_proved_a_prefix(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(0, size))
    verify_consistency(old, TREE.root(old), size, TREE.root(size), TREE.consistency_proof(old, size))


@given(st.integers(2, 600), st.data())
def test_a_changed_inclusion_proof_is_rejected(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof, root = TREE.inclusion_proof(index, size), TREE.root(size)
    with pytest.raises(LedgerInvalid):
        verify_inclusion(leaf_hash(b"%d" % index), index, size, changed(proof, data), root)


@given(st.integers(2, 600), st.data())
def test_an_inclusion_proof_is_of_one_leaf_and_one_place_only(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    other = data.draw(st.integers(0, size - 1).filter(lambda n: n != index))
    proof, root = TREE.inclusion_proof(index, size), TREE.root(size)
    with pytest.raises(LedgerInvalid):
        verify_inclusion(leaf_hash(b"%d" % other), index, size, proof, root)
    with pytest.raises(LedgerInvalid):
        verify_inclusion(leaf_hash(b"%d" % index), other, size, proof, root)


@given(st.integers(2, 600), st.data())
def test_a_changed_consistency_proof_is_rejected(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, size - 1))
    proof = changed(TREE.consistency_proof(old, size), data)
    with pytest.raises(LedgerInvalid):
        verify_consistency(old, TREE.root(old), size, TREE.root(size), proof)


@given(st.integers(1, 600), st.data())
def test_a_rewritten_history_has_no_consistency_proof(size: int, data: st.DataObject) -> None:
    """The operator changed one old leaf: the honest proof of the new tree does not meet the root that others keep."""
    old = data.draw(st.integers(1, size))
    victim = data.draw(st.integers(0, old - 1))
    forged = grown(size, lambda n: leaf_hash(b"forged" if n == victim else b"%d" % n))
    with pytest.raises(LedgerInvalid):
        verify_consistency(old, TREE.root(old), size, forged.root(), forged.consistency_proof(old, size))


def changed(proof: list[bytes], data: st.DataObject) -> list[bytes]:
    """Return *proof* with a hash flipped, dropped, added or cut short."""
    made = list(proof)
    how = data.draw(st.sampled_from(["flip", "drop", "add", "cut"] if proof else ["add"]))
    at = data.draw(st.integers(0, max(0, len(made) - 1)))
    if how == "flip":
        made[at] = bytes([made[at][0] ^ 1]) + made[at][1:]
    elif how == "drop":
        del made[at]
    elif how == "add":
        made.insert(data.draw(st.integers(0, len(made))), leaf_hash(b"added"))
    else:
        made[at] = made[at][:-1]
    return made


def test_a_node_is_not_taken_for_a_leaf() -> None:
    """RFC 6962 2.1: the prefixes keep leaves and nodes apart, so no second preimage can be offered."""
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(left + right) != node_hash(left, right)


def test_what_the_tree_does_not_hold_is_refused() -> None:
    tree = grown(3)
    for ask in (
        lambda: tree.root(4),
        lambda: tree.inclusion_proof(3),
        lambda: tree.inclusion_proof(-1),
        lambda: tree.consistency_proof(4),
        lambda: tree.node(1, 1),
    ):
        with pytest.raises(LedgerInvalid):
            ask()
