# SPDX-License-Identifier: Apache-2.0
"""Legal holds: place one, release it as two people, list them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime

from khatim.calls import addresses
from khatim.calls.connection import Connection, body
from khatim.wire import holds, requests

WHERE = "/v1/holds"


class Holds:
    """Legal holds."""

    def __init__(self, connection: Connection) -> None:
        """Call through *connection*."""
        self._connection = connection

    def place(
        self,
        *,
        because: str,
        legal_basis: str,
        review_due: datetime,
        since: datetime | None = None,
        until: datetime | None = None,
        **scope: str,
    ) -> holds.Hold:
        """Keep what is in *scope* (`namespace`, `resource`, `person`, `zone`) whatever its period says."""
        given = body(
            holds.PlaceHold, because=because, legal_basis=legal_basis, review_due=review_due, since=since, until=until,
            **scope,
        )  # fmt: skip
        return self._connection.send(holds.Hold, WHERE, given)

    def release(self, hold: str | uuid.UUID, *, because: str) -> holds.Hold:
        """Ask that a hold end or, as a second person, end it.  Raises `SeparationOfDuties` for the same person."""
        where = addresses.identified("holds", hold)
        return self._connection.send(holds.Hold, f"{where}/release", body(requests.Reason, because=because))

    def list(self) -> Iterator[holds.Hold]:
        """Yield every hold, those that have ended included."""
        return self._connection.pages(holds.Hold, WHERE)
