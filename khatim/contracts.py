# SPDX-License-Identifier: Apache-2.0
"""What a data file must look like (data contract) and how features are made from it (feature view).

Both are written by people as JSON, checked here once and strictly, and used by the zone that holds the data.  A
contract names columns, never values of people: what a contract says may stand in the registry, the data may not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from khatim.documents import read, repeated

MAX_COLUMNS = 4096
INT64 = range(-(2**63), 2**63)
_TAG = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*\Z")

Scalar = bool | int | float | str
Limit = int | float | str


class ColumnType(StrEnum):
    """The closed set of types a column or feature may have.  A timestamp carries its offset and is kept in UTC."""

    FLOAT64 = "float64"
    INT64 = "int64"
    STRING = "string"
    BOOL = "bool"
    TIMESTAMP = "timestamp"
    DATE = "date"


class Operation(StrEnum):
    """How a feature is computed from its source columns; a closed set, so that no code travels in a feature view."""

    COLUMN = "column"
    RATIO = "ratio"
    DIFFERENCE = "difference"
    LOG1P = "log1p"
    SQUARE = "square"

    @property
    def arity(self) -> int:
        """Return how many columns the operation takes."""
        return 2 if self in {Operation.RATIO, Operation.DIFFERENCE} else 1


NUMERIC = frozenset({ColumnType.FLOAT64, ColumnType.INT64})
TEMPORAL = frozenset({ColumnType.TIMESTAMP, ColumnType.DATE})


def moment_of(text: str) -> datetime:
    """Read an ISO 8601 timestamp that carries its offset; raises `ValueError`."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a timestamp needs its offset, as in 2026-11-23T10:00:00+04:00")
    return moment


def _column_name(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError("a column name is printable and has no space at its ends")
    return text


def _tag(text: str) -> str:
    if not _TAG.match(text):
        raise ValueError("a tag is lower-case words joined by dots, as in health.ae")
    return text


ColumnName = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_column_name)]
Tag = Annotated[str, Field(max_length=64), AfterValidator(_tag)]
Text = Annotated[str, Field(max_length=2000)]
Unit = Annotated[str, Field(max_length=64)]


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


def _is_of(kind: ColumnType, value: Scalar) -> bool:
    if kind is ColumnType.BOOL:
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if kind is ColumnType.INT64:
        return isinstance(value, int) and value in INT64
    if kind is ColumnType.FLOAT64:
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, str)


def _comparable(kind: ColumnType, value: Limit) -> Any:
    """Return *value* as something that can be compared with values of *kind*; raises `ValueError`."""
    if kind in NUMERIC and _is_of(kind, value):
        return value
    if kind is ColumnType.DATE and isinstance(value, str):
        return date.fromisoformat(value)
    if kind is ColumnType.TIMESTAMP and isinstance(value, str):
        return moment_of(value)
    raise ValueError(f"{value!r} cannot bound a column of type {kind}")


class Column(_Body):
    """One column: its type, whether it may be empty, and which values are right.  `tags` adds to the contract's."""

    name: ColumnName
    type: Annotated[ColumnType, Field(strict=False)]
    nullable: bool = False
    minimum: Limit | None = None
    maximum: Limit | None = None
    allowed: tuple[Scalar, ...] = Field(default=(), max_length=1000, strict=False)
    unit: Unit = ""
    tags: tuple[Tag, ...] = Field(default=(), strict=False)
    description: Text = ""

    @property
    def bounds(self) -> tuple[Any, Any]:
        """Return the inclusive bounds as values of the column's type (numbers, dates, aware datetimes), or None."""
        low = None if self.minimum is None else _comparable(self.type, self.minimum)
        high = None if self.maximum is None else _comparable(self.type, self.maximum)
        return low, high

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        low, high = self.bounds
        if low is not None and high is not None and low > high:
            raise ValueError(f"column {self.name!r}: minimum is above maximum")
        if self.allowed and self.type in TEMPORAL:
            raise ValueError(f"column {self.name!r}: a {self.type} takes minimum and maximum, not a list of values")
        wrong = [value for value in self.allowed if not _is_of(self.type, value)]
        if wrong:
            raise ValueError(f"column {self.name!r}: allowed value {wrong[0]!r} is not a {self.type}")
        return self


