# SPDX-License-Identifier: Apache-2.0
"""Bodies about service accounts and their tokens."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from khatim.vocabulary import Role
from khatim.wire.access import Pattern, PersonRef
from khatim.wire.answers import Answer
from khatim.wire.requests import Request

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Issuer = Annotated[str, StringConstraints(pattern=r"^((https://|http://127\.0\.0\.1[:/])[^\s?#]{1,300})?$")]
Claim = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,300}$")]


class OpenServiceAccount(Request):
    """Give a program a name, for which the person *sponsor* answers.

    *claims* are what a pipeline's token must say, each equal or up to a ``*`` at its end; issuer, audience and claims
    go together.
    """

    name: Name
    sponsor: PersonRef
    purpose: Annotated[str, StringConstraints(min_length=3, max_length=300)]
    issuer: Issuer = ""
    audience: Annotated[str, StringConstraints(max_length=300)] = ""
    claims: dict[Claim, Claim] = Field(default={}, max_length=20)


class IssueToken(Request):
    """Issue a token for *days*, kept to some of the account's *roles* and *namespaces*; empty means all of them."""

    days: int = Field(default=30, ge=1, le=366)
    roles: list[Role] = Field(default=[], max_length=10)
    namespaces: list[Pattern] = Field(default=[], max_length=50)


class ServiceAccount(Answer):
    """A program, and who answers for it."""

    name: str
    ref: str
    sponsor: str
    purpose: str
    issuer: str
    audience: str
    claims: dict[str, str]
    state: str
    created_by: str
    created_at: datetime
    closed_by: str | None
    closed_at: datetime | None
    closed_because: str


class ServiceToken(Answer):
    """A token, without its secret."""

    id: uuid.UUID
    account: str
    roles: list[str]
    namespaces: list[str]
    created_by: str
    created_at: datetime
    expires_at: datetime
    revoked_by: str | None
    revoked_at: datetime | None


class IssuedToken(ServiceToken):
    """A token as it is issued: its secret is shown this once."""

    token: str
