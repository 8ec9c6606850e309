# SPDX-License-Identifier: Apache-2.0
"""Access: roles on record, people who are cut off, and why something is allowed or not."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from urllib.parse import quote, urlencode

from khatim.calls import addresses
from khatim.calls.connection import Connection, body
from khatim.vocabulary import Action, Role
from khatim.wire import access, requests


class Access:
    """Who holds which role until when, and what follows from it."""

    def __init__(self, connection: Connection) -> None:
        """Call through *connection*."""
        self._connection = connection

    def request(
        self,
        subject: str,
        role: Role | str,
        *,
        days: int,
        because: str,
        zone: str = "*",
        namespace: str = "*",
        ticket: str = "",
        in_my_absence: bool = False,
    ) -> access.RoleAssignment:
        """Ask that *subject* (``person:REF``, ``group:NAME``) hold *role* for *days*; somebody else gives it.

        *in_my_absence* asks for a role of your own: they act for you, with your one voice.  Raises `AssignmentRefused`
        for more days than the role allows, and for a role that you do not hold there.
        """
        given = body(
            access.RoleRequest, subject=subject, role=role, zone=zone, namespace=namespace, days=days,
            because=because, ticket=ticket, in_my_absence=in_my_absence,
        )  # fmt: skip
        return self._connection.send(access.RoleAssignment, "/v1/access/roles", given)

    def approve(self, assignment: str | uuid.UUID, *, because: str) -> access.RoleAssignment:
        """Give a role.  Raises `SeparationOfDuties` for who asked for it and who would hold it."""
        where = addresses.identified("access/roles", assignment)
        given = body(requests.Reason, because=because)
        return self._connection.send(access.RoleAssignment, f"{where}/approval", given)

    def break_glass(
        self,
        role: Role | str,
        *,
        hours: int,
        because: str,
        zone: str = "*",
        namespace: str = "*",
        ticket: str = "",
    ) -> access.RoleAssignment:
        """Ask for *role* for yourself at once; a second person confirms.  Raises `AssignmentRefused`."""
        given = body(
            access.EmergencyRequest, role=role, hours=hours, zone=zone, namespace=namespace, because=because,
            ticket=ticket,
        )  # fmt: skip
        return self._connection.send(access.RoleAssignment, "/v1/access/emergencies", given)

    def confirm(self, emergency: str | uuid.UUID, *, because: str) -> access.RoleAssignment:
        """Break the glass as the second person; a review is due.  Raises `SeparationOfDuties` for who asked."""
        where = addresses.identified("access/emergencies", emergency)
        given = body(requests.Reason, because=because)
        return self._connection.send(access.RoleAssignment, f"{where}/confirmation", given)

    def revoke(self, assignment: str | uuid.UUID, *, because: str) -> access.RoleAssignment:
        """Take a role back, or turn its request down."""
        where = addresses.identified("access/roles", assignment)
        given = body(requests.Reason, because=because)
        return self._connection.send(access.RoleAssignment, f"{where}/revocation", given)

    def list(self) -> Iterator[access.RoleAssignment]:
        """Yield the roles on record, the newest first, whatever their state."""
        return self._connection.pages(access.RoleAssignment, "/v1/access/roles")

    def link(self, account: str, person: str, *, because: str) -> access.AccountLink:
        """Say that two accounts are one natural person's; somebody else approves, then duties are separated so."""
        given = body(access.LinkRequest, account=account, person=person, because=because)
        return self._connection.send(access.AccountLink, "/v1/access/links", given)

    def approve_link(self, link: str | uuid.UUID, *, because: str) -> access.AccountLink:
        """Approve a link.  Raises `SeparationOfDuties` for who asked for it and for the person themselves."""
        where = f"{addresses.identified('access/links', link)}/approval"
        return self._connection.send(access.AccountLink, where, body(requests.Reason, because=because))

    def release_link(self, link: str | uuid.UUID, *, because: str) -> access.AccountLink:
        """Ask that a link end or, as a second person, end it; a request that waits is turned down."""
        where = f"{addresses.identified('access/links', link)}/release"
        return self._connection.send(access.AccountLink, where, body(requests.Reason, because=because))

    def links(self) -> Iterator[access.AccountLink]:
        """Yield links, the newest first, whatever their state."""
        return self._connection.pages(access.AccountLink, "/v1/access/links")

    def suspend(self, person: str, *, because: str) -> access.Suspension:
        """Cut a person off from everything."""
        given = body(requests.Reason, because=because)
        return self._connection.send(access.Suspension, f"/v1/people/{quote(person, safe='')}/suspension", given)

    def sign_out(self, person: str, *, because: str) -> access.SessionsEnded:
        """End every session of a person, who may sign in again."""
        given = body(requests.Reason, because=because)
        return self._connection.send(access.SessionsEnded, f"/v1/people/{quote(person, safe='')}/sign-out", given)

    def restore(self, person: str, *, because: str) -> access.Suspension:
        """Let a person back in.  Raises `SeparationOfDuties` for who suspended and who is suspended."""
        given = body(requests.Reason, because=because)
        return self._connection.send(access.Suspension, f"/v1/people/{quote(person, safe='')}/restoration", given)

    def suspensions(self) -> Iterator[access.Suspension]:
        """Yield who was cut off, the newest first, those who came back included."""
        return self._connection.pages(access.Suspension, "/v1/access/suspensions")

    def open_review(
        self, *, because: str, role: Role | str | None = None, namespace: str = "", days: int = 14
    ) -> access.ReviewWithItems:
        """Ask of every live role on record in the scope whether it is needed; due in *days*.

        Raises `NotFound` for a scope without roles on record.
        """
        given = body(access.OpenReview, role=role or None, namespace=namespace, days=days, because=because)
        return self._connection.send(access.ReviewWithItems, "/v1/access/reviews", given)

    def review(self, review: str | uuid.UUID) -> access.ReviewWithItems:
        """Return a review: what was answered by whom, and what became of each role."""
        return self._connection.ask(access.ReviewWithItems, addresses.identified("access/reviews", review))

    def reviews(self) -> Iterator[access.Review]:
        """Yield the access reviews, the newest first."""
        return self._connection.pages(access.Review, "/v1/access/reviews")

    def decide(
        self, review: str | uuid.UUID, assignment: str | uuid.UUID, decision: str, *, because: str
    ) -> access.ReviewWithItems:
        """Answer ``keep`` or ``revoke`` for one role on record.  Raises `SeparationOfDuties` for one's own."""
        where = addresses.identified("access/reviews", review)
        given = body(
            access.ReviewDecision, assignment=str(assignment).rpartition(":")[2], decision=decision, because=because
        )
        return self._connection.send(access.ReviewWithItems, f"{where}/decisions", given)

    def explain(
        self,
        action: Action | str,
        resource: str,
        *,
        person: str = "",
        roles: Sequence[Role | str] = (),
        groups: Sequence[str] = (),
        zone: str = "",
        tags: Sequence[str] = (),
        stage: str = "",
        alias: str = "",
        strength: int | None = None,
    ) -> access.Explanation:
        """Explain whether *person* (without one: the caller) may do *action* to *resource*, as things stand now.

        *roles*, *groups* and *strength* are what the person's sign-in brings; roles on record are known.
        """
        asked = [
            ("action", str(action)), ("resource", resource), ("person", person), ("zone", zone), ("stage", stage),
            ("alias", alias), ("strength", "" if strength is None else str(strength)),
            *(("role", str(one)) for one in roles), *(("group", one) for one in groups),
            *(("tag", one) for one in tags),
        ]  # fmt: skip
        query = urlencode([(name, value) for name, value in asked if value])
        return self._connection.ask(access.Explanation, f"/v1/access/explanation?{query}")
