# SPDX-License-Identifier: Apache-2.0
"""Small binary formats read in full: UBJSON of XGBoost, SentencePiece's protobuf, Parquet."""

from __future__ import annotations

import struct
from typing import Any, BinaryIO

from khatim.errors import DataUnreadable
from runners.zone import arrow
from runners.zone.scanners.findings import Found, Limits, Unreadable, whole
from runners.zone.scanners.texts import json_of, judge_xgboost

_FIXED = {b"i": ">b", b"U": ">B", b"I": ">h", b"l": ">i", b"L": ">q", b"d": ">f", b"D": ">d"}
_WORDS: dict[bytes, Any] = {b"Z": None, b"T": True, b"F": False}
_INTEGERS = b"iUIlL"


def scan_xgboost(path: str, stream: BinaryIO, limits: Limits, found: Found) -> None:
    """Look at an XGBoost model, JSON or UBJSON by its bytes."""
    data = whole(stream, limits.file_bytes)
    if path.lower().endswith(".ubj"):
        cursor = _Ubjson(data, limits.depth)
        body = cursor.value(cursor.take(1), 0)
        if cursor.at != len(data):
            raise Unreadable(f"something follows the model at byte {cursor.at}")
    else:
        body = json_of(data, limits)
    judge_xgboost(body, found)


class _Ubjson:
    """A reader of UBJSON (draft 12) that keeps containers and names, and skips over numbers in arrays."""

    def __init__(self, data: bytes, depth: int) -> None:
        self.data = data
        self.at = 0
        self._depth = depth

    def take(self, count: int) -> bytes:
        if count < 0 or self.at + count > len(self.data):
            raise Unreadable(f"the file ends inside a value at byte {self.at}")
        self.at += count
        return self.data[self.at - count : self.at]

    def value(self, kind: bytes, depth: int) -> Any:
        if depth > self._depth:
            raise Unreadable(f"nested deeper than {self._depth}")
        if kind in _WORDS:
            return _WORDS[kind]
        if kind in _FIXED:
            return struct.unpack(_FIXED[kind], self.take(struct.calcsize(_FIXED[kind])))[0]
        if kind in {b"S", b"H"}:
            return self.text()
        if kind == b"C":
            return self.take(1).decode("latin-1")
        if kind in {b"[", b"{"}:
            return self._container(kind == b"{", depth)
        raise Unreadable(f"an unknown type at byte {self.at}")

    def text(self) -> str:
        return self.take(self._length()).decode("utf-8", "replace")

    def _length(self) -> int:
        kind = self.take(1)
        if kind not in {bytes([one]) for one in _INTEGERS}:
            raise Unreadable(f"a length is missing at byte {self.at}")
        return int(self.value(kind, 0))

    def _container(self, named: bool, depth: int) -> Any:  # noqa: FBT001 - which of the two kinds
        kind = self.take(1) if self._next_is(b"$") else None
        count = self._length() if self._next_is(b"#") else None
        if kind is not None and count is None:
            raise Unreadable(f"a typed container without a count at byte {self.at}")
        if kind in _FIXED and count is not None and not named:
            self.take(count * struct.calcsize(_FIXED[kind]))
            return []
        if kind in _WORDS and count is not None and count > len(self.data):
            raise Unreadable(f"a container of nothing at byte {self.at}")
        pairs: list[tuple[str, Any]] = []
        while count is None or len(pairs) < count:
            if count is None and self._next_is(b"}" if named else b"]"):
                break
            name = self.text() if named else ""
            pairs.append((name, self.value(kind or self.take(1), depth + 1)))
        if not named:
            return [value for _, value in pairs]
        if len(dict(pairs)) != len(pairs):
            raise Unreadable(f"a name occurs twice before byte {self.at}")
        return dict(pairs)

    def _next_is(self, mark: bytes) -> bool:
        if self.data[self.at : self.at + 1] != mark:
            return False
        self.at += 1
        return True


def scan_sentencepiece(_: str, stream: BinaryIO, limits: Limits, found: Found) -> None:
    """Look at a SentencePiece model: length-delimited protobuf fields of ModelProto, pieces first."""
    data = whole(stream, limits.header_bytes)
    at, pieces = 0, 0
    while at < len(data):
        tag, at = _varint(data, at)
        if tag & 7 != 2 or not 1 <= tag >> 3 <= 5:  # noqa: PLR2004 - wire type 2, fields of sentencepiece_model.proto
            raise Unreadable(f"a field that is not SentencePiece's at byte {at}")
        length, at = _varint(data, at)
        at += length
        pieces += tag >> 3 == 1
    if at != len(data) or not pieces:
        raise Unreadable("the file ends inside a field or has no pieces")
    found.details["pieces"] = pieces


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 64, 7):
        if at >= len(data):
            break
        value |= (data[at] & 0x7F) << shift
        at += 1
        if not data[at - 1] & 0x80:
            return value, at
    raise Unreadable(f"a number without an end at byte {at}")


def scan_parquet(_: str, stream: BinaryIO, limits: Limits, found: Found) -> None:
    """Look at a Parquet file by reading it whole."""
    try:
        table = arrow.from_parquet(whole(stream, limits.file_bytes))
    except DataUnreadable as error:
        raise Unreadable(error.detail) from error
    found.details.update(rows=table.num_rows, columns=arrow.schema_json(table.schema)[:200])
