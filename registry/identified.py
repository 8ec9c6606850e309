# SPDX-License-Identifier: Apache-2.0
"""Rows that are named by their id: one of them, or a page of them."""

from __future__ import annotations

import uuid
from typing import Any, TypeVar

from sqlalchemy import select

from audit.base import Base
from audit.transaction import Reader
from khatim.errors import Malformed, NotFound
from khatim.vocabulary import Action
from registry.queries import PAGE_LIMIT, decode_cursor, encode_cursor

Identified = TypeVar("Identified", bound=Base)
"""A governed row with an `id` (UUIDv7) and a `resource` that access decides about."""


def one(reader: Reader, table: type[Identified], name: str, *, for_update: bool = False) -> Identified:
    """Return the row that the id *name* means, if the actor may read it; raises `NotFound`."""
    noun = table.__name__.lower()
    try:
        key = uuid.UUID(name)
    except ValueError as error:
        raise NotFound(f"there is no {noun} {name[:80]!r}") from error
    known: Any = table
    query = select(known).where(known.id == key)
    row = reader.scalar(query.with_for_update() if for_update else query)
    if row is None:
        raise NotFound(f"there is no {noun} {name}")
    reader.require(Action.READ, row.resource)
    found: Identified = row
    return found


def page(
    reader: Reader, table: type[Identified], *, cursor: str = "", limit: int = 50
) -> tuple[list[Identified], str | None]:
    """Return one page, newest first (ids are UUIDv7, so id order is time order), and the next cursor."""
    limit = min(max(limit, 1), PAGE_LIMIT)
    known: Any = table
    query = select(known).order_by(known.id.desc()).limit(limit + 1)
    if cursor:
        query = query.where(known.id < _id_of(cursor))
    found = list(reader.scalars(query))
    following = encode_cursor(str(found[limit - 1].id)) if len(found) > limit else None
    return [row for row in found[:limit] if reader.may(Action.READ, row.resource)], following


def _id_of(cursor: str) -> uuid.UUID:
    try:
        return uuid.UUID(decode_cursor(cursor, str)[0])
    except ValueError as error:
        raise Malformed("the cursor belongs to another list", advice="Start again without a cursor.") from error
