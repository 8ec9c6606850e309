# SPDX-License-Identifier: Apache-2.0
"""Archive files: entries of the ledger as Parquet.  Door to pyarrow on the registry's side.

The same rows give the same bytes (for one pyarrow), so an archive that is made twice has one digest.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from khatim.errors import LedgerInvalid

_BYTES, _TEXT = pa.binary(), pa.string()
SCHEMA = pa.schema([
    pa.field("index", pa.int64(), nullable=False),
    pa.field("entry", _BYTES, nullable=False),
    pa.field("leaf", _BYTES, nullable=False),
    *(pa.field(name, _TEXT, nullable=False) for name in ("kind", "actor", "resource", "namespace", "zone")),
    pa.field("at", pa.timestamp("us", tz="UTC"), nullable=False),
])  # fmt: skip
_ROWS = 1 << 14


def written(rows: Iterable[tuple[Any, ...]]) -> bytes:
    """Return rows of `stored.entry_rows` as one file."""
    sink = io.BytesIO()
    columns = list(zip(*rows, strict=True)) or [()] * len(SCHEMA)
    table = pa.Table.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
    )
    pq.write_table(
        table, sink, row_group_size=_ROWS, version="2.6", compression="zstd", compression_level=3,
        data_page_version="2.0", write_page_checksum=True, store_schema=False,
    )  # fmt: skip
    return sink.getvalue()


def rows_in(data: bytes, place: str) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a file; raises `LedgerInvalid` naming *place* for what is not an archive."""
    try:
        file = pq.ParquetFile(io.BytesIO(data), page_checksum_verification=True)
        if file.schema_arrow.names != SCHEMA.names:
            raise LedgerInvalid(f"{place} has not the columns of an archive", place=place)
        for batch in file.iter_batches(batch_size=_ROWS):
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
    except (pa.ArrowException, OSError, ValueError) as wrong:
        raise LedgerInvalid(f"{place} is not an archive that can be read", place=place) from wrong
