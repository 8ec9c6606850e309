# SPDX-License-Identifier: Apache-2.0
"""The words of Khatim, one meaning each.  Standard library only; everything else may import this module."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

from khatim.actions import Action as Action  # noqa: PLC0414 - these are words of this module, too
from khatim.actions import Role as Role  # noqa: PLC0414

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?\Z")


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A SHA-256 digest of bytes, written ``sha256:<64 hex>``; ``Digest.parse(str(d)) == d``."""

    hex: str

    def __post_init__(self) -> None:
        """Refuse what is not 64 lower-case hexadecimal digits."""
        if not _DIGEST.match(f"sha256:{self.hex}"):
            raise ValueError(f"not a sha256 digest: {self.hex[:80]!r}")

    def __str__(self) -> str:
        """Return ``sha256:<hex>``."""
        return f"sha256:{self.hex}"

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read ``sha256:<64 hex>``; raises `ValueError` for anything else."""
        if not _DIGEST.match(text):
            raise ValueError(f"not a digest of the form sha256:<64 hex>: {text[:80]!r}")
        return cls(text.removeprefix("sha256:"))

    @classmethod
    def of(cls, data: bytes) -> Digest:
        """Return the digest of *data*."""
        return cls(hashlib.sha256(data).hexdigest())


def is_name(text: str) -> bool:
    """Whether *text* may name a namespace, dataset, model or zone (lower-case ASCII, 1 to 64, no leading dot)."""
    return bool(_NAME.match(text))


class Stage(StrEnum):
    """Where a model version stands in its life."""

    NONE = "none"
    STAGING = "staging"
    PRODUCTION = "production"
    ARCHIVED = "archived"


class Severity(StrEnum):
    """How grave a finding is: by when it must be answered for follows from it (``findings.yaml``)."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class VersionStatus(StrEnum):
    """Whether a model version's files were scanned (MLflow's three words, so that its client understands them)."""

    PENDING = "PENDING_REGISTRATION"
    READY = "READY"
    FAILED = "FAILED_REGISTRATION"


class JobKind(StrEnum):
    """What a zone's agent may be asked to do."""

    INGEST = "ingest"
    MATERIALISE = "materialise"
    TRAIN = "train"
    SCAN = "scan"
    EVALUATE = "evaluate"
    DEPLOY = "deploy"
    MONITOR = "monitor"


class JobState(StrEnum):
    """Where a job stands: queued, leased by an agent, or ended in one of three ways."""

    QUEUED = "queued"
    LEASED = "leased"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Revoked(StrEnum):
    """What can be revoked: one signed statement, a key or certificate, who signs, or bytes."""

    STATEMENT = "statement"
    KEY = "key"
    IDENTITY = "identity"
    ARTIFACT = "artifact"


class Basis(StrEnum):
    """Whom a claim rests on: a row, the registry, a person's own credential, an agent, witnesses, outside time."""

    DECLARED = "declared"
    SERVER_ATTESTED = "server-attested"
    PERSON_BOUND = "person-bound"
    RUNNER_ATTESTED = "runner-attested"
    WITNESSED = "witnessed"
    OUTSIDE_TIME = "outside-time"


class Assurance(StrEnum):
    """On whose word production rests: others looked, or nobody but who made it (which is no approval)."""

    INDEPENDENT = "independent"
    SELF_ATTESTED = "self-attested"


PROGRAM: Final = "service-account:"
"""How the reference of a program begins, as an actor and as the holder of a role."""


class FileRole(StrEnum):
    """What a file of a model version is for."""

    WEIGHTS = "weights"
    TOKENIZER = "tokenizer"
    ADAPTER = "adapter"
    PROMPT = "prompt"
    CONFIG = "config"
    CODE = "code"


class Certainty(StrEnum):
    """How well a rule's legal source was checked: verified, secondary, inferred, recalled, unresolved."""

    VERIFIED = "V"
    SECONDARY = "S"
    INFERRED = "I"
    RECALLED = "R"
    UNRESOLVED = "U"


class ActorKind(StrEnum):
    """What an actor is."""

    PERSON = "person"
    SERVICE_ACCOUNT = "service-account"  # a program, for which a person answers
    AGENT = "agent"
    SERVICE = "service"
    NOBODY = "nobody"


def matches(text: str, pattern: str) -> bool:
    """Whether *pattern*, equal or ending in ``*``, means *text* (Casbin's keyMatch)."""
    head, star, _ = pattern.partition("*")
    return text.startswith(head) if star else text == pattern


