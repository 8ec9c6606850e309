# SPDX-License-Identifier: Apache-2.0
"""What a gate is decided over: values about one model version, its evidence and its approvals.

Whoever holds the rows builds these values; `policies.gates` looks at nothing else.  Times are aware.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from khatim.vocabulary import Decision, Digest, FileRole, Role, Stage, VersionStatus


class Transition(StrEnum):
    """What is asked for a version: a stage of its life, or to be served somewhere."""

    STAGING = "staging"
    PRODUCTION = "production"
    ARCHIVED = "archived"
    DEPLOY = "deploy"


class Verdict(StrEnum):
    """What may be done with a file of some format."""

    SERVABLE = "servable"
    RECORD_ONLY = "record-only"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What an approval is about.  Anything else than exactly this is not approved: any change voids it.

    `evidence` holds the digests of the newest evidence of each kind that the transition asks for, so that later
    monitoring results do not void an approval and a new evaluation does.
    """

    transition: Transition
    version: Digest
    datasets: frozenset[Digest]
    evidence: frozenset[Digest]
    policy: Digest
    zone: str
    tier: int | None

    def as_members(self) -> dict[str, Any]:
        """Return JSON members for the signed statement; lists are sorted, so equal bindings make equal bytes."""
        return {
            "transition": self.transition.value,
            "version": str(self.version),
            "datasets": sorted(map(str, self.datasets)),
            "evidence": sorted(map(str, self.evidence)),
            "policy": str(self.policy),
            "zone": self.zone,
            "tier": self.tier,
        }

    @property
    def digest(self) -> str:
        """Return the digest of the binding: two people who see the same one decide about the same."""
        text = json.dumps(self.as_members(), ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        return str(Digest.of(text.encode()))

    @classmethod
    def parse(cls, members: Mapping[str, Any]) -> Binding:
        """Read what `as_members` made; raises `ValueError` or `KeyError` for anything else."""
        tier = members["tier"]
        return cls(
            transition=Transition(members["transition"]),
            version=Digest.parse(members["version"]),
            datasets=frozenset(map(Digest.parse, members["datasets"])),
            evidence=frozenset(map(Digest.parse, members["evidence"])),
            policy=Digest.parse(members["policy"]),
            zone=str(members["zone"]),
            tier=None if tier is None else int(tier),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One person's signed yes in one role.  `is_signed`: its statement's signature was verified."""

    ref: str
    role: Role
    approver: str
    binding: Binding
    at: datetime
    expires: datetime
    is_signed: bool
    revoked_at: datetime | None = None
    stands_in_for: str = ""  # the absent person whose voice it is
    ticket: str = ""  # the change ticket that it names

    @property
    def voice(self) -> str:
        """Whose one voice it is where voices are counted: the absent person's, or the approver's."""
        return self.stands_in_for or self.approver

    @property
    def voices(self) -> frozenset[str]:
        """Whose voice it is: the approver's, and that of the person for whom they act."""
        return frozenset({self.approver, self.stands_in_for} - {""})

    def is_live(self, at: datetime) -> bool:
        """Whether it is signed and stands at *at*: given, not expired, not revoked."""
        is_revoked = self.revoked_at is not None and self.revoked_at <= at
        return self.is_signed and self.at <= at < self.expires and not is_revoked

    def is_voice(self, at: datetime) -> bool:
        """Whether somebody who asks at *at* has spoken: also when it was given while they waited for their turn."""
        return self.is_live(max(at, self.at))


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """What somebody said of their own work after a checklist, of which *checklist* are the items.  No approval."""

    binding: Binding
    checklist: frozenset[str]
    at: datetime
    expires: datetime
    is_signed: bool
    is_standing: bool = True

    def is_live(self, at: datetime) -> bool:
        """Whether it is signed and stands at *at*."""
        return self.is_signed and self.is_standing and self.at <= at < self.expires


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """One requirement excused for one version until a day, by two people.  `is_signed`: the approver's statement holds.

    `binding` is what the version was when it was excused; `excuses` names the findings that were open then.  A waiver
    never meets a requirement: it stands beside it until it ends.
    """

    ref: str
    rule: str
    binding: Binding
    excuses: frozenset[str]
    requester: str
    approver: str
    at: datetime
    expires: datetime
    is_signed: bool
    revoked_at: datetime | None = None

    def is_live(self, at: datetime) -> bool:
        """Whether it is signed by another person than asked, and stands at *at*."""
        is_revoked = self.revoked_at is not None and self.revoked_at <= at
        is_four_eyes = bool(self.approver) and self.approver != self.requester
        return self.is_signed and is_four_eyes and self.at <= at < self.expires and not is_revoked


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A metric with its confidence interval; None where it could not be computed."""

    value: float | None
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A statement about the version: its kind, verdict, time and metrics.  `is_signed`: its bundle was verified."""

    kind: str
    digest: Digest
    subject: Digest
    passed: bool
    at: datetime
    is_signed: bool
    metrics: Mapping[str, Measure] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFact:
    """One file of the version with what its format allows; `runner` is empty for a file that nothing loads."""

    path: str
    role: FileRole
    verdict: Verdict
    runner: str = ""
    reason: str = ""
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything a gate may ask about a version.  What is left out counts against it.

    `authors` are the people and agents of the whole lineage: who made the model, ran the training, built the datasets
    and feature views.  `inherited_tags` is the union of the tags of everything upstream, `residency` the decision for
    the zone in question, `open_findings` the references of findings that block.
    """

    version: str
    digest: Digest
    stage: Stage
    status: VersionStatus
    tier: int | None
    zone: str
    policy: Digest
    requester: str
    authors: frozenset[str]
    tags: frozenset[str] = frozenset()
    inherited_tags: frozenset[str] = frozenset()
    datasets: frozenset[Digest] = frozenset()
    files: tuple[FileFact, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    approvals: tuple[Approval, ...] = ()
    attestations: tuple[Attestation, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    residency: Decision | None = None
    open_findings: tuple[str, ...] = ()
    is_signature_verified: bool = False
    is_lineage_verified: bool = False
    is_revoked: bool = False
    is_suspended: bool = False
