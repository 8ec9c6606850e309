# SPDX-License-Identifier: Apache-2.0
"""What a stream says: an entry, the place of an entry that may not leave, or how large the ledger is.

Every index of the ledger is told once or more, in order, as an entry or as a place that is withheld, and a heartbeat
tells the size.  So a receiver finds gaps in the middle by the indexes, and loss at the end by the heartbeats.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from audit import entries
from audit.merkle import leaf_hash


class Format(StrEnum):
    """How a message is written."""

    SYSLOG = "syslog"  # RFC 5424 with structured data
    CEF = "cef"
    OCSF = "ocsf"
    ECS = "ecs"


@dataclass(frozen=True, slots=True)
class Told:
    """An entry as it stands: its index, leaf hash, SHA-256, that of the entry before it, and the event."""

    origin: str
    index: int
    leaf: str
    hash: str
    prev: str
    event: Mapping[str, Any]
    at: datetime

    def word(self, name: str) -> str:
        """Return a text member of the event; empty where it has none."""
        value = self.event.get(name)
        return value if isinstance(value, str) else ""

    @property
    def is_refusal(self) -> bool:
        """Whether a rule said no."""
        return self.word("kind").endswith(".refused")

    def refused(self, member: str) -> str:
        """Return a member of the decision (``rule``, ``legal_basis``, ``certainty``) that refused, or nothing."""
        payload = self.event.get("payload")
        members = payload.get("members") if isinstance(payload, Mapping) else None
        value = members.get(member) if isinstance(members, Mapping) else None
        return value if isinstance(value, str) else ""


@dataclass(frozen=True, slots=True)
class Withheld:
    """The place of an entry that may not go to this sink: its index and the rule, nothing of what it says."""

    origin: str
    index: int
    rule: str
    at: datetime  # when it was withheld: when it happened does not leave either


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The ledger has *size* entries at *at*: whoever has fewer has lost some."""

    origin: str
    size: int
    at: datetime


Message = Told | Withheld | Heartbeat


def told(origin: str, index: int, entry: bytes) -> Told:
    """Return the message of the entry at *index*; raises `LedgerInvalid` when the bytes are none."""
    parsed = entries.parse(entry, index)
    columns = entries.columns_of(parsed.event, f"entry {index}")
    return Told(
        origin,
        index,
        leaf_hash(entry).hex(),
        entries.link_of(entry).hex(),
        parsed.prev.hex(),
        parsed.event,
        columns.at,
    )


def severity(message: Message) -> int:
    """Return how much it matters by the numbers of syslog (RFC 5424 6.2.1): 4 warning, 5 notice, 6 information."""
    if not isinstance(message, Told):
        return 6
    grave = ("revocation.", "finding.", "recovery.", "person.erased", "ledger.")
    return 4 if message.is_refusal else 5 if message.word("kind").startswith(grave) else 6
