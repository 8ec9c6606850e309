# SPDX-License-Identifier: Apache-2.0
"""Transfer authorisations, what the rules say to a movement, and where copies of an artifact are."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from khatim.calls import addresses
from khatim.calls.connection import PAGE, Connection, body
from khatim.wire import requests, transfers


class Transfers:
    """What opens the way from zone to zone."""

    def __init__(self, connection: Connection) -> None:
        """Call through *connection*."""
        self._connection = connection

    def request(
        self,
        namespace: str,
        *,
        from_zone: str,
        to_zone: str,
        mechanism: str,
        evidence_digest: str,
        purpose: str,
        tags: Sequence[str],
        scope: Sequence[str],
        valid_to: datetime,
        valid_from: datetime | None = None,
        review_due: datetime | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> transfers.Transfer:
        """Ask for an authorisation; another person must approve it.

        *evidence_digest* is that of the document which makes the mechanism (a contract, a consent form).  *scope* names
        what may move, exactly or ending in ``*``.  Raises `Malformed` naming what the mechanism asks for besides.
        """
        given = body(
            transfers.TransferRequest,
            from_zone=from_zone,
            to_zone=to_zone,
            mechanism=mechanism,
            evidence_digest=evidence_digest,
            purpose=purpose,
            tags=sorted(set(tags)),
            scope=list(scope),
            valid_from=valid_from,
            valid_to=valid_to,
            review_due=review_due,
            details=dict(details or {}),
        )
        return self._connection.send(transfers.Transfer, f"/v1/namespaces/{namespace}/transfers", given)

    def approve(self, transfer: str | uuid.UUID, *, because: str) -> transfers.Transfer:
        """Approve one.  Raises `SeparationOfDuties` for the person who asked for it."""
        return self._decide(transfer, "approval", because)

    def revoke(self, transfer: str | uuid.UUID, *, because: str) -> transfers.Transfer:
        """Take one back: from now on nothing moves on it."""
        return self._decide(transfer, "revocation", because)

    def list(self) -> Iterator[transfers.Transfer]:
        """Yield the authorisations, newest first."""
        return self._connection.pages(transfers.Transfer, "/v1/transfers", {"limit": PAGE})

    def ask(
        self, kind: str, *, from_zone: str, to_zone: str, tags: Sequence[str], purpose: str = "", artefact: str = ""
    ) -> transfers.Rulings:
        """Say what the rules say to a movement, without moving anything."""
        given = body(
            transfers.TransferQuestion,
            kind=kind,
            from_zone=from_zone,
            to_zone=to_zone,
            tags=sorted(set(tags)),
            purpose=purpose,
            artefact=artefact,
        )
        return self._connection.send(transfers.Rulings, "/v1/transfers/question", given)

    def timeline(self, digest: str) -> transfers.Timeline:
        """Tell where copies of an artifact are, and every movement that was allowed, with its basis."""
        return self._connection.ask(transfers.Timeline, f"/v1/artifacts/{digest}/placements")

    def _decide(self, name: str | uuid.UUID, what: str, because: str) -> transfers.Transfer:
        address = f"{addresses.identified('transfers', name)}/{what}"
        return self._connection.send(transfers.Transfer, address, body(requests.Reason, because=because))
