# SPDX-License-Identifier: Apache-2.0
"""CSV in, two tables out: nothing lost, nothing guessed, reasons without values."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer

from khatim.contracts import DataContract, contract_of
from khatim.errors import DataUnreadable, KhatimError, SchemaMismatch
from khatim.vocabulary import Digest
from runners.zone import arrow, ingestion
from runners.zone.ingestion import Ingestion

CONTRACT = contract_of(
    {
        "columns": [
            {"name": "id", "type": "int64", "minimum": 1},
            {"name": "radius", "type": "float64", "minimum": 0, "maximum": 50, "unit": "um", "tags": ["health.ae"]},
            {"name": "grade", "type": "string", "nullable": True, "allowed": ["a", "b", "c,d"]},
        ],
        "key": ["id"],
        "tags": ["health.ae"],
        "description": "a small one",
    }
)
EVERY = contract_of(
    {
        "columns": [
            {"name": "f", "type": "float64", "nullable": True},
            {"name": "i", "type": "int64", "nullable": True},
            {"name": "s", "type": "string", "nullable": True},
            {"name": "b", "type": "bool", "nullable": True},
            {"name": "t", "type": "timestamp", "nullable": True},
            {"name": "d", "type": "date", "nullable": True},
        ],
        "max_quarantine_ratio": 0,
    }
)


def ingest(text: str | bytes, contract: DataContract = CONTRACT) -> Ingestion:
    found = ingestion.ingest(io.BytesIO(text.encode() if isinstance(text, str) else text), contract)
    report = found.report
    assert report["rows"] == report["accepted"] + report["quarantined"]
    assert (found.accepted.num_rows, found.quarantined.num_rows) == (report["accepted"], report["quarantined"])
    json.dumps(report)
    return found


def bad(found: Ingestion) -> list[tuple[int, list[str], str]]:
    return [(row["line"], row["reasons"], row["raw"]) for row in found.quarantined.to_pylist()]


def test_good_rows_are_accepted_in_the_contracts_order_with_its_schema() -> None:
    text = 'grade,id,radius\na,1,2.5\n"c,d",2,3e1\n,3,.5\r\n'
    found = ingest(text)
    assert found.accepted.to_pylist() == [
        {"id": 1, "radius": 2.5, "grade": "a"},
        {"id": 2, "radius": 30.0, "grade": "c,d"},
        {"id": 3, "radius": 0.5, "grade": None},
    ]
    assert found.accepted.schema.equals(arrow.schema_of(CONTRACT), check_metadata=True)
    assert found.report == {
        "rows": 3,
        "accepted": 3,
        "quarantined": 0,
        "ratio": 0.0,
        "blank_lines": 0,
        "reasons": {},
        "digest": str(Digest.of(text.encode())),
        "size": len(text),
    }


def test_bad_rows_are_quarantined_with_line_reasons_and_text() -> None:
    found = ingest("id,radius,grade\n1,2,a\n2,x,z\n3,99,\n0,1,a\n,,\n1,5,b\n4,1,b\n5,1\n\n6,1,a,b\n")
    assert bad(found) == [
        (3, ["radius: is not a number", "grade: is not an allowed value"], "2,x,z"),
        (4, ["radius: is above the maximum"], "3,99,"),
        (5, ["id: is below the minimum"], "0,1,a"),
        (6, ["id: is empty", "radius: is empty"], ",,"),
        (7, ["the key occurred before"], "1,5,b"),
        (9, ["another number of fields than the header"], "5,1"),
        (11, ["another number of fields than the header"], "6,1,a,b"),
    ]
    assert found.report["blank_lines"] == 1
    assert found.report["reasons"]["another number of fields than the header"] == 2
    assert found.accepted.column("id").to_pylist() == [1, 4]


def test_reasons_and_report_hold_no_value_of_the_data() -> None:
    found = ingest("id,radius,grade\n1,secret-one,secret-two\nsecret-three,1,a\n2,1,a\n")
    assert "secret" not in json.dumps([found.report, [reasons for _, reasons, _ in bad(found)]])


@pytest.mark.parametrize(
    ("column", "text", "value"),
    [
        ("f", "-1.5e-3", -0.0015),
        ("f", "+.5", 0.5),
        ("i", "-9223372036854775808", -(2**63)),
        ("b", "TRUE", True),
        ("b", "0", False),
        ("t", "2026-11-23T10:00:00.5+04:00", datetime(2026, 11, 23, 6, 0, 0, 500000, UTC)),
        ("t", "2026-11-23 10:00Z", datetime(2026, 11, 23, 10, tzinfo=UTC)),
        ("d", "2024-02-29", date(2024, 2, 29)),
        ("s", "  يد ", "  يد "),
        ("f", "", None),
    ],
)
def test_fields_are_read_as_their_type(column: str, text: str, value: Any) -> None:
    row = ",".join(text if name == column else "" for name in EVERY.names)
    assert ingest(f"{','.join(EVERY.names)}\n{row}\n", EVERY).accepted.column(column).to_pylist() == [value]


@pytest.mark.parametrize(
    ("column", "text", "reason"),
    [
        ("f", "nan", "is not a number"),
        ("f", "inf", "is not a number"),
        ("f", "1_0", "is not a number"),
        ("f", " 1", "is not a number"),
        ("f", "٣", "is not a number"),
        ("f", "1e999", "is beyond what a float64 holds"),
        ("f", "9" * 5000, "is not a number"),
        ("i", "1.0", "is not a whole number"),
        ("i", "9223372036854775808", "is beyond what an int64 holds"),
        ("b", "yes", "is not true or false"),
        ("t", "2026-11-23T10:00:00", "has no offset from UTC"),
        ("t", "2026-11-31T10:00:00Z", "is not a moment of the calendar"),
        ("t", "0001-01-01T00:00:00+10:00", "is beyond the calendar"),
        ("t", "2026-W01-1", "is not a timestamp (ISO 8601)"),
        ("d", "2023-02-29", "is not a day of the calendar"),
        ("d", "20230228", "is not a date (YYYY-MM-DD)"),
        ("s", "a\0b", "holds a NUL character"),
    ],
)
def test_what_is_nearly_a_value_is_none(column: str, text: str, reason: str) -> None:
    row = ",".join(text if name == column else "" for name in EVERY.names)
    assert bad(ingest(f"{','.join(EVERY.names)}\n{row}\n", EVERY)) == [(2, [f"{column}: {reason}"], row)]


def test_bytes_that_are_not_utf8_are_quarantined_and_not_lost() -> None:
    found = ingest(b"id,radius,grade\n1,2,a\n2,\xff,b\n3,2,b\n")
    assert bad(found) == [(3, ["not UTF-8"], "2,\\xff,b")]
    assert found.accepted.num_rows == 2


def test_a_byte_order_mark_is_no_part_of_the_first_name() -> None:
    assert ingest(b"\xef\xbb\xbfid,radius,grade\n1,2,a\n").accepted.num_rows == 1


def test_a_field_may_span_lines() -> None:
    contract = contract_of({"columns": [{"name": "note", "type": "string"}, {"name": "n", "type": "int64"}]})
    found = ingest('note,n\n"two\nlines",1\nplain,x\n', contract)
    assert found.accepted.to_pylist() == [{"note": "two\nlines", "n": 1}]
    assert bad(found)[0][0] == 4


def test_a_quotation_that_never_ends_quarantines_every_line_it_swallowed() -> None:
    found = ingest('id,radius,grade\n1,2,a\n2,3,"b\n3,4,a\n4,5,b\n')
    assert [(line, raw) for line, _, raw in bad(found)] == [(3, '2,3,"b'), (4, "3,4,a"), (5, "4,5,b")]
    assert found.report["reasons"] == {"the quotation or line is broken": 3}
    with pytest.raises(DataUnreadable, match="3 of 4 rows are bad") as refused:
        found.require_few(CONTRACT)
    assert refused.value.members["report"] == found.report


def test_after_a_broken_quotation_reading_goes_on() -> None:
    found = ingest('id,radius,grade\n1,2,"a"x\n2,3,"b\n3,4,a"x\n4,5,b\n')
    assert [line for line, _, _ in bad(found)] == [2, 3, 4]
    assert found.accepted.column("id").to_pylist() == [4]


def test_a_quotation_that_swallows_too_much_is_named() -> None:
    text = 'id,radius,grade\n1,2,"a\n' + "2,3,b\n" * 50_000
    with pytest.raises(DataUnreadable, match="begins at line 2"):
        ingest(text)


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        (b"", DataUnreadable, "the file is empty"),
        (b"\n1,2,3\n", DataUnreadable, "header line is empty"),
        (b"id,radius,grade\n", DataUnreadable, "a header and no rows"),
        (b"id,radius,grade\n\n\n", DataUnreadable, "a header and no rows"),
        ("id,radius,grade\n1,2,a\n".encode("utf-16"), DataUnreadable, "UTF-16"),
        (b"id,radius,grade\r1,2,a\r", DataUnreadable, "not CSV"),
        (b'"id,radius,grade\n1,2,a\n', DataUnreadable, "not CSV"),
        (b"id,radius\n1,2\n", SchemaMismatch, "missing: 'grade'"),
        (b"id,radius,grade,age\n1,2,a,3\n", SchemaMismatch, "unexpected: 'age'"),
        (b"id,radius,grade,id\n1,2,a,1\n", SchemaMismatch, "twice: 'id'"),
        (b"id;radius;grade\n1;2;a\n", SchemaMismatch, "is the header missing"),
        (b"id,radius,grade\n" + b"x" * (9 << 20), DataUnreadable, "line 2 is longer"),
    ],
)
def test_a_file_that_is_wrong_as_a_whole_is_refused(data: bytes, error: type[KhatimError], says: str) -> None:
    with pytest.raises(error, match=says):
        ingest(data)


def test_a_missing_header_does_not_carry_the_first_patient_into_the_error() -> None:
    with pytest.raises(SchemaMismatch) as refused:
        ingest("4711,Fatima,malignant\n1,2,a\n")
    assert "Fatima" not in json.dumps(refused.value.as_problem())


_CELL = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=6) | st.sampled_from(
    ["1", "2", "3.5", "a", "", "99", '"', '""', "c,d", "\0", "-1"]
)


@given(rows=st.lists(st.lists(_CELL, min_size=1, max_size=4), min_size=1, max_size=20))
def test_rows_in_are_rows_accepted_and_quarantined(rows: list[list[str]]) -> None:
    """Well-quoted rows of any content: as many come out as went in, each line once, in order."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    found = ingest("id,radius,grade\n" + out.getvalue())
    assert found.report["rows"] == len(rows)
    lines = out.getvalue().removesuffix("\n").split("\n")
    assert all(lines[line - 2] == raw for line, _, raw in bad(found))


