# SPDX-License-Identifier: Apache-2.0
"""What ``gates.yaml`` holds: requirements by transition, risk tier and data tag, and the separations of duties.

Values only; `policies.gates` evaluates them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from khatim.vocabulary import Certainty, Role, Stage, matches
from policies.facts import Measure, Transition
from policies.zones import STRICT

YEAR_DAYS: Final = 366
TIERS: Final = frozenset({1, 2, 3})  # 1 is the strictest
# A version that says nothing about its data is asked what personal data is asked.
UNDECLARED: Final = frozenset({"personal"})


class Kind(StrEnum):
    """What a requirement looks at.  A closed set: a new kind is code, its use is data."""

    STAGE = "stage"
    STATUS = "status"
    FORMATS = "formats"
    SIGNATURE = "signature"
    LINEAGE = "lineage"
    TAGS = "tags"
    RESIDENCY = "residency"
    NOT_REVOKED = "not-revoked"
    NOT_SUSPENDED = "not-suspended"
    NO_FINDINGS = "no-findings"
    EVIDENCE = "evidence"
    APPROVALS = "approvals"
    SELF_ATTESTED = "self-attested"
    STILL_APPROVED = "still-approved"


# What a waiver may ever excuse.  The rest holds always, whatever a file says: scan, residency, signature, provenance,
# revocation, and approvals, which carry the separation of duties.
EXCUSABLE: Final = frozenset({Kind.EVIDENCE, Kind.NO_FINDINGS})


# Where a self-attestation opens nothing, whatever a file says: the highest tier, and data whose law asks for others.
NEVER_ALONE_TIER: Final = 1
NEVER_ALONE: Final = frozenset(
    {
        "health.ae", "bank.confidential", "consumer.financial", "gov.internal", "gov.confidential", "gov.sensitive",
        "gov.secret",
    }
)  # fmt: skip


class Separation(StrEnum):
    """The pairs that one natural person may not stand on both sides of."""

    REQUESTER = "separation/requester"
    AUTHOR = "separation/author"
    TWO_ROLES = "separation/two-roles"


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A limit for a metric.  `bound` names which of value, lower, upper is compared; units are the metric's own."""

    __pydantic_config__ = STRICT

    bound: str = "value"
    at_least: float | None = None
    at_most: float | None = None

    def __post_init__(self) -> None:
        """Refuse a threshold that limits nothing."""
        if self.bound not in {"value", "lower", "upper"}:
            raise ValueError(f"bound: value, lower or upper, not {self.bound!r}")
        if self.at_least is None and self.at_most is None:
            raise ValueError("at_least, at_most: a threshold needs one of them")

    def shortfall(self, name: str, measure: Measure | None) -> str | None:
        """Return in words why *measure* does not hold, None when it does; what was not measured does not hold."""
        number = None if measure is None else getattr(measure, self.bound)
        what = name if self.bound == "value" else f"the {self.bound} bound of {name}"
        if number is None:
            return f"{what} was not measured"
        # Written so that NaN fails.
        if self.at_least is not None and not number >= self.at_least:
            return f"{what} is {number:g}, below {self.at_least:g}"
        if self.at_most is not None and not number <= self.at_most:
            return f"{what} is {number:g}, above {self.at_most:g}"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One requirement of ``gates.yaml``; the key is its rule id.  Empty `tags` ask it of every version."""

    __pydantic_config__ = STRICT

    kind: Kind
    transitions: frozenset[Transition]
    title: str
    basis: str
    certainty: Certainty
    advice: str = ""
    url: str = ""
    tiers: frozenset[int] = TIERS
    tags: frozenset[str] = frozenset()
    stages: frozenset[Stage] = frozenset()  # kind stage: those it may come from
    evidence: str = ""  # kind evidence: which
    max_age_days: float | None = None
    thresholds: Mapping[str, Threshold] = field(default_factory=dict)
    roles: frozenset[Role] = frozenset()  # kind approvals: any of these
    count: int = 1
    max_validity_days: float | None = None
    after: frozenset[str] = frozenset()  # kind approvals: rules whose approvals come before these
    answer_days: float | None = None  # kind approvals: within how long of the evidence somebody should have answered
    escalate_to: frozenset[Role] = frozenset()  # kind approvals: who is told then
    ticket: str = ""  # kind approvals: what the change ticket looks like that each must name (a regular expression)
    checklist: Mapping[str, str] = field(default_factory=dict)  # kind self-attested: what must have been looked at
    waivable: bool = False

    def __post_init__(self) -> None:
        """Refuse a requirement that lacks what its kind needs."""
        if not self.transitions:
            raise ValueError("transitions: name at least one")
        if not self.tiers or not self.tiers <= TIERS:
            raise ValueError(f"tiers: of {sorted(TIERS)}")
        needs = {
            Kind.STAGE: self.stages, Kind.EVIDENCE: self.evidence, Kind.APPROVALS: self.roles,
            Kind.SELF_ATTESTED: self.checklist,
        }  # fmt: skip
        if not needs.get(self.kind, True):
            raise ValueError(
                f"kind {self.kind.value} says too little: stages, evidence, roles or checklist are missing"
            )
        if self.count < 1:
            raise ValueError("count: at least 1")
        if (self.after or self.ticket or self.answer_days or self.escalate_to) and self.kind is not Kind.APPROVALS:
            raise ValueError("after, ticket, answer_days, escalate_to: for kind approvals only")
        if bool(self.answer_days) != bool(self.escalate_to):
            raise ValueError("answer_days, escalate_to: both or neither, so that somebody is told at some time")
        try:
            re.compile(self.ticket)
        except re.error as error:
            raise ValueError(f"ticket: not a regular expression: {error}") from error
        if self.waivable and self.kind not in EXCUSABLE:
            raise ValueError(f"waivable: kind {self.kind.value} is never waived")

    def applies(self, transition: Transition, tier: int, tags: frozenset[str]) -> bool:
        """Whether this is asked of such a version."""
        return transition in self.transitions and tier in self.tiers and (not self.tags or bool(self.tags & tags))


@dataclass(frozen=True, slots=True, kw_only=True)
class SeparationRule:
    """Where a separation of duties comes from; that it holds is not a setting."""

    __pydantic_config__ = STRICT

    title: str
    basis: str
    certainty: Certainty
    advice: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaiverRule:
    """How long a requirement may be excused, in days by risk tier.  A tier that is left out has no waivers."""

    __pydantic_config__ = STRICT

    title: str
    basis: str
    certainty: Certainty
    max_days: Mapping[int, float]
    advice: str = ""
    url: str = ""

    def __post_init__(self) -> None:
        """Refuse a tier that there is not, and a waiver without an end."""
        if not self.max_days.keys() <= TIERS:
            raise ValueError(f"max_days: of {sorted(TIERS)}")
        if not all(0 < days <= YEAR_DAYS for days in self.max_days.values()):
            raise ValueError(f"max_days: more than 0 and at most {YEAR_DAYS} days")


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasRule:
    """What a protected alias may point at: a version for which *gate* is open when it moves there."""

    __pydantic_config__ = STRICT

    title: str
    basis: str
    certainty: Certainty
    gate: Transition
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """``gates.yaml`` as read; `policy` is the digest of the bundle."""

    __pydantic_config__ = STRICT

    requirements: Mapping[str, Requirement]
    separation: Mapping[Separation, SeparationRule]
    waivers: WaiverRule
    aliases: Mapping[str, AliasRule] = field(default_factory=dict)
    profile: str = "enterprise"
    policy: str = ""

    def __post_init__(self) -> None:
        """Refuse a file that leaves out the source of a separation."""
        if missing := [one.value for one in Separation if one not in self.separation]:
            raise ValueError(f"separation: {', '.join(missing)} is missing")
        for rule in self.requirements:
            self._check_order(rule, frozenset())

    def _check_order(self, rule: str, seen: frozenset[str]) -> None:
        one = self.requirements.get(rule)
        if one is None or one.kind is not Kind.APPROVALS or rule in seen:
            if seen:
                raise ValueError(f"requirements.{min(seen)}.after: {rule[:80]} is no other rule of kind approvals")
            return
        for before in one.after:
            self._check_order(before, seen | {rule})

    def protecting(self, alias: str) -> dict[str, AliasRule]:
        """Return the rules that protect *alias*, by pattern; none when whoever may set aliases may move it."""
        return {pattern: one for pattern, one in self.aliases.items() if matches(alias, pattern)}

    def is_self_attested(self, tier: int, tags: frozenset[str]) -> bool:
        """Whether production asks nobody but who made such a version."""
        asked = {one.kind for one in self.between(Transition.PRODUCTION, tier, tags).values()}
        return Kind.SELF_ATTESTED in asked and Kind.APPROVALS not in asked

    def between(self, transition: Transition, tier: int, tags: frozenset[str]) -> dict[str, Requirement]:
        """Return the requirements of one gate by rule id.  What has no tags is judged as personal."""
        known = tags or UNDECLARED
        return {rule: one for rule, one in self.requirements.items() if one.applies(transition, tier, known)}
