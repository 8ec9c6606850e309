# SPDX-License-Identifier: Apache-2.0
"""Sheets: no cell is a formula, every cell can be read back, and a query's values are given by name."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.checkpoint import Checkpoint
from governance.reports import populations, sheets
from governance.reports.populations import Population
from governance.reports.sheets import Sheet
from khatim.errors import Malformed

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
CELLS = st.one_of(TEXT, st.sampled_from("=+-@\t\r\n'\uff1d\ufeff").flatmap(lambda sign: TEXT.map(sign.__add__)))
ROWS = st.lists(st.tuples(CELLS, CELLS), max_size=5)
PLAIN = Population("plain", "Plain", "SELECT :size", ())


@given(ROWS)
def test_no_cell_begins_like_a_formula_and_all_can_be_read_back(rows: list[tuple[str, str]]) -> None:
    data = Sheet(PLAIN, ("one", "two"), rows).csv()

    for line in list(csv.reader(io.StringIO(data.decode(), newline="")))[1:]:
        for cell in line:
            assert cell[:1] not in tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
    assert [tuple(row.values()) for row in sheets.read(data)] == rows


@pytest.mark.parametrize(
    "cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\ufeff=1", "\u00a0-1", "\uff1d1", "'=1"]
)
def test_what_a_spreadsheet_would_run_gets_an_apostrophe(cell: str) -> None:
    assert sheets.harmless(cell) == f"'{cell}"
    assert sheets.original(sheets.harmless(cell)) == cell


@pytest.mark.parametrize("cell", ["", "a=1", "approved", "1", "2026-11-23T02:30:00.000000Z", "رُوجعت", '"quoted"'])
def test_other_cells_stay_as_they_are(cell: str) -> None:
    assert sheets.harmless(cell) == cell


def test_values_are_written_in_one_way() -> None:
    gulf = datetime(2026, 11, 23, 6, 30, tzinfo=timezone(timedelta(hours=4)))
    written = {
        None: "",
        True: "true",
        False: "false",
        7: "7",
        UUID(int=0): "00000000-0000-0000-0000-000000000000",
        gulf: "2026-11-23T02:30:00.000000Z",
    }

    assert {value: sheets.text_of(value) for value in written} == written
    assert (
        sheets.text_of({"b": [1], "a": datetime(2026, 1, 1, tzinfo=UTC)})
        == '{"a":"2026-01-01T00:00:00.000000Z","b":[1]}'
    )


def test_the_page_gives_only_the_values_that_the_query_names() -> None:
    sheet = Sheet(PLAIN, ("one",), [("x",)])
    page = sheet.page(sheet.csv(), Checkpoint("ledger.test.khatim", 9, bytes(32)), {"size": 9, "refs": "many"})

    assert b'"parameters":{"size":9}' in page
    assert b'"last":8' in page


def test_named_values_reach_the_driver_and_casts_stay_casts() -> None:
    query = "SELECT a::text, :rules::jsonb WHERE b = ANY(:refs) AND c LIKE '%.refused'"

    assert sheets.placeholders(query) == (
        "SELECT a::text, %(rules)s::jsonb WHERE b = ANY(%(refs)s) AND c LIKE '%%.refused'"
    )


@pytest.mark.parametrize("data", [b"", b"\xff", b"a,b\r\n1\r\n", b'a\r\n"x\r\n', b"a\r\n1,2\r\n"])
def test_what_is_no_sheet_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        sheets.read(data)


def test_every_population_has_a_query_of_its_own_that_begins_with_the_entry() -> None:
    names = [one.name for one in populations.ALL]

    assert names == sorted(names)
    assert len({one.query for one in populations.ALL}) == len(names)
    for one in populations.ALL:
        assert one.query.startswith("WITH said AS")
        assert 'SELECT s.ledger_index, s."at", s.actor' in one.query, one.name
        assert one.query.endswith("ORDER BY s.ledger_index")
        assert one.matches
