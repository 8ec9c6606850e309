# SPDX-License-Identifier: Apache-2.0
"""Feature views: exactly the promised schema, or a clear refusal."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khatim.contracts import contract_of, feature_view_of
from khatim.errors import SchemaMismatch
from runners.zone import arrow
from runners.zone.features import materialise, schema_json
from runners.zone.ingestion import ingest

CONTRACT = contract_of(
    {
        "columns": [
            {"name": "id", "type": "int64"},
            {"name": "a", "type": "float64", "tags": ["health.ae"]},
            {"name": "b", "type": "float64"},
            {"name": "n", "type": "int64", "nullable": True},
            {"name": "y", "type": "bool"},
        ],
        "key": ["id"],
        "tags": ["personal"],
    }
)


def table(*rows: str) -> Any:
    return ingest(io.BytesIO("\n".join(["id,a,b,n,y", *rows]).encode()), CONTRACT).accepted


def view(*features: dict[str, Any], **more: Any) -> Any:
    return feature_view_of({"entity": "id", "features": list(features), "label": "y"} | more)


def made(op: str, *of: str, **more: Any) -> dict[str, Any]:
    return {"name": "x", "expression": {"op": op, "of": list(of)}} | more


def test_a_view_has_entity_features_and_label_with_units_and_inherited_tags() -> None:
    spec = view({"name": "width", "source": "a", "unit": "um"}, made("ratio", "a", "b", description="shape"))
    found = materialise(table("1,6,3,1,true", "2,5,4,,false"), spec)
    assert found.to_pylist() == [
        {"id": 1, "width": 6.0, "x": 2.0, "y": True},
        {"id": 2, "width": 5.0, "x": 1.25, "y": False},
    ]
    assert schema_json(found.schema) == [
        {"name": "id", "type": "int64", "nullable": False},
        {"name": "width", "type": "double", "nullable": False, "unit": "um", "tags": ["health.ae"]},
        {"name": "x", "type": "double", "nullable": False, "tags": ["health.ae"], "description": "shape"},
        {"name": "y", "type": "bool", "nullable": False},
    ]
    assert arrow.tags_of(found.schema) == ("health.ae", "personal")
    assert arrow.from_parquet(arrow.to_parquet(found)).equals(found)


@given(
    a=st.floats(-1e200, 1e200, allow_nan=False),
    b=st.floats(-1e200, 1e200, allow_nan=False),
    op=st.sampled_from(["ratio", "difference", "log1p", "square", "column"]),
)
def test_expressions_agree_with_python_and_are_null_where_python_has_no_number(a: float, b: float, op: str) -> None:
    of = ["a", "b"] if op in {"ratio", "difference"} else ["a"]
    found = materialise(table(f"1,{a!r},{b!r},,true"), view(made(op, *of, nullable=True))).column("x").to_pylist()[0]
    try:
        expected: float | None = {
            "ratio": lambda: a / b,
            "difference": lambda: a - b,
            "log1p": lambda: math.log1p(a),
            "square": lambda: a * a,
            "column": lambda: a,
        }[op]()
    except (ZeroDivisionError, ValueError):
        expected = None
    if expected is not None and not math.isfinite(expected):
        expected = None
    assert found == (pytest.approx(expected, rel=1e-14) if expected is not None else None)


def test_a_missing_value_where_none_may_be_is_refused_with_the_count() -> None:
    with pytest.raises(SchemaMismatch, match=r"'x' \(2 rows\)") as refused:
        materialise(table("1,1,0,,true", "2,1,0,,true", "3,1,1,,true"), view(made("ratio", "a", "b")))
    assert refused.value.members["nulls"] == {"x": 2}


def test_integers_become_floats_and_nothing_else_changes_its_type() -> None:
    rows = table("1,1,1,7,true")
    assert materialise(rows, view({"name": "x", "source": "n"})).column("x").to_pylist() == [7.0]
    assert str(materialise(rows, view({"name": "x", "source": "n", "type": "int64"})).schema.field("x").type) == "int64"
    with pytest.raises(SchemaMismatch, match="'x' is double, not int64"):
        materialise(rows, view({"name": "x", "source": "a", "type": "int64"}))
    with pytest.raises(SchemaMismatch, match="'y' is bool"):
        materialise(rows, view(made("square", "y"), label=None))


def test_missing_columns_are_named() -> None:
    with pytest.raises(SchemaMismatch) as refused:
        materialise(table("1,1,1,,true"), view(made("ratio", "a", "c"), label="z"))
    assert refused.value.members["missing"] == ["c", "z"]


def test_an_entity_stands_once() -> None:
    rows = table("1,1,1,,true", "2,1,1,,true")
    with pytest.raises(SchemaMismatch, match="1 rows repeat an entity"):
        materialise(arrow.joined([rows, rows.slice(0, 1)], rows.schema), view({"name": "x", "source": "a"}))


def test_a_view_without_a_label_and_of_no_rows_keeps_its_schema() -> None:
    found = materialise(table("1,1,1,,true").slice(0, 0), view(made("log1p", "n"), label=None))
    assert (found.num_rows, found.schema.names) == (0, ["id", "x"])
