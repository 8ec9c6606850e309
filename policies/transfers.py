# SPDX-License-Identifier: Apache-2.0
"""The facts and the rules of residency: movements, transfer authorisations and what ``transfers.yaml`` holds.

Values only; `policies.residency` decides over them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum

from khatim.vocabulary import Certainty
from policies.zones import STRICT


class MovementKind(StrEnum):
    """What is about to happen to bytes.  All pass the same gate, reading from afar and reports included."""

    PLACE = "place"
    REPLICATE = "replicate"
    DOWNLOAD = "download"
    DEPLOY = "deploy"
    DISPATCH = "dispatch"
    REMOTE_READ = "remote-read"
    REPORT = "report"


class Code(StrEnum):
    """The codes of the transfer matrix (compliance.md 2.3), from mild to strict by `severity`."""

    ALLOW = "A"
    RECORD = "A+R"
    MECHANISM = "M"
    REVIEW = "LR"
    DENY = "D"

    @property
    def severity(self) -> int:
        """Return how strict the code is: 0 allows, 4 denies."""
        return list(Code).index(self)


class Condition(StrEnum):
    """What a rule may ask about the two zones."""

    SAME_ZONE = "same-zone"
    OTHER_ZONE = "other-zone"
    SAME_EMIRATE = "same-emirate"
    OTHER_EMIRATE = "other-emirate"
    OUTSIDE_STATE = "outside-state"
    AIRGAPPED = "airgapped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """Bytes about to be somewhere.  For `place` both zones are the one that they are placed in.

    `artefact` is the reference that a transfer authorisation's scope names.  There is no field for encryption: it
    opens nothing.
    """

    kind: MovementKind
    from_zone: str
    to_zone: str
    tags: frozenset[str]
    purpose: str = ""
    artefact: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferAuthorisation:
    """The record that opens a movement (compliance.md 2.5).  Times are aware; `valid_to` itself is outside.

    `artefact_scope` holds references, exact or ending in ``*``; empty covers nothing.  `exception_id` and `safeguards`
    carry what a mechanism asks for besides (an exception of MoHAP Decision 51/2021; encryption, signed media).
    """

    ref: str
    from_zone: str
    to_zone: str
    from_regimes: frozenset[str]
    to_location: str
    purpose: str
    data_tags: frozenset[str]
    artefact_scope: tuple[str, ...]
    mechanism: str
    mechanism_evidence_digest: str
    valid_from: datetime
    valid_to: datetime
    review_due: datetime
    approvals: tuple[str, ...]
    revoked_at: datetime | None = None
    importer_party: str = ""
    role: str = ""  # c2c, c2p or p2p
    legal_basis_locator: str = ""
    dpia_ref: str = ""
    tia_ref: str = ""
    dpo_opinion: str = ""
    regulator_approval_ref: str = ""
    customer_consent_scope: str = ""
    acknowledgement_ref: str = ""
    exception_id: str = ""
    onward_transfer: str = ""  # the terms; empty forbids it
    safeguards: frozenset[str] = frozenset()


_AUTHORISATION_FIELDS = frozenset(field.name for field in fields(TransferAuthorisation))


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """An unsettled question.  Off until somebody has the answer on file."""

    __pydantic_config__ = STRICT

    on: bool
    title: str
    certainty: Certainty


@dataclass(frozen=True, slots=True, kw_only=True)
class Adequacy:
    """The countries that one exporter's law calls adequate, and which edition of the list that is."""

    __pydantic_config__ = STRICT

    locations: frozenset[str]
    version: str
    certainty: Certainty
    retrieved: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """What an artefact may carry."""

    __pydantic_config__ = STRICT

    title: str
    is_restricted: bool = False
    regimes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mechanism:
    """A way that the law opens, with what its record must hold."""

    __pydantic_config__ = STRICT

    title: str
    basis: str
    certainty: Certainty
    requires: tuple[str, ...] = ()
    safeguards: frozenset[str] = frozenset()
    flag: str | None = None
    url: str = ""

    def __post_init__(self) -> None:
        """Refuse a field that no transfer authorisation has."""
        if unknown := set(self.requires) - _AUTHORISATION_FIELDS:
            raise ValueError(f"requires: a transfer authorisation has no {', '.join(sorted(unknown))}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferRule:
    """One cell, or several alike, of the matrix; or an override by tag."""

    __pydantic_config__ = STRICT

    code: Code
    title: str
    basis: str
    certainty: Certainty
    regime: str | None = None
    tags: frozenset[str] = frozenset()
    to: frozenset[str] = frozenset()
    when: tuple[Condition, ...] = ()
    kinds: frozenset[MovementKind] = frozenset()
    mechanisms: tuple[str, ...] = ()
    advice: str = ""
    url: str = ""

    def __post_init__(self) -> None:
        """Refuse a rule that asks two questions, asks none, or promises a way that it does not name."""
        if self.regime is not None and self.tags:
            raise ValueError("regime and tags: a rule is about the exporter's law or about tags, not both")
        if self.regime is None and not self.tags and not self.when:
            raise ValueError("regime, tags, when: a rule that is asked of everything would forbid or allow everything")
        if self.code in {Code.RECORD, Code.MECHANISM} and not self.mechanisms:
            raise ValueError(f"mechanisms: code {self.code.value} names at least one")
        if self.code is Code.ALLOW and self.mechanisms:
            raise ValueError("mechanisms: code A needs none")

    @property
    def is_override(self) -> bool:
        """Whether this rule stands before the matrix."""
        return self.regime is None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransfersFile:
    """``transfers.yaml`` as read."""

    __pydantic_config__ = STRICT

    tags: Mapping[str, Tag]
    mechanisms: Mapping[str, Mechanism]
    rules: Mapping[str, TransferRule]
    flags: Mapping[str, Flag] = field(default_factory=dict)
    adequacy: Mapping[str, Adequacy] = field(default_factory=dict)
