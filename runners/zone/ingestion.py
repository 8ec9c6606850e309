# SPDX-License-Identifier: Apache-2.0
"""From a CSV file to a table that holds its contract, and a table of the rows that do not, with the reasons.

Nothing is lost and nothing is guessed: every row of the file is in exactly one of the two tables.  A broken quotation
puts every line that it swallowed into quarantine, since any of them may be the inside of a field.  Reasons name
columns and rules, never values: they and the report leave the zone, the rows do not.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from khatim.contracts import DataContract
from khatim.errors import DataUnreadable, SchemaMismatch
from runners.zone import arrow
from runners.zone.cells import parser_of

LONGEST_LINE = 8 << 20
_BATCH = 1 << 16
_NAMED = 20
_WIDE = (b"\xff\xfe", b"\xfe\xff")

BROKEN = "the quotation or line is broken"
WIDTH = "another number of fields than the header"
ENCODING = "not UTF-8"
NUL = "holds a NUL character"
REPEATED = "the key occurred before"


@dataclass(frozen=True)
class Ingestion:
    """What became of a file: `accepted` holds the contract, `quarantined` has line, reasons and the raw text.

    `report` is free of the data's values: rows, accepted, quarantined, blank_lines, ratio, reasons (text to count),
    and of the file itself digest and size in bytes.  Its numbers always add up: rows == accepted + quarantined.
    """

    accepted: arrow.Table
    quarantined: arrow.Table
    report: dict[str, Any]

    def require_few(self, contract: DataContract) -> None:
        """Raise `DataUnreadable`, with the report, when more of the rows are bad than *contract* allows."""
        if self.report["ratio"] > contract.max_quarantine_ratio:
            raise DataUnreadable(
                f"{self.report['quarantined']} of {self.report['rows']} rows are bad; the contract allows "
                f"{contract.max_quarantine_ratio:.1%}",
                advice="Correct the file, or the contract if the file is right.",
                report=self.report,
            )


def ingest(file: BinaryIO, contract: DataContract) -> Ingestion:
    """Read a CSV file (UTF-8, comma, header line) against *contract*.

    Columns may come in any order.  An empty field is null.  Raises `DataUnreadable` when the file as a whole cannot
    be read or holds no row, and `SchemaMismatch` naming the columns that are missing, unexpected or there twice.
    """
    lines = _Lines(file)
    reader = csv.reader(lines, strict=True)
    order = _order_of(_header(reader), contract)
    sorting = _Sorting(contract, order)
    while True:
        lines.mark()
        try:
            cells = next(reader, None)
        except csv.Error as error:
            if "field limit" in str(error):
                raise DataUnreadable(
                    f"a field that begins at line {lines.first} is longer than {csv.field_size_limit()} characters",
                    advice="Look for a quotation mark that is never closed.",
                ) from error
            sorting.refuse_lines(lines, BROKEN)
            continue
        if cells is None:
            break
        if not cells:
            sorting.blank += 1
        elif lines.is_unreadable:
            sorting.refuse_lines(lines, ENCODING)
        elif len(cells) != len(order):
            sorting.refuse_lines(lines, WIDTH)
        else:
            sorting.sort(cells, lines)
    if not sorting.rows:
        raise DataUnreadable("the file has a header and no rows")
    return sorting.result(lines)


class _Lines(Iterator[str]):
    """The physical lines of the file, decoded, counted and hashed; the lines since `mark` are kept for quarantine."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.hash = hashlib.sha256()
        self.size = 0
        self.number = 0
        self.first = 1
        self.since: list[str] = []
        self.is_unreadable = False

    def mark(self) -> None:
        self.since.clear()
        self.first = self.number + 1
        self.is_unreadable = False

    def __next__(self) -> str:
        data = self._file.readline(LONGEST_LINE + 1)
        if not data:
            raise StopIteration
        self.number += 1
        if len(data) > LONGEST_LINE:
            raise DataUnreadable(f"line {self.number} is longer than {LONGEST_LINE} bytes")
        self.hash.update(data)
        self.size += len(data)
        if self.number == 1:
            if data.startswith(_WIDE):
                raise DataUnreadable("the file is UTF-16 or UTF-32", advice="Save it as UTF-8.")
            data = data.removeprefix(b"\xef\xbb\xbf")
        try:
            text = data.decode()
        except UnicodeDecodeError:
            self.is_unreadable = True
            text = data.decode(errors="backslashreplace")
        self.since.append(text)
        return text


