# SPDX-License-Identifier: Apache-2.0
"""Bodies about legal holds."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, StringConstraints

from khatim.wire.answers import Answer
from khatim.wire.requests import Because, Request

Part = Annotated[str, StringConstraints(max_length=300, pattern=r"^[\x21-\x7e]*$")]


class PlaceHold(Request):
    """Keep what is in scope, whatever its period says; an empty member means any.  At least one must be given."""

    namespace: Part = ""
    resource: Part = ""
    person: Part = ""
    zone: Part = ""
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    because: Because
    legal_basis: Because
    review_due: AwareDatetime


class Hold(Answer):
    """A legal hold: `placed`, `releasing` (one person asked for its end) or `released`."""

    id: uuid.UUID
    namespace: str
    resource: str
    person: str
    zone: str
    since: datetime | None
    until: datetime | None
    because: str
    legal_basis: str
    review_due: datetime
    state: str
    placed_by: str
    placed_at: datetime
    release_asked_by: str | None
    released_by: str | None
    released_at: datetime | None
