# SPDX-License-Identifier: Apache-2.0
"""What an event is: the sentence that a transaction says about its change, sealed into the ledger.

One frozen dataclass per kind (``noun.verb`` in the past tense) lives with its floor (`registry.events`,
`governance.events`, `runners.events`); this module holds the mechanism and the events of the ledger itself.
Events carry no personal data beyond an opaque actor reference (compliance.md section 4, erasure).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import Enum
from hashlib import sha256
from typing import Any, ClassVar

from audit import personal
from audit.canonical import canonical
from khatim.errors import KhatimError
from khatim.vocabulary import Action, Actor, Digest, Resource

# C2SP tlog-tiles limits an entry to 65,535 bytes; the envelope around the event takes at most 200 of them.
EVENT_LIMIT = 65_535 - 200
_ENVELOPE = frozenset({"about", "also", "namespace", "zone"})


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened to `about` (a resource reference).

    `also` names further governed rows that the same sentence covers.  Every other field of a subclass is payload.
    """

    kind: ClassVar[str] = ""
    version: ClassVar[int] = 1

    about: str
    namespace: str = ""
    zone: str = ""
    also: tuple[str, ...] = ()

    def payload(self) -> dict[str, Any]:
        """Return the payload as JSON values; empty values are left out."""
        pairs = {f.name: plain(getattr(self, f.name)) for f in fields(self) if f.name not in _ENVELOPE}
        return {key: value for key, value in pairs.items() if value not in ("", None, [], {})}

    @property
    def event_kind(self) -> str:
        """Return the kind written into the ledger."""
        return self.kind


@dataclass(frozen=True, kw_only=True)
class Refusal(Event):
    """A rule said no.  Its kind is ``<noun>.refused``, by the noun of the action that was asked for."""

    action: str = ""
    error: str = ""
    detail: str = ""
    members: Mapping[str, Any]

    @property
    def event_kind(self) -> str:
        """Return ``version.refused`` for the action ``version.promote``, ``read.refused`` for ``read``."""
        return f"{self.action.split('.')[0] or 'request'}.refused"


def refusal_of(error: KhatimError, action: Action | None, resource: Resource | None) -> Refusal:
    """Describe *error* as the refusal of *action* on *resource*."""
    return Refusal(
        about=str(resource) if resource else "request:unknown",
        namespace=resource.namespace if resource else "",
        zone=resource.zone if resource else "",
        action=action.value if action else "",
        error=error.slug(),
        # What was refused must be told, whatever was written into it.
        detail=personal.redacted(error.detail),
        members=personal.redacted(plain(error.members)),
    )


def plain(value: Any) -> Any:  # noqa: PLR0911 - one line a type
    """Turn words of the vocabulary into JSON values (RFC 8785 has no dates, sets or digests)."""
    if isinstance(value, Digest):
        return str(value)
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(plain(item) for item in value)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def moment(at: datetime) -> str:
    """Write a moment as RFC 3339 in UTC with microseconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def body_of(event: Event, *, actor: Actor, at: datetime, entity: str) -> tuple[bytes, bytes | None]:
    """Return the canonical body of *event* and, when it is too large for an entry, its payload to be kept aside."""
    payload = event.payload()
    body: dict[str, Any] = {
        "actor": actor.ref,
        "at": moment(at),
        "entity": entity,
        "kind": event.event_kind,
        "namespace": event.namespace,
        "payload": payload,
        "resource": event.about,
        "version": event.version,
        "zone": event.zone,
    }
    encoded = canonical(body)
    if len(encoded) <= EVENT_LIMIT:
        return encoded, None
    aside = canonical(payload)
    del body["payload"]
    return canonical({**body, "payload_digest": str(Digest.of(aside))}), aside


def reference(body: bytes) -> str:
    """Return how an event is asked for before its place is known: its moment and the SHA-256 of its body."""
    at = json.loads(body)["at"]
    return f"{at}/{sha256(body).hexdigest()}"
