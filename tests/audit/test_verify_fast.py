# SPDX-License-Identifier: Apache-2.0
"""The fast way of verifying takes nothing for granted: its hashes, what it skips in an event, its memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import entries, merkle
from audit.canonical import canonical
from audit.checkpoint import Checkpoint
from audit.hashing import leaves_and_links, leaves_of, root_of
from audit.skimming import skim
from audit.tiles import subtree_root
from audit.verify import Demands, verify_ledger
from audit.verify_blocks import block_of
from khatim.cli.benchmarks import ledgers
from khatim.errors import LedgerInvalid, Malformed
from tests.audit.ledgers import OPENED, ORIGIN, SIGNER, chained, event_body, exported, ledger_of

GENESIS = entries.genesis_body(ORIGIN, SIGNER.vkey, OPENED)
TREE = Demands(tree_only=True)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=40))
def test_many_hashes_at_once_are_those_of_one_at_a_time(found: list[bytes]) -> None:
    leaves = b"".join(merkle.leaf_hash(one) for one in found)
    assert leaves_of(found) == leaves
    assert leaves_and_links(found) == (leaves, b"".join(entries.link_of(one) for one in found))


@given(st.integers(0, 8), st.randoms(use_true_random=False))
def test_the_root_over_hashes_side_by_side_is_that_of_the_tree(level: int, random: Random) -> None:
    row = [random.randbytes(32) for _ in range(1 << level)]
    assert root_of(b"".join(row)) == subtree_root(row)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=400)
@given(VALUES, st.data())
def test_nothing_is_skimmed_that_is_not_json(payload: object, data: st.DataObject) -> None:
    """One byte of an event is changed, left out or added: what is still accepted, the plain parser accepts too."""
    body = bytearray(event_body(1, payload=payload))
    at = data.draw(st.integers(0, len(body) - 1))
    byte = data.draw(st.sampled_from(b'"\\{}[],:0.-e \n\x00\x7f\x80\xc3\xff') | st.integers(0, 255))
    change = data.draw(st.sampled_from(["set", "cut", "add"]))
    body[at : at + (change != "add")] = b"" if change == "cut" else bytes([byte])
    try:
        [one] = skim([bytes(body)])
    except Malformed:
        return
    event = entries.event_of(bytes(body), "entry 1")
    assert (one.at, one.kind) == (event["at"], event["kind"])


PLAIN = event_body(1)
NOT_EVENTS = {
    "a payload that is no JSON": PLAIN.replace(b'{"number":1}', b'{"number":1'),
    "a payload with a bare word": PLAIN.replace(b'{"number":1}', b"{number:1}"),
    "text that is no UTF-8": PLAIN.replace(b"oncology", b"onc\xff\xfe", 1),
    "half a character at the end of a text": PLAIN.replace(b"ae-health", b"ae-\xc3"),
    "two events": PLAIN + b"," + PLAIN,
    "two events, the second under the same name": PLAIN + b',"event":' + PLAIN,
    "something after the event": PLAIN + b',"more":1',
    "nesting without end": PLAIN.replace(b'{"number":1}', b"[" * 30_000 + b"]" * 30_000),
    "a number with a leading zero": PLAIN.replace(b'{"number":1}', b'{"number":01}'),
    "a line end inside a text": PLAIN.replace(b"oncology", b"onc\nology", 1),
}


@pytest.mark.parametrize("what", NOT_EVENTS)
def test_what_is_no_event_is_named_although_the_logs_own_key_signed_it(what: str) -> None:
    ledger = exported(chained([GENESIS, NOT_EVENTS[what], event_body(2)]))
    assert block_of(ledger, 0, 3) is None
    with pytest.raises(LedgerInvalid) as refused:
        verify_ledger(ledger, SIGNER.vkey)
    assert refused.value.members["place"] == "entry 1"


def test_an_event_that_is_cut_in_two_is_not_put_together_again() -> None:
    """Between them the two entries hold whole JSON: each has to hold its own."""
    left, right = PLAIN.split(b'"payload":')
    ledger = exported(
        chained([GENESIS, left + b'"payload":[1', b"2]," + right.partition(b",")[2], PLAIN + b"," + PLAIN])
    )
    assert block_of(ledger, 0, 4) is None
    with pytest.raises(LedgerInvalid):
        verify_ledger(ledger, SIGNER.vkey)


def test_the_tree_alone_is_the_bytes_that_were_signed_and_says_what_was_not_read() -> None:
    found = verify_ledger(ledger_of(600), SIGNER.vkey, TREE)
    assert (found.size, found.skipped, found.head, found.kinds) == (600, 599, b"", {"ledger.opened": 1})
    assert found.root == Checkpoint.of_note(ledger_of(600).checkpoint()).root
    odd = exported(chained([GENESIS, b"no event at all", event_body(2)]))
    assert verify_ledger(odd, SIGNER.vkey, TREE).skipped == 2
    assert verify_ledger(ledger_of(600), SIGNER.vkey).skipped == 0


@pytest.mark.parametrize("flip", [0x01, 0x80])
def test_each_single_byte_is_guarded_by_the_tree_alone(flip: int) -> None:
    small = ledger_of(3)
    for path, data in small.files.items():
        for at in range(len(data)):
            with pytest.raises(LedgerInvalid):
                verify_ledger(small.changed(path, at, flip), SIGNER.vkey, TREE)


def test_the_tree_alone_still_asks_whose_ledger_it_is() -> None:
    with pytest.raises(LedgerInvalid) as refused:
        verify_ledger(exported(chained([event_body(0), event_body(1)])), SIGNER.vkey, TREE)
    assert refused.value.members["place"] == "entry 0"


# In a process of its own: a peak is of a process's whole life.
PEAKS = """
import resource, sys
from pathlib import Path
from random import Random
from audit.verify import Demands, FolderSource, verify_ledger
demands = Demands(processes=int(sys.argv[3]))
found = verify_ledger(FolderSource(Path(sys.argv[1])), sys.argv[2], demands)
peaks = [resource.getrusage(whose).ru_maxrss for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(found.size, found.skipped, *peaks)
"""


def peaks_of(made: ledgers.Written, processes: int) -> tuple[int, int]:
    """Return the peak memory of the verifying process and of its largest worker, in KiB."""
    command = [sys.executable, "-c", PEAKS, str(made.folder), made.vkey, str(processes)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    size, skipped, own, worker = map(int, done.stdout.split())
    assert (size, skipped) == (Checkpoint.of_note((made.folder / "checkpoint").read_text()).size, 0)
    return own, worker


def test_memory_does_not_grow_with_the_ledger(tmp_path: Path) -> None:
    small, large = ledgers.write(tmp_path / "small", 20_000), ledgers.write(tmp_path / "large", 200_000)
    assert large.size - small.size > 90 * 2**20
    for processes in (1, 2):
        before, after = peaks_of(small, processes), peaks_of(large, processes)
        grown = max(late - early for early, late in zip(before, after, strict=True) if early)
        assert grown < 12 * 2**10, f"{grown} KiB more with {processes} processes: {before}, {after}"


def test_the_events_of_the_large_ledger_are_as_khatim_writes_them() -> None:
    made = list(ledgers.bodies(200))
    assert all(canonical(json.loads(one)) == one for one in made)
    assert len({json.loads(one)["kind"] for one in made}) == 10
    assert 440 < sum(map(len, made)) / len(made) < 480