class DataContract(_Body):
    """What a dataset version must look like.

    `key` names the columns that together occur once; `tags` are the data tags of the whole dataset (``health.ae``);
    `max_quarantine_ratio` is the part of the rows (0 to 1) that may be bad before the file as a whole is refused.
    """

    columns: tuple[Column, ...] = Field(min_length=1, max_length=MAX_COLUMNS, strict=False)
    key: tuple[ColumnName, ...] = Field(default=(), strict=False)
    tags: tuple[Tag, ...] = Field(default=(), strict=False)
    description: Text = ""
    max_quarantine_ratio: float = Field(default=0.05, ge=0, le=1)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the column names in order."""
        return tuple(column.name for column in self.columns)

    @property
    def all_tags(self) -> tuple[str, ...]:
        """Return the tags of the dataset and of its columns, sorted: what a derived artifact inherits."""
        return tuple(sorted({*self.tags, *(tag for column in self.columns for tag in column.tags)}))

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if twice := repeated(self.names):
            raise ValueError(f"columns named twice: {', '.join(twice)}")
        if twice := repeated(self.key):
            raise ValueError(f"key columns named twice: {', '.join(twice)}")
        columns = {column.name: column for column in self.columns}
        for name in self.key:
            if name not in columns:
                raise ValueError(f"key column {name!r} is not a column of the contract")
            if columns[name].nullable:
                raise ValueError(f"key column {name!r} may not be nullable")
        return self


class Expression(_Body):
    """A feature computed from columns: `op` over `of`, in order (ratio and difference take two columns)."""

    op: Annotated[Operation, Field(strict=False)]
    of: tuple[ColumnName, ...] = Field(min_length=1, max_length=2, strict=False)

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if len(self.of) != self.op.arity:
            raise ValueError(f"{self.op} takes {self.op.arity} column(s), not {len(self.of)}")
        return self


class Feature(_Body):
    """One feature: a source column taken as it is, or an expression; exactly one of both."""

    name: ColumnName
    type: Annotated[ColumnType, Field(strict=False)] = ColumnType.FLOAT64
    unit: Unit = ""
    source: ColumnName | None = None
    expression: Expression | None = None
    nullable: bool = False
    description: Text = ""

    @property
    def formula(self) -> Expression:
        """Return how the feature is made, a plain source being the operation *column*."""
        if self.expression is not None:
            return self.expression
        return Expression(op=Operation.COLUMN, of=(self.source or self.name,))

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if (self.source is None) == (self.expression is None):
            raise ValueError(f"feature {self.name!r} has either a source column or an expression")
        if self.formula.op is not Operation.COLUMN and self.type is not ColumnType.FLOAT64:
            raise ValueError(f"feature {self.name!r}: {self.formula.op} gives a float64, not a {self.type}")
        return self


class FeatureViewSpec(_Body):
    """How a feature view is made from a dataset: one row per entity, its features, and the label if there is one."""

    entity: ColumnName
    features: tuple[Feature, ...] = Field(min_length=1, max_length=MAX_COLUMNS, strict=False)
    label: ColumnName | None = None
    description: Text = ""

    @property
    def sources(self) -> tuple[str, ...]:
        """Return every column of the dataset that the view reads, entity first and label last."""
        label = () if self.label is None else (self.label,)
        used = (column for feature in self.features for column in feature.formula.of)
        return tuple(dict.fromkeys((self.entity, *used, *label)))

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        names = [self.entity, *(feature.name for feature in self.features), *([self.label] if self.label else [])]
        if twice := repeated(names):
            raise ValueError(f"columns of the view named twice: {', '.join(twice)}")
        for feature in self.features:
            if self.label in feature.formula.of:
                raise ValueError(f"feature {feature.name!r} is made from the label: the model would be told the answer")
            if self.entity in feature.formula.of:
                raise ValueError(f"feature {feature.name!r} is made from the entity key, which explains nothing")
        return self


def contract_of(source: str | bytes | Mapping[str, Any]) -> DataContract:
    """Read a data contract from JSON or a mapping; raises `ContractUnreadable` naming every problem."""
    return read(DataContract, "data contract", source)


def feature_view_of(source: str | bytes | Mapping[str, Any]) -> FeatureViewSpec:
    """Read a feature view from JSON or a mapping; raises `ContractUnreadable` naming every problem."""
    return read(FeatureViewSpec, "feature view", source)