@given(body=st.lists(st.binary(max_size=12) | st.sampled_from([b"1,2,a", b'2,3,"a"', b'"', b"", b"\r"]), max_size=12))
def test_any_bytes_are_sorted_or_refused_and_no_line_is_lost(body: list[bytes]) -> None:
    """Whatever stands in the file: every line that is not blank is accepted or quarantined (quoted lines once each)."""
    data = b"id,radius,grade\n" + b"\n".join(body)
    try:
        found = ingest(data)
    except (DataUnreadable, SchemaMismatch):
        return
    again = ingest(data)
    assert arrow.to_parquet(found.accepted) == arrow.to_parquet(again.accepted)
    lines = data.count(b"\n") + (not data.endswith(b"\n")) - 1
    raw_lines = sum(raw.count("\n") + 1 for _, _, raw in bad(found))
    # Columns of this contract that may hold a line end accept none, so an accepted row is one line.
    assert found.report["accepted"] + raw_lines + found.report["blank_lines"] == lines


def test_the_same_file_gives_the_same_bytes_and_they_carry_the_contract() -> None:
    text = "id,radius,grade\n" + "".join(f"{n},{n / 100},a\n" for n in range(1, 5000))
    one, other = (arrow.to_parquet(ingest(text).accepted) for _ in range(2))
    assert one == other
    table = arrow.from_parquet(one)
    assert table.equals(ingest(text).accepted)
    assert arrow.tags_of(table.schema) == ("health.ae",)
    assert arrow.schema_json(table.schema)[1] == {
        "name": "radius",
        "type": "double",
        "nullable": False,
        "unit": "um",
        "tags": ["health.ae"],
    }
    assert arrow.schema_fingerprint(table.schema) == arrow.schema_fingerprint(arrow.schema_of(CONTRACT))


