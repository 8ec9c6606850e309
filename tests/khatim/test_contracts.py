# SPDX-License-Identifier: Apache-2.0
"""Data contracts and feature views: strict, and clear about what is wrong."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khatim.contracts import ColumnType, DataContract, Operation, contract_of, feature_view_of
from khatim.errors import ContractUnreadable

CONTRACT: dict[str, Any] = {
    "columns": [
        {"name": "id", "type": "int64", "minimum": 1},
        {"name": "mean radius", "type": "float64", "minimum": 0, "maximum": 50.5, "unit": "um", "tags": ["health.ae"]},
        {"name": "seen", "type": "timestamp", "nullable": True, "minimum": "2020-01-01T00:00:00+04:00"},
        {"name": "born", "type": "date", "maximum": "2026-01-01"},
        {"name": "grade", "type": "string", "allowed": ["a", "b"]},
        {"name": "malignant", "type": "bool"},
    ],
    "key": ["id"],
    "tags": ["personal"],
    "max_quarantine_ratio": 0.1,
}
VIEW: dict[str, Any] = {
    "entity": "id",
    "features": [
        {"name": "radius", "source": "mean radius", "unit": "um"},
        {"name": "shape", "expression": {"op": "ratio", "of": ["perimeter", "mean radius"]}},
    ],
    "label": "malignant",
}


def changed(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    copy = json.loads(json.dumps(body))
    *parents, last = path.split(".")
    place = copy
    for part in parents:
        place = place[int(part)] if part.isdecimal() else place[part]
    place[last] = value
    return dict(copy)


def test_a_contract_reads_the_same_from_json_and_mapping_and_survives_the_wire() -> None:
    contract = contract_of(CONTRACT)
    assert contract == contract_of(json.dumps(CONTRACT)) == contract_of(json.dumps(CONTRACT).encode())
    assert contract_of(contract.model_dump_json()) == contract == contract_of(contract.model_dump(mode="json"))
    assert contract.names == ("id", "mean radius", "seen", "born", "grade", "malignant")
    assert contract.all_tags == ("health.ae", "personal")


def test_bounds_are_values_of_the_columns_type() -> None:
    columns = contract_of(CONTRACT).columns
    assert columns[1].bounds == (0, 50.5)
    assert columns[2].bounds == (datetime(2019, 12, 31, 20, tzinfo=UTC), None)
    assert columns[3].bounds == (None, date(2026, 1, 1))


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("columns", [], "at least 1 item"),
        ("columns.0.type", "int32", "columns.0.type"),
        ("columns.0.nullable", "no", "columns.0.nullable"),
        ("columns.0.nullable", True, "may not be nullable"),
        ("columns.0.minimum", 1.5, "1.5 cannot bound a column of type int64"),
        ("columns.0.minimum", 2**63, "cannot bound"),
        ("columns.0.minimum", True, "columns.0.minimum"),
        ("columns.0.maximum", 0, "minimum is above maximum"),
        ("columns.0.name", "grade", "columns named twice: grade"),
        ("columns.0.name", " id", "no space at its ends"),
        ("columns.0.name", "i\x00d", "printable"),
        ("columns.0.colour", "red", "columns.0.colour"),
        ("columns.1.tags", ["Health AE"], "lower-case words"),
        ("columns.2.minimum", "2020-01-01T00:00:00", "offset"),
        ("columns.3.maximum", "soon", "isoformat"),
        ("columns.3.allowed", ["2020-01-01"], "not a list of values"),
        ("columns.4.minimum", "a", "cannot bound"),
        ("columns.4.allowed", ["a", 1], "allowed value 1 is not a string"),
        ("columns.5.allowed", [1], "allowed value 1 is not a bool"),
        ("key", ["nobody"], "not a column"),
        ("key", ["id", "id"], "key columns named twice"),
        ("max_quarantine_ratio", 1.1, "max_quarantine_ratio"),
        ("colour", "red", "colour"),
    ],
)
def test_what_is_wrong_with_a_contract_is_said(path: str, value: Any, says: str) -> None:
    with pytest.raises(ContractUnreadable) as refused:
        contract_of(changed(CONTRACT, path, value))
    assert says in refused.value.detail
    assert refused.value.members["problems"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not JSON"),
        ("[]", "JSON object"),
        ('{"columns": [], "columns": []}', "named twice: columns"),
        ('{"max_quarantine_ratio": NaN}', "NaN is not a JSON number"),
        ("[" * 100_000, "not JSON"),
        ('{"columns": [{"name": "a", "type": "float64", "minimum": 1e999}]}', "cannot bound"),
    ],
)
def test_what_is_not_json_is_said(text: str, says: str) -> None:
    with pytest.raises(ContractUnreadable, match=says):
        contract_of(text)


def test_every_problem_is_named_not_only_the_first() -> None:
    with pytest.raises(ContractUnreadable, match=r"and 1 more") as refused:
        contract_of({"columns": [{"name": "a", "type": "x"}, {"name": "", "type": "bool"}]})
    assert [one["at"] for one in refused.value.members["problems"]] == ["columns.0.type", "columns.1.name"]


def test_a_feature_view_reads_and_knows_its_sources() -> None:
    view = feature_view_of(VIEW)
    assert view == feature_view_of(view.model_dump_json())
    assert view.sources == ("id", "mean radius", "perimeter", "malignant")
    assert view.features[0].formula.op is Operation.COLUMN
    assert view.features[1].type is ColumnType.FLOAT64


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("features", [], "at least 1 item"),
        ("features.0.source", None, "either a source column or an expression"),
        ("features.1.source", "perimeter", "either a source column or an expression"),
        ("features.1.expression.op", "eval", "features.1.expression.op"),
        ("features.1.expression.of", ["perimeter"], "ratio takes 2"),
        ("features.1.expression.op", "square", "square takes 1"),
        ("features.1.type", "int64", "gives a float64"),
        ("features.1.expression.of", ["perimeter", "malignant"], "made from the label"),
        ("features.0.source", "id", "made from the entity key"),
        ("features.0.name", "shape", "named twice: shape"),
        ("features.0.name", "malignant", "named twice: malignant"),
        ("label", "id", "named twice: id"),
    ],
)
def test_what_is_wrong_with_a_feature_view_is_said(path: str, value: Any, says: str) -> None:
    with pytest.raises(ContractUnreadable) as refused:
        feature_view_of(changed(VIEW, path, value))
    assert says in refused.value.detail


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["columns", "name", "type", "key", "x"]), inner)
    ),
    max_leaves=12,
)


@given(_JSON)
def test_any_json_is_a_contract_or_a_clear_error(value: Any) -> None:
    for read in (contract_of, feature_view_of):
        try:
            assert read(json.dumps(value)) is not None
        except ContractUnreadable as error:
            json.dumps(error.as_problem())


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4))
def test_a_contract_that_reads_reads_again_to_the_same(names: list[str]) -> None:
    try:
        contract = contract_of({"columns": [{"name": name, "type": "float64"} for name in names]})
    except ContractUnreadable:
        return
    assert DataContract.model_validate_json(contract.model_dump_json()) == contract
