# SPDX-License-Identifier: Apache-2.0
"""Transfer authorisations on the wire (compliance.md 2.5 names the members)."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, StringConstraints

from khatim.wire.answers import Answer
from khatim.wire.requests import Because, DigestText, Name, Request, Tag

Reference = Annotated[str, StringConstraints(max_length=300, strip_whitespace=True)]
Scope = Annotated[str, StringConstraints(pattern=r"^[a-z]+:([a-z0-9][a-z0-9._:/@-]{0,250}\*?|\*)$")]


class TransferDetails(Request):
    """What a mechanism may ask for besides: references to documents on file, never the documents."""

    importer_party: Reference = ""
    role: Literal["", "c2c", "c2p", "p2p"] = ""
    legal_basis_locator: Reference = ""
    dpia_ref: Reference = ""
    tia_ref: Reference = ""
    dpo_opinion: Reference = ""
    regulator_approval_ref: Reference = ""
    customer_consent_scope: Reference = ""
    acknowledgement_ref: Reference = ""
    exception_id: Reference = ""
    onward_transfer: Reference = ""
    safeguards: list[Tag] = Field(default=[])


class TransferRequest(Request):
    """Ask for a transfer authorisation; `scope` names what may move, exactly or ending in ``*``."""

    from_zone: Name
    to_zone: Name
    mechanism: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    evidence_digest: DigestText
    purpose: Because
    tags: list[Tag] = Field(min_length=1)
    scope: list[Scope] = Field(min_length=1, max_length=100)
    valid_from: AwareDatetime | None = None
    valid_to: AwareDatetime
    review_due: AwareDatetime | None = None
    details: TransferDetails = TransferDetails()


class TransferQuestion(Request):
    """Ask what the rules say to a movement, without moving anything."""

    kind: str
    from_zone: Name
    to_zone: Name
    tags: list[Tag] = Field(default=[])
    purpose: Reference = ""
    artefact: Reference = ""


class Transfer(Answer):
    """A transfer authorisation."""

    id: uuid.UUID
    namespace: str
    from_zone: str
    to_zone: str
    mechanism: str
    evidence_digest: str
    purpose: str
    tags: list[str]
    scope: list[str]
    from_regimes: list[str]
    to_location: str
    valid_from: datetime
    valid_to: datetime
    review_due: datetime
    details: dict[str, Any]
    requested_by: str
    requested_at: datetime
    state: str
    because: str
    approvals: list[str]
    revoked_at: datetime | None


class Ruling(Answer):
    """What one rule says to a movement."""

    allowed: bool
    rule: str
    reason: str
    legal_basis: str
    certainty: str
    advice: str
    policy: str


class Rulings(Answer):
    """What the rules say to a movement: the one that decides first, then every other that was asked."""

    allowed: bool
    rulings: list[Ruling]


class Copy(Answer):
    """A copy of an artifact in a zone, and the rule on which it stands there."""

    zone: str
    size: int
    media_type: str
    tags: list[str]
    basis: str
    placed_by: str
    placed_at: datetime


class Movement(Answer):
    """A movement that was allowed, as the ledger tells it."""

    entry: int
    at: datetime
    kind: str
    by: str
    zone: str
    to_zone: str
    rule: str
    because: str
    policy: str


class Timeline(Answer):
    """Where an artifact's copies are, and every movement that was allowed, oldest first."""

    digest: str
    copies: list[Copy]
    movements: list[Movement]
