# SPDX-License-Identifier: Apache-2.0
"""Rows as CSV (RFC 4180, UTF-8), and each sheet with the page that says where it comes from.

A cell that a spreadsheet would take for a formula begins with an apostrophe (peers.md, B13).  So does one that begins
with an apostrophe already: taking one apostrophe off always gives the text back.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from audit.canonical import canonical
from audit.checkpoint import Checkpoint
from audit.events import moment, plain
from governance.reports.populations import Population
from khatim.errors import Malformed
from khatim.vocabulary import Digest
from registry.signing.encoding import b64

# OWASP's list with its full-width forms, after spaces too (some programs trim before they look), and the apostrophe.
_NAMED = re.compile(r"(?<!:):([a-z]+)")
_DANGEROUS = re.compile("['\t\r\n]|[\\s\ufeff\u200b]*[=+@\uff1d\uff0b\uff0d\uff20-]")


@dataclass(frozen=True)
class Sheet:
    """A population as it was found: its columns and the values of its rows."""

    population: Population
    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]

    @property
    def records(self) -> list[dict[str, Any]]:
        """Return the rows by column."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def csv(self) -> bytes:
        """Return the sheet as CSV with a line of column names."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\r\n")
        writer.writerow(self.columns)
        writer.writerows([harmless(text_of(value)) for value in row] for row in self.rows)
        return out.getvalue().encode()

    def page(self, data: bytes, ledger: Checkpoint, parameters: Mapping[str, Any]) -> bytes:
        """Return the companion of the CSV *data*: query, parameters, count, digests and where in the ledger."""
        return canonical(
            {
                "name": self.population.name,
                "title": self.population.title,
                "query": self.population.query,
                "query_sha256": Digest.of(self.population.query.encode()).hex,
                "parameters": {key: parameters[key] for key in sorted(set(_NAMED.findall(self.population.query)))},
                "columns": list(self.columns),
                "rows": len(self.rows),
                "csv_sha256": Digest.of(data).hex,
                "ledger": {
                    "origin": ledger.origin,
                    "size": ledger.size,
                    "root": b64(ledger.root),
                    "first": 0,
                    "last": ledger.size - 1,
                    "gaps": 0,
                },
                "entries": [
                    {"kind": one.kind, "member": one.member, "error": one.error, "namespace": one.is_wide}
                    for one in self.population.matches
                ],
            }
        )


def placeholders(query: str) -> str:
    """Return a query with its named values (``:refs``) as the driver takes them."""
    return _NAMED.sub(r"%(\1)s", query.replace("%", "%%"))


def text_of(value: object) -> str:
    """Return a value of the database as text: moments as RFC 3339 in UTC, what has parts as canonical JSON."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case datetime():
            return moment(value)
        case dict() | list():
            return canonical(plain(value)).decode()
        case _:
            return str(value)


def harmless(cell: str) -> str:
    """Return *cell* so that no spreadsheet takes it for a formula."""
    return f"'{cell}" if _DANGEROUS.match(cell) else cell


def original(cell: str) -> str:
    """Undo `harmless`."""
    return cell.removeprefix("'")


def read(data: bytes) -> list[dict[str, str]]:
    """Read what `Sheet.csv` wrote; raises `Malformed` for anything else."""
    try:
        lines = list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))
        head = lines[0]
        rows = [dict(zip(head, map(original, line), strict=True)) for line in lines[1:]]
    except (ValueError, IndexError, csv.Error) as wrong:
        raise Malformed("the sheet is not CSV with the same cells in every line") from wrong
    return rows
