# SPDX-License-Identifier: Apache-2.0
"""The base of every table: no row of Khatim exists outside this metadata, and so none outside the ledger's reach."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any, ClassVar

from sqlalchemy import BigInteger, DateTime, MetaData, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, MappedAsDataclass, mapped_column

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

Json = dict[str, Any]
Identifier = Annotated[uuid.UUID, mapped_column(primary_key=True)]
Moment = Annotated[datetime, mapped_column(DateTime(timezone=True))]
Long = Annotated[int, mapped_column(BigInteger)]


class Base(MappedAsDataclass, DeclarativeBase, kw_only=True):
    """Every table of the installation.  Rows are keyword-only dataclasses with ids made by the caller (UUIDv7)."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: Text,
        Json: JSONB,
        list[Json]: JSONB,
        list[str]: ARRAY(Text),
    }


class Governed:
    """A row whose every change must be described by an event recorded in the same transaction.

    A subclass gives `ref`, the reference under which its events speak about it (``version:oncology/malignancy@1``).
    """

    @property
    def ref(self) -> str:
        """Return the reference of this row in the ledger."""
        raise AttributeError(f"{type(self).__name__} has no ledger reference")