@given(cuts=st.lists(st.integers(0, 300), max_size=6))
def test_parquet_does_not_depend_on_how_the_table_is_chunked(cuts: list[int]) -> None:
    table = ingest(
        "id,radius,grade\n" + "".join(f"{n},{n % 50},{'' if n % 3 else 'a'}\n" for n in range(1, 301))
    ).accepted
    edges = sorted({0, *cuts, 300})
    parts = [table.slice(start, stop - start) for start, stop in itertools.pairwise(edges)]
    assert arrow.to_parquet(arrow.joined(parts, table.schema)) == arrow.to_parquet(table)


def test_a_fingerprint_follows_the_meaning_and_not_the_description() -> None:
    def fingerprint(**changes: Any) -> Digest:
        body = CONTRACT.model_dump(mode="json")
        body["columns"][1] |= changes
        return arrow.schema_fingerprint(arrow.schema_of(contract_of(body)))

    assert fingerprint() == fingerprint(description="other words") == fingerprint(maximum=70)
    others = {fingerprint(unit="mm"), fingerprint(nullable=True), fingerprint(tags=["secret"]), fingerprint(name="r")}
    assert len(others) == 4
    assert fingerprint() not in others


@pytest.mark.parametrize("data", [b"", b"PAR1", b"x" * 100])
def test_what_is_no_parquet_is_said_and_no_vendor_error_leaks(data: bytes) -> None:
    with pytest.raises(DataUnreadable):
        arrow.from_parquet(data)


