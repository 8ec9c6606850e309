# SPDX-License-Identifier: Apache-2.0
"""Bodies about people: who stands behind a reference, and the erasure of what is known about them."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated

from pydantic import Field

from khatim.wire.answers import Answer
from khatim.wire.requests import Because, Request

LegalBasis = Annotated[str, Field(min_length=3, max_length=500)]


class Identify(Request):
    """Ask who stands behind a reference; the reason stands in the ledger."""

    because: Because


class Erase(Request):
    """Ask for the erasure of a person."""

    legal_basis: LegalBasis
    because: Because


class Person(Answer):
    """Who stands behind a reference; empty where nothing is kept (any more)."""

    ref: str
    display_name: str
    email: str
    first_seen: datetime | None
    erased: bool


class Erasure(Answer):
    """One erasure: asked for by one person, done when another approves."""

    id: uuid.UUID
    person: str
    state: str
    legal_basis: str
    because: str
    requested_by: str
    requested_at: datetime
    approved_by: str | None
    approved_at: datetime | None
