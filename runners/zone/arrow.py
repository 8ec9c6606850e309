# SPDX-License-Identifier: Apache-2.0
"""The only importer of pyarrow: tables, schemas that carry their contract, Parquet bytes, and column arithmetic.

A Parquet file made here depends on nothing but the table: same rows and schema, same bytes (for one pyarrow), so a
dataset version that is made twice has one digest.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from khatim.contracts import ColumnType, DataContract
from khatim.errors import DataUnreadable, SchemaMismatch
from khatim.vocabulary import Digest

Table: TypeAlias = pa.Table
Schema: TypeAlias = pa.Schema
Column: TypeAlias = pa.ChunkedArray

ROWS_PER_GROUP = 1 << 16
# The metadata that is part of a schema's meaning; anything else a writer adds is not.
FIELD_KEYS = ("unit", "tags", "description")
SCHEMA_KEYS = ("tags", "key", "description", "entity", "label")
LISTS = frozenset({"tags", "key"})

_TYPES: Mapping[ColumnType, pa.DataType] = {
    ColumnType.FLOAT64: pa.float64(),
    ColumnType.INT64: pa.int64(),
    ColumnType.STRING: pa.string(),
    ColumnType.BOOL: pa.bool_(),
    ColumnType.TIMESTAMP: pa.timestamp("us", tz="UTC"),
    ColumnType.DATE: pa.date32(),
}

QUARANTINE = pa.schema(
    [
        pa.field("line", pa.int64(), nullable=False),
        pa.field("reasons", pa.list_(pa.field("reason", pa.string(), nullable=False)), nullable=False),
        pa.field("raw", pa.string(), nullable=False),
    ]
)


def _metadata(**words: str | Sequence[str]) -> dict[str, str]:
    return {key: word if isinstance(word, str) else _json(list(word)) for key, word in sorted(words.items()) if word}


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def field_of(  # noqa: PLR0913 - the words of a column, all of them named
    name: str, kind: ColumnType, *, nullable: bool, unit: str = "", tags: Sequence[str] = (), description: str = ""
) -> pa.Field:
    """Return the Arrow field of a column, its unit, tags and description as metadata."""
    return pa.field(name, _TYPES[kind], nullable, _metadata(unit=unit, tags=tags, description=description))


def schema_of(contract: DataContract) -> Schema:
    """Return the Arrow schema of what *contract* describes."""
    fields = [
        field_of(one.name, one.type, nullable=one.nullable, unit=one.unit, tags=one.tags, description=one.description)
        for one in contract.columns
    ]
    return pa.schema(fields, _metadata(tags=contract.all_tags, key=contract.key, description=contract.description))


def schema_with(fields: Iterable[pa.Field], **words: str | Sequence[str]) -> Schema:
    """Return a schema of *fields* with *words* (see `SCHEMA_KEYS`) as metadata."""
    return pa.schema(list(fields), _metadata(**words))


def tags_of(schema: Schema) -> tuple[str, ...]:
    """Return the data tags that *schema* carries: what everything derived from its table inherits."""
    text = (schema.metadata or {}).get(b"tags")
    return tuple(json.loads(text)) if text else ()


def tags_of_field(field: pa.Field) -> tuple[str, ...]:
    """Return the data tags of one column."""
    text = (field.metadata or {}).get(b"tags")
    return tuple(json.loads(text)) if text else ()


def table_from(columns: Sequence[Column], schema: Schema) -> Table:
    """Put *columns* under *schema*, whose types they have."""
    return pa.Table.from_arrays(list(columns), schema=schema)


def table_of(columns: Mapping[str, Sequence[Any]], schema: Schema) -> Table:
    """Make a table of Python values; raises `SchemaMismatch` where they are not of *schema*'s types or are null."""
    try:
        arrays = [pa.array(columns[field.name], field.type) for field in schema]
    except (pa.ArrowException, OverflowError, TypeError) as error:
        raise SchemaMismatch(f"a value does not fit its column: {type(error).__name__}") from error
    return checked(pa.Table.from_arrays(arrays, schema=schema))