def test_a_flipped_byte_in_parquet_is_an_error_or_found_by_the_digest() -> None:
    data = bytearray(
        arrow.to_parquet(ingest("id,radius,grade\n" + "".join(f"{n},2,a\n" for n in range(1, 99))).accepted)
    )
    for place in range(0, len(data), 7):
        spoiled = bytes(data[:place]) + bytes([data[place] ^ 0x40]) + bytes(data[place + 1 :])
        with contextlib.suppress(DataUnreadable):
            arrow.from_parquet(spoiled)


def test_the_real_breast_cancer_file_is_taken_whole() -> None:
    bunch = load_breast_cancer()
    names = [*(str(name) for name in bunch.feature_names), "malignant"]
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["id", *names])
    for number, (row, target) in enumerate(zip(bunch.data.tolist(), bunch.target.tolist(), strict=True), 1):
        writer.writerow([number, *map(repr, row), 1 - target])
    columns = [{"name": name, "type": "float64", "minimum": 0} for name in names[:-1]]
    contract = contract_of(
        {
            "columns": [
                {"name": "id", "type": "int64"},
                *columns,
                {"name": "malignant", "type": "int64", "allowed": [0, 1]},
            ],
            "key": ["id"],
        }
    )
    found = ingest(out.getvalue(), contract)
    assert (found.accepted.num_rows, found.quarantined.num_rows) == (569, 0)
    assert sum(found.accepted.column("malignant").to_pylist()) == 212
    assert found.accepted.column("mean radius").to_pylist() == bunch.data[:, 0].tolist()