EVERYWHERE: Final = frozenset({"*"})
"""The patterns of all namespaces."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """A role that somebody holds in some zones and namespaces until a day.  `ref` names the record of it."""

    role: Role
    until: datetime
    zone: str = "*"
    namespace: str = "*"
    ref: str = ""
    stands_in_for: str = ""  # the person in whose absence the holder acts, and whose one voice it is

    def covers(self, resource: Resource, at: datetime | None) -> bool:
        """Whether the role is held for *resource* at *at*; at an unknown time it is not."""
        is_there = matches(resource.zone, self.zone) and matches(resource.namespace, self.namespace)
        return is_there and at is not None and at < self.until


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts.  `ref` is opaque (no personal data: compliance.md section 4), stable for one natural person."""

    ref: str
    kind: ActorKind
    roles: frozenset[Role] = frozenset()
    zone: str | None = None  # an agent's authenticated zone; None for people
    strength: int | None = None  # of the sign-in: 1 one factor, 2 two, 3 bound to a device; None when nobody says
    groups: frozenset[str] = frozenset()  # of the identity provider, by name
    assignments: frozenset[Assignment] = frozenset()  # on record, beside the roles that the sign-in brought
    places: frozenset[str] = EVERYWHERE  # patterns of the namespaces in which the roles of the sign-in hold

    def roles_for(self, resource: Resource, at: datetime | None) -> frozenset[Role]:
        """Return the roles held for *resource* at *at*: those of the sign-in in its places, others as they cover it."""
        brought = self.roles if self.is_placed(resource.namespace) else frozenset()
        if not self.assignments:
            return brought
        return brought | {one.role for one in self.assignments if one.covers(resource, at)}

    def stands_in_for(self, role: Role, resource: Resource, at: datetime | None) -> str:
        """Return the person for whom *role* is held there, empty when it is the actor's own."""
        if role in self.roles and self.is_placed(resource.namespace):
            return ""
        held = (one for one in self.assignments if one.role is role and one.covers(resource, at))
        return min((one.stands_in_for for one in held), default="")

    def is_placed(self, namespace: str) -> bool:
        """Whether the roles of the sign-in hold in *namespace*; what has none belongs to the whole installation."""
        return self.places is EVERYWHERE or any(matches(namespace, pattern) for pattern in self.places)

    def reach(self, at: datetime) -> frozenset[str]:
        """Return the patterns of the namespaces of which this actor may see anything at all at *at*."""
        if self.kind in {ActorKind.AGENT, ActorKind.SERVICE}:
            return EVERYWHERE
        return (self.places if self.roles else frozenset()) | {
            one.namespace for one in self.assignments if at < one.until
        }

    @property
    def is_somebody(self) -> bool:
        """Whether anyone stands behind this actor."""
        return self.kind is not ActorKind.NOBODY


NOBODY = Actor("nobody", ActorKind.NOBODY)
SERVICE = Actor("service:khatim", ActorKind.SERVICE)


@dataclass(frozen=True, slots=True)
class Resource:
    """What is acted upon.  ``str(resource)`` is its reference in the ledger: ``kind:namespace/name[@version]``."""

    kind: str
    name: str
    namespace: str = ""
    zone: str = ""
    tags: frozenset[str] = field(default_factory=frozenset)
    stage: str | None = None  # of a version, where a rule may ask for it
    alias: str | None = None  # that is about to move

    def __str__(self) -> str:
        """Return the reference."""
        return f"{self.kind}:{self.namespace}/{self.name}" if self.namespace else f"{self.kind}:{self.name}"


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer of a rule: allowed or not, by which rule, on which basis, and what the asker can do about it."""

    allowed: bool
    rule: str
    reason: str
    legal_basis: str = ""
    certainty: Certainty | None = None
    advice: str = ""
    policy: str = ""  # digest of the policy bundle that decided

    def __bool__(self) -> bool:
        """Return whether the decision is allow."""
        return self.allowed

    def as_members(self) -> Mapping[str, str]:
        """Return the decision as problem+json extension members and event fields; empty ones are left out."""
        pairs = {
            "rule": self.rule,
            "reason": self.reason,
            "legal_basis": self.legal_basis,
            "certainty": self.certainty.value if self.certainty else "",
            "policy": self.policy,
        }
        return {key: value for key, value in pairs.items() if value}


class Access(Protocol):
    """What decides who may do what (Casbin behind ``policies.access``)."""

    def decide(self, actor: Actor, action: Action, resource: Resource, at: datetime | None = None) -> Decision:
        """Decide whether *actor* may do *action* to *resource* at *at*."""
        ...

    def placed(self, actor: Actor) -> Actor:
        """Return *actor* with the places in which the roles of the sign-in hold (`Actor.places`)."""
        ...

    def entity_of(self, namespace: str) -> str:
        """Return the legal entity that *namespace* belongs to; empty when no rule says."""
        ...
