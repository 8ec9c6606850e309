# SPDX-License-Identifier: Apache-2.0
"""Captured inputs of one endpoint: buffered in memory, kept as blobs in the zone's encrypted store.

The request path only appends to a list; a thread writes.  Memory is bounded: when the store cannot take more, the
newest rows are dropped and counted, and the endpoint goes on answering (a monitor that sees `dropped` says so).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from khatim.errors import KhatimError, Malformed

_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class Captured:
    """One blob of the store: its digest, how many rows it holds, and its place in the order of capture."""

    digest: str
    rows: int
    number: int


def pack(rows: NDArray[np.float32], columns: Sequence[str]) -> bytes:
    """Return *rows* as an Arrow IPC stream with *columns*."""
    sink = pa.BufferOutputStream()
    table = pa.table({name: np.ascontiguousarray(rows[:, i]) for i, name in enumerate(columns)})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def unpack(blob: bytes) -> pa.Table:
    """Return the table that `pack` wrote; raises `khatim.errors.Malformed`."""
    try:
        with pa.ipc.open_stream(pa.BufferReader(blob)) as reader:
            return reader.read_all()
    except pa.ArrowException as error:
        raise Malformed(f"The captured rows cannot be read: {error}.") from error


class Capture:
    """Takes rows from an endpoint and keeps them through *put*, which stores bytes and returns their digest.

    A blob is written after *flush_rows* rows or *flush_seconds*, whichever comes first.  At most *max_rows* wait in
    memory.  `close` writes the rest.
    """

    def __init__(  # noqa: PLR0913 - its limits are each worth a name
        self,
        put: Callable[[bytes], object],
        columns: Sequence[str],
        *,
        flush_rows: int = 256,
        flush_seconds: float = 2.0,
        max_rows: int = 65_536,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the writing thread."""
        self._put = put
        self._columns = tuple(columns)
        self._flush_rows = flush_rows
        self._flush_seconds = flush_seconds
        self._max_rows = max_rows
        self._clock = clock
        self._waiting: list[NDArray[np.float32]] = []
        self._waiting_rows = 0
        self._since = clock()
        self._written: list[Captured] = []
        self._numbers = 0
        self.dropped = 0  # rows that were lost to the bound
        self.trouble = ""  # why the last writing failed, empty when it did not
        self._state = threading.Condition()
        self._writing = threading.Lock()  # one blob at a time, in order
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="khatim-capture", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        """Return the capture."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close."""
        self.close()

    def add(self, rows: NDArray[Any]) -> None:
        """Take *rows* [n, columns]; never blocks on the store and never raises for a full one."""
        kept = np.array(rows, dtype=np.float32, ndmin=2)  # a copy: the request's memory is not ours
        with self._state:
            if self._closed or self._waiting_rows + len(kept) > self._max_rows or kept.shape[1] != len(self._columns):
                self.dropped += len(kept)
                return
            if not self._waiting:
                self._since = self._clock()
            self._waiting.append(kept)
            self._waiting_rows += len(kept)
            if self._waiting_rows >= self._flush_rows:
                self._state.notify()

    def flush(self) -> None:
        """Write what waits, now, in this thread; raises what the store raises, and keeps the rows then."""
        with self._writing:
            with self._state:
                batch, count = self._waiting, self._waiting_rows
                self._waiting, self._waiting_rows = [], 0
            if not batch:
                return
            try:
                digest = str(self._put(pack(np.concatenate(batch), self._columns)))
            except BaseException as error:
                with self._state:
                    self._waiting[:0] = batch
                    self._waiting_rows += count
                    self.trouble = str(error)
                raise
            with self._state:
                self._written.append(Captured(digest, count, self._numbers))
                self._numbers += 1
                self.trouble = ""

    def take(self) -> tuple[Captured, ...]:
        """Flush, and return the blobs written since the last call, in order: the monitor's sample."""
        self.flush()
        with self._state:
            taken, self._written = tuple(self._written), []
            return taken

    def close(self) -> None:
        """Stop the thread and write the rest; raises what the store raises.  May be called twice."""
        with self._state:
            self._closed = True
            self._state.notify()
        self._thread.join()
        self.flush()

    def _is_due(self) -> bool:
        return self._waiting_rows >= self._flush_rows or (
            bool(self._waiting) and self._clock() - self._since >= self._flush_seconds
        )

    def _work(self) -> None:
        while True:
            with self._state:
                while not self._closed and not self._is_due():
                    self._state.wait(min(self._flush_seconds, _RETRY_S))
                if self._closed:
                    return
            try:
                self.flush()
            except (KhatimError, OSError):
                time.sleep(_RETRY_S)  # the rows wait; `trouble` says why
