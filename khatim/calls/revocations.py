# SPDX-License-Identifier: Apache-2.0
"""What was revoked: record it, see first what it reaches, lift it as a second person, fetch the signed list."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime

from khatim.calls import addresses
from khatim.calls.connection import Connection, body
from khatim.vocabulary import Revoked
from khatim.wire import requests, revocations

WHERE = "/v1/revocations"


class Revocations:
    """Revocations of statements, keys, identities and artifacts."""

    def __init__(self, connection: Connection) -> None:
        """Call through *connection*."""
        self._connection = connection

    def record(
        self,
        kind: Revoked | str,
        target: str,
        *,
        because: str,
        since: datetime | None = None,
        from_the_beginning: bool = False,
    ) -> revocations.Revocation:
        """Revoke *target* from *since* on (by default from now); what may not serve any more stops within seconds.

        What is revoked at least so far back already is returned as it is.
        """
        given = _given(kind, target, because, since, from_the_beginning=from_the_beginning)
        return self._connection.send(revocations.Revocation, WHERE, given)

    def preview(
        self,
        kind: Revoked | str,
        target: str,
        *,
        because: str,
        since: datetime | None = None,
        from_the_beginning: bool = False,
    ) -> revocations.Touched:
        """Say what a revocation would reach; nothing is revoked."""
        given = _given(kind, target, because, since, from_the_beginning=from_the_beginning)
        return self._connection.send(revocations.Touched, f"{WHERE}/preview", given)

    def lift(self, revocation: str | uuid.UUID, *, because: str) -> revocations.Revocation:
        """End a revocation from now on.  Raises `SeparationOfDuties` for whoever recorded it."""
        where = addresses.identified("revocations", revocation)
        return self._connection.send(revocations.Revocation, f"{where}/lifting", body(requests.Reason, because=because))

    def list(self) -> Iterator[revocations.Revocation]:
        """Yield every revocation and lifting, oldest first."""
        return self._connection.pages(revocations.Revocation, WHERE)

    def signed(self) -> revocations.SignedList:
        """Return the list as the registry signs it, to verify with offline."""
        return self._connection.ask(revocations.SignedList, f"{WHERE}/list")


def _given(
    kind: Revoked | str, target: str, because: str, since: datetime | None, *, from_the_beginning: bool
) -> requests.Revoke:
    return body(
        requests.Revoke,
        kind=kind,
        target=target,
        because=because,
        since=since,
        from_the_beginning=from_the_beginning,
    )
