# SPDX-License-Identifier: Apache-2.0
"""Bodies about access: roles on record, people who are cut off, and why something is allowed or not."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from khatim.vocabulary import Role
from khatim.wire.answers import Answer
from khatim.wire.requests import Because, Request

Subject = Annotated[
    str, StringConstraints(pattern=r"^(person|group|service-account):[A-Za-z0-9][A-Za-z0-9._:@~-]{0,199}$")
]
Pattern = Annotated[str, StringConstraints(pattern=r"^(\*|[a-z0-9][a-z0-9._-]{0,63}\*?)$")]
Ticket = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{0,100}$")]
PersonRef = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@~-]{0,199}$")]
ResourceText = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z-]{0,31}:[!-~]{1,300}$")]


class RoleRequest(Request):
    """Ask that a person (``person:REF``), group (``group:NAME``) or program (``service-account:NAME``) hold a role.

    A pattern may end in ``*``.
    """

    subject: Subject
    role: Role
    zone: Pattern = "*"
    namespace: Pattern = "*"
    days: int = Field(ge=1, le=366)
    because: Because
    ticket: Ticket = ""
    in_my_absence: bool = False  # the subject acts for who asks, with that one voice


class EmergencyRequest(Request):
    """Break the glass: a role for oneself, at once, for some hours; a second person confirms."""

    role: Role
    hours: int = Field(ge=1, le=24)
    zone: Pattern = "*"
    namespace: Pattern = "*"
    because: Because
    ticket: Ticket = ""


class LinkRequest(Request):
    """Say that two accounts are one natural person's."""

    account: PersonRef
    person: PersonRef
    because: Because


class AccountLink(Answer):
    """Two accounts of one person: `requested`, `linked`, `releasing` (still counts) or `released`."""

    id: uuid.UUID
    account: str
    person: str
    because: str
    state: str
    requested_by: str
    requested_at: datetime
    approved_by: str | None
    approved_at: datetime | None
    release_asked_by: str | None
    release_because: str
    released_by: str | None
    released_at: datetime | None


class RoleAssignment(Answer):
    """A role on record: `requested`, `approved`, `revoked` or `expired`."""

    id: uuid.UUID
    subject: str
    role: str
    zone: str
    namespace: str
    days: int
    hours: int  # of an emergency; 0 for every other
    reason: str
    ticket: str
    stands_in_for: str
    requested_by: str
    requested_at: datetime
    state: str
    because: str
    approved_by: str | None
    approved_at: datetime | None
    expires_at: datetime | None
    ended_by: str | None
    ended_at: datetime | None


class SessionsEnded(Answer):
    """How many sessions of a person were ended."""

    person: str
    sessions: int


class Suspension(Answer):
    """A person cut off, until it is lifted."""

    id: uuid.UUID
    person: str
    because: str
    suspended_by: str
    suspended_at: datetime
    lifted_because: str
    lifted_by: str | None
    lifted_at: datetime | None


class OpenReview(Request):
    """Ask of every role on record, of `role` and with exactly the pattern `namespace` where given, if it is needed."""

    role: Role | None = None
    namespace: Pattern | Literal[""] = ""
    days: int = Field(default=14, ge=1, le=366)
    because: Because


class ReviewDecision(Request):
    """Answer for one role on record in a review."""

    assignment: uuid.UUID
    decision: Literal["keep", "revoke"]
    because: Because


class ReviewItem(Answer):
    """One role on record in a review: what was answered by whom, and the assignment as it stands now.

    Without an answer yet `decision` is empty; `lapsed` is what nobody answered for, `ended` what ended by itself.
    """

    decision: str
    because: str
    decided_by: str | None
    decided_at: datetime | None
    assignment: RoleAssignment


class Review(Answer):
    """An access review, `open` or `closed`."""

    id: uuid.UUID
    role: str
    namespace: str
    because: str
    due_at: datetime
    opened_by: str
    opened_at: datetime
    state: str
    closed_at: datetime | None


class ReviewWithItems(Review):
    """An access review and what it asks about."""

    items: list[ReviewItem]


class Explanation(Answer):
    """The decision, the row of the policy that made it, and every role that was counted."""

    allowed: bool
    rule: str
    reason: str
    advice: str
    policy: str
    roles: list[str]
    on_record: list[RoleAssignment]
    suspended: bool
