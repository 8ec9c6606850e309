# SPDX-License-Identifier: Apache-2.0
"""One field of a CSV file: from text to a value of its column, or a `ValueError` that names the rule it breaks.

The words of the error never hold the text, which may be personal data; the grammar is narrow on purpose, so that what
is accepted means the same to every reader (no ``nan``, no ``1_000``, no local time).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any, assert_never

from khatim.contracts import INT64, Column, ColumnType

Parser = Callable[[str], Any]

_FLOAT = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?\Z")
_INT = re.compile(r"[+-]?[0-9]{1,19}\Z")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?(?:Z|[+-][0-9]{2}:[0-9]{2})?\Z"
)
_BOOLS = {"true": True, "false": False, "1": True, "0": False}
_LONGEST_NUMBER = 400


def parser_of(column: Column) -> Parser:
    """Return the function that reads a field of *column*: its value, None for an empty field, or `ValueError`."""
    read, nullable = _reader_of(column.type), column.nullable
    low, high = column.bounds
    allowed = frozenset(column.allowed)

    def parse(text: str) -> Any:
        if not text:
            if nullable:
                return None
            raise ValueError("is empty")
        if "\0" in text:
            raise ValueError("holds a NUL character")
        value = read(text)
        if low is not None and value < low:
            raise ValueError("is below the minimum")
        if high is not None and value > high:
            raise ValueError("is above the maximum")
        if allowed and value not in allowed:
            raise ValueError("is not an allowed value")
        return value

    return parse


def _reader_of(kind: ColumnType) -> Parser:
    match kind:
        case ColumnType.FLOAT64:
            return _float
        case ColumnType.INT64:
            return _int
        case ColumnType.STRING:
            return str
        case ColumnType.BOOL:
            return _bool
        case ColumnType.TIMESTAMP:
            return _timestamp
        case ColumnType.DATE:
            return _date
        case _:
            assert_never(kind)


def _float(text: str) -> float:
    if len(text) > _LONGEST_NUMBER or not _FLOAT.match(text):
        raise ValueError("is not a number")
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("is beyond what a float64 holds")
    return value


def _int(text: str) -> int:
    if not _INT.match(text):
        raise ValueError("is not a whole number")
    value = int(text)
    if value not in INT64:
        raise ValueError("is beyond what an int64 holds")
    return value


def _bool(text: str) -> bool:
    try:
        return _BOOLS[text.lower()]
    except KeyError:
        raise ValueError("is not true or false") from None


def _date(text: str) -> date:
    if not _DATE.match(text):
        raise ValueError("is not a date (YYYY-MM-DD)")
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError("is not a day of the calendar") from None


def _timestamp(text: str) -> datetime:
    if not _MOMENT.match(text):
        raise ValueError("is not a timestamp (ISO 8601)")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("is not a moment of the calendar") from None
    if moment.tzinfo is None:
        raise ValueError("has no offset from UTC")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is beyond the calendar") from None
