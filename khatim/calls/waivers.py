# SPDX-License-Identifier: Apache-2.0
"""Waivers: ask that a requirement be excused, approve it as another person, take it back."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from khatim.calls import addresses
from khatim.calls.connection import Connection, body
from khatim.wire import requests, waivers


class Waivers:
    """What excuses one requirement of one version until a day."""

    def __init__(self, connection: Connection) -> None:
        """Call through *connection*."""
        self._connection = connection

    def request(
        self, version: str, rule: str, *, days: int, because: str, control: str, transition: str = "production"
    ) -> waivers.Waiver:
        """Ask that *rule* be excused for *days*; *control* says what protects in its place.

        Raises `WaiverRefused` for a requirement that holds always, and for more days than its tier allows.
        """
        given = body(
            waivers.WaiverRequest, rule=rule, transition=transition, days=days, because=because, control=control
        )
        return self._connection.send(waivers.Waiver, f"{addresses.version(version)}/waivers", given)

    def approve(self, waiver: str | uuid.UUID, *, because: str) -> waivers.Waiver:
        """Approve a waiver.  Raises `SeparationOfDuties` for requester and authors."""
        where = addresses.identified("waivers", waiver)
        return self._connection.send(waivers.Waiver, f"{where}/approval", body(requests.Reason, because=because))

    def revoke(self, waiver: str | uuid.UUID, *, because: str) -> waivers.Waiver:
        """Take a waiver back: the gate asks for the requirement again."""
        where = addresses.identified("waivers", waiver)
        return self._connection.send(waivers.Waiver, f"{where}/revocation", body(requests.Reason, because=because))

    def list(self, version: str) -> Iterator[waivers.Waiver]:
        """Yield the waivers of a version, oldest first, whatever their state."""
        return self._connection.pages(waivers.Waiver, f"{addresses.version(version)}/waivers")