def _header(reader: Iterator[list[str]]) -> list[str]:
    try:
        header = next(reader, None)
    except csv.Error as error:
        raise DataUnreadable(f"the header line is not CSV: {error}", advice="Use LF or CRLF line ends.") from error
    if header is None or not any(header):
        raise DataUnreadable("the file is empty" if header is None else "the header line is empty")
    return header


def _order_of(header: list[str], contract: DataContract) -> list[int]:
    """Return for each column of *contract* its place in the file."""
    present = set(header)
    missing = [name for name in contract.names if name not in present]
    if len(missing) == len(contract.names):
        # The line may be the first row of data, which must not travel in an error: it is not repeated here.
        raise SchemaMismatch(
            "the first line names no column of the contract; is the header missing?", missing=missing[:_NAMED]
        )
    extra = [name[:128] for name in header if name not in contract.names]
    twice = sorted(name for name, count in Counter(header).items() if count > 1 and name in contract.names)
    if missing or extra or twice:
        found = {"missing": missing[:_NAMED], "unexpected": extra[:_NAMED], "twice": twice[:_NAMED]}
        words = "; ".join(f"{what}: {', '.join(map(repr, names))}" for what, names in found.items() if names)
        raise SchemaMismatch(
            f"the columns are not those of the contract; {words}",
            missing=found["missing"],
            unexpected=found["unexpected"],
            twice=found["twice"],
        )
    return [header.index(name) for name in contract.names]


@dataclass
class _Quarantine:
    line: list[int] = field(default_factory=list)
    reasons: list[list[str]] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)


class _Sorting:
    """Sorts rows into the accepted and the quarantined."""

    def __init__(self, contract: DataContract, order: list[int]) -> None:
        self._schema = arrow.schema_of(contract)
        self._parsers = [
            (column.name, place, parser_of(column)) for column, place in zip(contract.columns, order, strict=True)
        ]
        self._key = [contract.names.index(name) for name in contract.key]
        self._keys: set[tuple[Any, ...]] = set()
        self._rows: list[list[Any]] = []
        self._done: list[arrow.Table] = []
        self._bad = _Quarantine()
        self._reasons: Counter[str] = Counter()
        self._accepted = 0
        self.blank = 0

    @property
    def rows(self) -> int:
        return self._accepted + len(self._bad.line)

    def sort(self, cells: list[str], lines: _Lines) -> None:
        values: list[Any] = []
        reasons: list[str] = []
        for name, place, parse in self._parsers:
            try:
                values.append(parse(cells[place]))
            except ValueError as error:
                reasons.append(f"{name}: {error}")
        if not reasons and self._key:
            key = tuple(values[place] for place in self._key)
            if key in self._keys:
                reasons.append(REPEATED)
            self._keys.add(key)
        if reasons:
            self._refuse(lines.first, reasons, "".join(lines.since))
            return
        self._accepted += 1
        self._rows.append(values)
        if len(self._rows) == _BATCH:
            self._flush()

    def refuse_lines(self, lines: _Lines, reason: str) -> None:
        for offset, text in enumerate(lines.since):
            self._refuse(lines.first + offset, [reason], text)

    def _refuse(self, line: int, reasons: list[str], raw: str) -> None:
        self._bad.line.append(line)
        self._bad.reasons.append(reasons)
        self._bad.raw.append(raw.removesuffix("\n").removesuffix("\r"))
        self._reasons.update(reasons)

    def _flush(self) -> None:
        columns = dict(zip(self._schema.names, zip(*self._rows, strict=True), strict=True))
        self._done.append(arrow.table_of(columns, self._schema))
        self._rows.clear()

    def result(self, lines: _Lines) -> Ingestion:
        if self._rows:
            self._flush()
        bad = len(self._bad.line)
        report = {
            "rows": self.rows,
            "accepted": self._accepted,
            "quarantined": bad,
            "ratio": bad / self.rows,
            "blank_lines": self.blank,
            "reasons": dict(sorted(self._reasons.items())),
            "digest": f"sha256:{lines.hash.hexdigest()}",
            "size": lines.size,
        }
        return Ingestion(
            accepted=arrow.joined(self._done, self._schema),
            quarantined=arrow.table_of(vars(self._bad), arrow.QUARANTINE),
            report=report,
        )
