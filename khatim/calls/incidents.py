# SPDX-License-Identifier: Apache-2.0
"""Incidents: told, answered duty by duty, closed."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime

from khatim.calls import addresses
from khatim.calls.connection import PAGE, Connection, body
from khatim.wire import incidents as wire
from khatim.wire import requests


class Incidents:
    """What happened, what must be done about it by when, and what was done."""

    def __init__(self, connection: Connection) -> None:
        """Call through *connection*."""
        self._connection = connection

    def list(self) -> Iterator[wire.Incident]:
        """Yield the incidents, newest first."""
        return self._connection.pages(wire.Incident, "/v1/incidents", {"limit": PAGE})

    def get(self, incident: str | uuid.UUID) -> wire.Incident:
        """Return one incident."""
        return self._connection.ask(wire.Incident, addresses.identified("incidents", incident))

    def open(
        self,
        about: str,
        *,
        kind: str,
        summary: str,
        aware_at: datetime | None = None,
        owner: str = "",
        suspend: bool = False,
    ) -> wire.Incident:
        """Tell of an incident about ``version:…`` or ``deployment:…``; *suspend*: its approvals do not count."""
        given = body(
            wire.OpenIncident, about=about, kind=kind, summary=summary, aware_at=aware_at, owner=owner, suspend=suspend
        )
        return self._connection.send(wire.Incident, "/v1/incidents", given)

    def fulfil(
        self, incident: str | uuid.UUID, duty: str, *, said: str, done_at: datetime | None = None
    ) -> wire.Incident:
        """Say how a duty was done, and when, if it was before now."""
        where = f"{addresses.identified('incidents', incident)}/duties"
        return self._connection.send(wire.Incident, where, body(wire.FulfilDuty, duty=duty, said=said, done_at=done_at))

    def close(self, incident: str | uuid.UUID, *, because: str) -> wire.Incident:
        """Close one whose duties are done.  Raises `SeparationOfDuties` for who opened it."""
        where = f"{addresses.identified('incidents', incident)}/closing"
        return self._connection.send(wire.Incident, where, body(requests.Reason, because=because))
