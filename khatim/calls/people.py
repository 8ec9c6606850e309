# SPDX-License-Identifier: Apache-2.0
"""People: who stands behind a reference, and erasing what is known about them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from urllib.parse import quote

from khatim.calls import addresses
from khatim.calls.connection import Connection, body
from khatim.wire import people as wire


class People:
    """People by their opaque references.  Looking at one is recorded with the reason."""

    def __init__(self, connection: Connection) -> None:
        """Call through *connection*."""
        self._connection = connection

    def show(self, ref: str, *, because: str) -> wire.Person:
        """Return who stands behind *ref*; that you asked, and why, stands in the ledger before the answer leaves."""
        return self._connection.send(wire.Person, f"{_person(ref)}/identity", body(wire.Identify, because=because))

    def erase(self, ref: str, *, legal_basis: str, because: str) -> wire.Erasure:
        """Ask for the erasure of a person; nothing is erased until somebody else approves it."""
        given = body(wire.Erase, legal_basis=legal_basis, because=because)
        return self._connection.send(wire.Erasure, f"{_person(ref)}/erasure", given)

    def approve(self, erasure: str | uuid.UUID) -> wire.Erasure:
        """Approve an erasure that somebody else asked for, and do it: nothing brings the record back.

        Raises `SeparationOfDuties`, or `ErasureHeld` with the obligations that stand against it.
        """
        return self._connection.send(wire.Erasure, f"{addresses.identified('erasures', erasure)}/approval")

    def erasures(self) -> Iterator[wire.Erasure]:
        """Yield the erasures that were asked for, the newest first."""
        return self._connection.pages(wire.Erasure, "/v1/erasures", {})


def _person(ref: str) -> str:
    return f"/v1/people/{quote(ref.removeprefix('person:'), safe='')}"
