# SPDX-License-Identifier: Apache-2.0
"""Materialising a feature view: a dataset's table in, one row per entity with exactly the promised schema out."""

from __future__ import annotations

from typing import assert_never

from khatim.contracts import ColumnType, Expression, FeatureViewSpec, Operation
from khatim.errors import SchemaMismatch
from runners.zone import arrow

schema_json = arrow.schema_json


def materialise(table: arrow.Table, spec: FeatureViewSpec) -> arrow.Table:
    """Return the feature view that *spec* describes, made from *table*: entity, features in order, then the label.

    As many rows come out as went in, in the same order.  The view inherits the data tags of its source.  Raises
    `SchemaMismatch` when a source column is missing or of another type, when an entity repeats, or when a feature
    that may not be null is (a ratio over zero, the logarithm of less than nothing).
    """
    if missing := [name for name in spec.sources if name not in table.schema.names]:
        raise SchemaMismatch(f"the dataset lacks columns of the view: {', '.join(missing)}", missing=missing)
    if repeats := arrow.repeats_of(table.column(spec.entity)):
        raise SchemaMismatch(f"{repeats} rows repeat an entity: a feature view has one row per {spec.entity!r}")
    source = table.schema
    fields = [source.field(spec.entity).with_nullable(False)]  # noqa: FBT003 - pyarrow's signature
    columns = [table.column(spec.entity)]
    for feature in spec.features:
        made = _made(table, feature.formula)
        fields.append(
            arrow.field_of(
                feature.name,
                feature.type,
                nullable=feature.nullable,
                unit=feature.unit,
                tags=sorted({tag for name in feature.formula.of for tag in arrow.tags_of_field(source.field(name))}),
                description=feature.description,
            )
        )
        columns.append(arrow.as_type(made, feature.type, feature.name))
    if spec.label is not None:
        fields.append(source.field(spec.label).with_nullable(False))  # noqa: FBT003 - pyarrow's signature
        columns.append(table.column(spec.label))
    schema = arrow.schema_with(
        fields,
        tags=arrow.tags_of(source),
        entity=spec.entity,
        label=spec.label or "",
        description=spec.description,
    )
    return arrow.checked(arrow.table_from(columns, schema))


def _made(table: arrow.Table, formula: Expression) -> arrow.Column:
    if formula.op is Operation.COLUMN:
        return table.column(formula.of[0])
    numbers = [arrow.as_type(table.column(name), ColumnType.FLOAT64, name) for name in formula.of]
    match formula.op:
        case Operation.RATIO:
            return arrow.ratio(*numbers)
        case Operation.DIFFERENCE:
            return arrow.difference(*numbers)
        case Operation.LOG1P:
            return arrow.log1p(numbers[0])
        case Operation.SQUARE:
            return arrow.square(numbers[0])
        case _:
            assert_never(formula.op)
