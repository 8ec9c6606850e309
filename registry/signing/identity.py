# SPDX-License-Identifier: Apache-2.0
"""Who signs: names of people, agents and services in certificates, and which of them may claim what.

Names are SPIFFE-shaped URIs below the instance's domain, so that an outsider reads zone and role from a certificate:
``spiffe://demo.khatim/agent/ae-health/agent-1``.  A person's name is an opaque reference, no personal data.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from khatim.errors import Malformed
from registry.signing import statements

_INSTANCE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*\Z")
_INSTANCE_MAX = 200
_PART = re.compile(r"[A-Za-z0-9._:~-]{1,200}\Z")
_ANY = "[!-.0-~]+"  # what one * stands for: printable ASCII but the slash
_AGENT = re.compile(rf"spiffe://{_ANY}/agent/({_ANY})/{_ANY}\Z")

DEFAULT_ATTESTERS: Mapping[str, Sequence[str]] = {
    statements.DATASET_SNAPSHOT: ("agent/*/*",),
    statements.FEATURE_MATERIALIZATION: ("agent/*/*",),
    statements.TRAINING: ("agent/*/*",),
    statements.TEST_RESULT: ("agent/*/*",),
    statements.OMS_SIGNATURE: ("agent/*/*",),
    statements.APPROVAL: ("person/*",),
    statements.SELF_ATTESTATION: ("person/*",),
    statements.WAIVER: ("person/*",),
    statements.ASSIGNMENT: ("person/*",),
    statements.POLICY: ("person/*",),
    statements.DEPLOYMENT: ("service/*",),
    statements.ENGAGEMENT: ("service/*",),
    statements.REVOCATIONS: ("service/registry",),
    statements.ENDPOINT_STATUS: ("service/registry",),
}
"""Who may attest what when nothing else is decided: kinds of statements, and patterns below the instance's domain."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who signs (a URI or email address), and the issuer of tokens that vouches for it (a URL)."""

    name: str
    issuer: str


def domain(instance: str) -> str:
    """Return the domain of an instance (``demo`` -> ``demo.khatim``); raises `Malformed` for what is no host name."""
    if len(instance) > _INSTANCE_MAX or not _INSTANCE.match(instance):
        raise Malformed(f"not the name of an instance (lower-case letters, digits, hyphens, dots): {instance[:80]!r}")
    return f"{instance}.khatim"


def _named(instance: str, *parts: str) -> str:
    if any(not _PART.match(part) or part in (".", "..") for part in parts):
        raise Malformed(f"not a part of an identity: {parts!r}")
    return f"spiffe://{domain(instance)}/{'/'.join(parts)}"


def agent(instance: str, zone: str, name: str) -> str:
    """Return the name of an agent of a zone."""
    return _named(instance, "agent", zone, name)


def person(instance: str, ref: str) -> str:
    """Return the name of a person, by opaque reference."""
    return _named(instance, "person", ref)


def service(instance: str, name: str) -> str:
    """Return the name of a service of the instance itself."""
    return _named(instance, "service", name)


def zone_of(identity: str) -> str | None:
    """Return the zone of an agent's name; None if it names no agent."""
    found = _AGENT.match(identity)
    return found[1] if found else None


@dataclass(frozen=True, slots=True)
class IdentityPolicy:
    """Which identities may make which kind of statement, and which issuers vouch for them.

    *allowed* maps a kind (a SLSA build type or a predicate type, see `Statement.kind`) to patterns; in a pattern ``*``
    stands for one or more printable characters other than ``/``.  A kind that is not there may be claimed by nobody.
    """

    allowed: Mapping[str, Sequence[str]]
    issuers: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def of_instance(
        cls, instance: str, issuer: str, attesters: Mapping[str, Sequence[str]] = DEFAULT_ATTESTERS
    ) -> IdentityPolicy:
        """Return the policy whose patterns stand below the domain of *instance*."""
        below = f"spiffe://{domain(instance)}/"
        return cls({kind: tuple(below + one for one in ones) for kind, ones in attesters.items()}, frozenset({issuer}))

    def permits(self, kind: str, who: Identity) -> bool:
        """Whether *who* may make a statement of *kind*."""
        patterns = self.allowed.get(kind, ())
        return who.issuer in self.issuers and any(matches(pattern, who.name) for pattern in patterns)


def matches(pattern: str, name: str) -> bool:
    """Whether *name* is of *pattern*, in which each ``*`` stands for printable characters other than ``/``."""
    return re.fullmatch(_ANY.join(re.escape(part) for part in pattern.split("*")), name) is not None