def checked(table: Table) -> Table:
    """Return *table* when its schema's promises about null hold (Arrow itself does not look); else `SchemaMismatch`."""
    broken = {
        field.name: table.column(index).null_count
        for index, field in enumerate(table.schema)
        if not field.nullable and table.column(index).null_count
    }
    if broken:
        words = ", ".join(f"{name!r} ({count} rows)" for name, count in broken.items())
        raise SchemaMismatch(f"values are missing where none may be: {words}", nulls=broken)
    return table


def joined(tables: Sequence[Table], schema: Schema) -> Table:
    """Return the rows of *tables* one after the other; an empty table of *schema* when there are none."""
    return pa.concat_tables(tables) if tables else schema.empty_table()


def to_parquet(table: Table) -> bytes:
    """Return *table* as Parquet, the same bytes for the same rows and schema however it is chunked in memory."""
    sink = io.BytesIO()
    pq.write_table(
        table.combine_chunks(),
        sink,
        row_group_size=ROWS_PER_GROUP,
        version="2.6",
        compression="zstd",
        compression_level=3,
        data_page_version="2.0",
        write_page_checksum=True,
        store_schema=True,
    )
    return sink.getvalue()


def from_parquet(data: bytes) -> Table:
    """Read a table from Parquet, contract metadata and all; raises `DataUnreadable`."""
    try:
        return pq.read_table(io.BytesIO(data), page_checksum_verification=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataUnreadable("this is not a Parquet file that can be read") from error


def schema_json(schema: Schema) -> list[dict[str, Any]]:
    """Return the fields of *schema* as JSON: name, type, nullable, and unit, tags, description where there are any."""
    return [
        {"name": field.name, "type": str(field.type), "nullable": field.nullable, **_words(field.metadata, FIELD_KEYS)}
        for field in schema
    ]


def schema_fingerprint(schema: Schema) -> Digest:
    """Return the digest of what *schema* means to a program: names, order, types, nullability, units, tags, keys.

    Descriptions and what a Parquet writer adds (field ids) do not count.
    """
    fields = [{key: word for key, word in field.items() if key != "description"} for field in schema_json(schema)]
    words = {key: word for key, word in _words(schema.metadata, SCHEMA_KEYS).items() if key != "description"}
    return Digest.of(_json({"fields": fields, "metadata": words}).encode())


def _words(metadata: Mapping[bytes, bytes] | None, keys: Sequence[str]) -> dict[str, Any]:
    found = {key: (metadata or {})[key.encode()].decode() for key in keys if key.encode() in (metadata or {})}
    return {key: json.loads(text) if key in LISTS else text for key, text in found.items()}


def as_type(column: Column, kind: ColumnType, name: str) -> Column:
    """Return *column* as *kind*: unchanged, or integers as floats; raises `SchemaMismatch` for any other change."""
    wanted = _TYPES[kind]
    if column.type == wanted:
        return column
    if pa.types.is_integer(column.type) and kind is ColumnType.FLOAT64:
        return column.cast(wanted, safe=False)
    raise SchemaMismatch(f"{name!r} is {column.type}, not {wanted}")


def ratio(over: Column, under: Column) -> Column:
    """Return *over* / *under*; null where that is not a number."""
    return _finite(pc.divide(over, under))


def difference(left: Column, right: Column) -> Column:
    """Return *left* - *right*; null where that is not a number."""
    return _finite(pc.subtract(left, right))


def log1p(column: Column) -> Column:
    """Return ln(1 + *column*); null from -1 downwards."""
    return _finite(pc.log1p(column))


def square(column: Column) -> Column:
    """Return *column* squared; null where that overflows."""
    return _finite(pc.multiply(column, column))


def _finite(column: Column) -> Column:
    # pc.is_finite is null for null, and if_else then gives null: exactly what is wanted.
    return pc.if_else(pc.is_finite(column), column, pa.scalar(None, pa.float64()))


def repeats_of(column: Column) -> int:
    """Return how many rows repeat a value that occurred before (null counts as a value)."""
    return len(column) - int(pc.count_distinct(column, mode="all").as_py())
