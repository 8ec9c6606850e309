# SPDX-License-Identifier: Apache-2.0
"""Entries: the envelope that holds the chain, byte for byte."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import entries
from audit.canonical import canonical
from audit.merkle import Tree, leaf_hash
from audit.tiles import ENTRY_MAX
from khatim.errors import LedgerInvalid
from tests.audit.ledgers import OPENED, ORIGIN, SIGNER, chained, event_body, exported

GOLDEN = Path(__file__).parents[1] / "goldens" / "ledger.json"
BODY = event_body(1)
ENTRY = entries.build(BODY, 1, bytes(range(32)))


def test_the_bytes_of_the_ledger_have_not_changed() -> None:
    """Changing what is hashed makes every ledger in the world unverifiable: this file may only ever grow."""
    made = chained([entries.genesis_body(ORIGIN, SIGNER.vkey, OPENED), *(event_body(n) for n in range(1, 5))])
    tree = Tree()
    for entry in made:
        tree.append(leaf_hash(entry))
    now = {
        "vkey": SIGNER.vkey,
        "entries": [entry.decode() for entry in made],
        "roots": [tree.root(size).hex() for size in range(len(made) + 1)],
        "checkpoint": exported(made).checkpoint(),
    }
    if os.environ.get("KHATIM_TEST_WRITE_GOLDENS"):
        GOLDEN.write_text(json.dumps(now, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    assert json.loads(GOLDEN.read_text(encoding="utf-8")) == now


def test_an_entry_is_canonical_json_around_the_bytes_of_its_event() -> None:
    assert canonical(json.loads(ENTRY)) == ENTRY
    assert BODY in ENTRY


def test_the_largest_body_fits_with_the_largest_index() -> None:
    assert len(entries.build(b"x" * entries.BODY_MAX, 2**63 - 1, bytes(32))) <= ENTRY_MAX


@given(st.integers(0, 2**63 - 1), st.binary(min_size=32, max_size=32))
def test_an_entry_is_read_back(index: int, prev: bytes) -> None:
    entry = entries.parse(entries.build(BODY, index, prev), index)
    assert (entry.index, entry.prev, entry.event) == (index, prev, json.loads(BODY))


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        BODY,
        ENTRY + b"\n",
        ENTRY.replace(b'"index":1', b'"index":01'),
        ENTRY.replace(b'"index":1', b'"index":2'),
        ENTRY.replace(b'"v":1', b'"v":2'),
        ENTRY.replace(b'"0001', b'"000g'),
        ENTRY.replace(b"0a0b", b"0A0B"),
        ENTRY.replace(b'{"event"', b'{"Event"'),
        entries.build(b"[]", 1, bytes(32)),
        entries.build(b"{", 1, bytes(32)),
        entries.build(b"\xff", 1, bytes(32)),
        entries.build(b'{},"index":1', 1, bytes(32)),
        entries.build(b"[" * 60_000, 1, bytes(32)),
    ],
)
def test_what_is_not_exactly_entry_one_is_refused(entry: bytes) -> None:
    assert entry != ENTRY
    with pytest.raises(LedgerInvalid) as refused:
        entries.parse(entry, 1)
    assert refused.value.members["place"] == "entry 1"


def test_the_columns_repeat_the_event() -> None:
    columns = entries.columns_of(json.loads(event_body(7)), "entry 7")
    assert columns.kind == "version.promoted"
    assert columns.actor == "person:1"
    assert columns.resource == "version:oncology/malignancy@7"
    assert (columns.namespace, columns.zone) == ("oncology", "ae-health")
    assert columns.at == OPENED + timedelta(seconds=7)
    assert columns.at.tzinfo is UTC


@given(st.dictionaries(st.sampled_from(["kind", "actor", "resource", "namespace", "zone"]), st.text() | st.integers()))
def test_no_event_has_columns_that_the_database_cannot_hold(members: dict[str, Any]) -> None:
    """What an event says may come from a stranger; it must not stop the ledger."""
    columns = entries.columns_of({"at": "2026-11-23T02:30:00.123456Z", **members}, "entry 1")
    for text in columns[:-1]:
        assert "\x00" not in text
        assert len(text.encode()) <= 2000


def test_a_long_name_is_cut_in_the_column_only() -> None:
    event = json.loads(event_body(1, resource="x" * 10_000))
    assert len(entries.columns_of(event, "entry 1").resource) == 500


@pytest.mark.parametrize("at", [None, 5, "", "yesterday", "2026-11-23T02:30:00", "infinity"])
def test_an_event_without_a_moment_is_refused(at: Any) -> None:
    with pytest.raises(LedgerInvalid, match="when it happened"):
        entries.columns_of({"at": at}, "entry 1")
    with pytest.raises(LedgerInvalid, match="when it happened"):
        entries.columns_of({}, "entry 1")


def test_the_genesis_says_whose_ledger_it_is_in_utc() -> None:
    gulf = datetime(2026, 11, 23, 6, 30, 0, 123456, tzinfo=timezone(timedelta(hours=4)))
    body = entries.genesis_body(ORIGIN, SIGNER.vkey, gulf)
    assert body == entries.genesis_body(ORIGIN, SIGNER.vkey, OPENED)
    assert json.loads(body)["payload"] == {"origin": ORIGIN, "vkey": SIGNER.vkey}
    assert json.loads(body)["kind"] == "ledger.opened"
