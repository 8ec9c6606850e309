# SPDX-License-Identifier: Apache-2.0
"""Captured rows are kept in order, in the store, with bounded memory, and never at the cost of an answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from khatim.errors import Malformed, StoreFull
from khatim.vocabulary import Digest
from runners.zone.capture import Capture, pack, unpack

COLUMNS = ("a", "b")


class Store:
    """A store in memory that can be full."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.is_full = False

    def put(self, blob: bytes) -> Digest:
        if self.is_full:
            raise StoreFull("The store is full.")
        digest = Digest.of(blob)
        self.blobs[str(digest)] = blob
        return digest


def _rows(start: int, count: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.arange(start * 2, (start + count) * 2, dtype=np.float32).reshape(count, 2)


def _until(done: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not done():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_what_is_taken_is_what_was_asked_in_order() -> None:
    store = Store()
    with Capture(store.put, COLUMNS, flush_seconds=60) as capture:
        capture.add(_rows(0, 3))
        capture.add(_rows(3, 1))
        first = capture.take()
        capture.add(_rows(4, 2))
        second = capture.take()
        assert capture.take() == ()
    assert [(c.rows, c.number) for c in first + second] == [(4, 0), (2, 1)]
    values = [v for c in first + second for v in unpack(store.blobs[c.digest]).column("a").to_pylist()]
    assert values == [0, 2, 4, 6, 8, 10]


def test_a_full_batch_is_written_without_being_asked() -> None:
    store = Store()
    with Capture(store.put, COLUMNS, flush_rows=4, flush_seconds=60) as capture:
        capture.add(_rows(0, 5))
        _until(lambda: len(store.blobs) == 1)


def test_a_few_rows_are_written_after_a_while() -> None:
    store = Store()
    with Capture(store.put, COLUMNS, flush_seconds=0.05) as capture:
        capture.add(_rows(0, 1))
        _until(lambda: len(store.blobs) == 1)


def test_closing_writes_the_rest_and_takes_no_more() -> None:
    store = Store()
    capture = Capture(store.put, COLUMNS, flush_seconds=60)
    capture.add(_rows(0, 2))
    capture.close()
    capture.close()
    assert len(store.blobs) == 1
    capture.add(_rows(2, 3))
    assert capture.dropped == 3


def test_a_full_store_costs_neither_memory_nor_an_answer() -> None:
    store = Store()
    with Capture(store.put, COLUMNS, flush_rows=2, flush_seconds=60, max_rows=10) as capture:
        store.is_full = True
        for i in range(20):
            capture.add(_rows(i, 1))
        _until(lambda: bool(capture.trouble))
        assert (capture.dropped, capture.trouble) == (10, "The store is full.")
        with pytest.raises(StoreFull):
            capture.take()
        store.is_full = False
        taken = capture.take()
        assert sum(c.rows for c in taken) == 10
        assert capture.trouble == ""


def test_rows_of_another_width_are_dropped_and_counted() -> None:
    with Capture(Store().put, COLUMNS) as capture:
        capture.add(np.zeros((2, 3), np.float32))
        assert capture.dropped == 2


def test_many_threads_lose_nothing() -> None:
    store = Store()
    with Capture(store.put, COLUMNS, flush_rows=16, flush_seconds=0.01) as capture:

        def ask(i: int) -> None:
            for j in range(100):
                capture.add(_rows(i * 100 + j, 1))

        threads = [threading.Thread(target=ask, args=[i]) for i in range(8)]
        for thread in threads:
            thread.start()
        taken = [c for _ in range(5) for c in capture.take()]
        for thread in threads:
            thread.join()
        taken += capture.take()
    assert [c.number for c in taken] == list(range(len(taken)))
    values = sorted(v for c in taken for v in unpack(store.blobs[c.digest]).column("a").to_pylist())
    assert values == [2.0 * i for i in range(800)]


def test_a_row_is_a_copy_of_the_requests_memory() -> None:
    store = Store()
    with Capture(store.put, COLUMNS, flush_seconds=60) as capture:
        rows = _rows(0, 1)
        capture.add(rows)
        rows[:] = 99
        (taken,) = capture.take()
    assert unpack(store.blobs[taken.digest]).column("b").to_pylist() == [1.0]


def test_a_blob_that_is_none_is_refused() -> None:
    assert unpack(pack(_rows(0, 2), COLUMNS)).column_names == ["a", "b"]
    with pytest.raises(Malformed):
        unpack(b"not arrow")
