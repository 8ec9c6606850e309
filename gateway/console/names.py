# SPDX-License-Identifier: Apache-2.0
"""Who people and agents are, for the references on one page: one query for people, one for agents."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable

from audit.transaction import Reader
from gateway.console import parts
from khatim.vocabulary import PROGRAM, ActorKind
from registry import people as registered
from registry.vault import Vault
from runners.agents import known

_PERSON, _AGENT = "person:", "agent:"
# `registry.signing.identity`: an agent of a zone, or a person; services have no names of their own.
_SIGNER = re.compile(r"spiffe://[^/]+/(?:agent/[^/]+/(?P<agent>[^/]+)|person/(?P<person>[^/]+))")
_KINDS = {
    _AGENT: ActorKind.AGENT,
    "enrolment:": ActorKind.AGENT,
    "service:": ActorKind.SERVICE,
}


class Names:
    """The names of people and agents on one page, looked up at once."""

    def __init__(self, reader: Reader, vault: Vault, refs: Iterable[str]) -> None:
        """Look up *refs*: actors, or what entries are about.  Those of other things are left alone."""
        asked = {ref.removeprefix(_PERSON) for ref in refs}
        people = sorted(ref for ref in asked if ref and ":" not in ref)
        agents = [found for ref in sorted(asked) if (found := _id_of(ref))]
        self._people = registered.names(reader, people, vault) if people else {}
        nameless = [ref for ref in people if ref not in self._people]
        self._erased = registered.erased_of(reader, nameless) if nameless else frozenset()
        self._agents = known(reader, agents) if agents else {}

    def who(self, ref: str) -> parts.Who:
        """Return an actor as shown to people; without a name where none is known."""
        agent = self._agents.get(ref)
        if agent is not None:
            return parts.Who(ref, agent.name, ActorKind.AGENT, agent.zone)
        if ref.startswith(PROGRAM):
            return parts.Who(ref, ref.removeprefix(PROGRAM), ActorKind.SERVICE_ACCOUNT)
        return parts.Who(ref, self._people.get(ref, ""), _kind(ref), is_erased=ref in self._erased)

    def about(self, ref: str) -> parts.Who | None:
        """Return the person or agent that an entry is about; None for other things and where no name is known."""
        who = self.who(ref.removeprefix(_PERSON))
        is_told = who.name or who.is_erased
        return parts.Who(ref, who.name, who.kind, who.zone, is_erased=who.is_erased) if is_told else None


def signer_of(identity: str) -> str:
    """Return the actor whose name stands in a certificate; empty for services."""
    found = _SIGNER.fullmatch(identity)
    if found is None:
        return ""
    return found["person"] or _AGENT + found["agent"]


def _id_of(ref: str) -> uuid.UUID | None:
    if not ref.startswith(_AGENT):
        return None
    try:
        return uuid.UUID(ref.removeprefix(_AGENT))
    except ValueError:
        return None


def _kind(ref: str) -> ActorKind:
    return next((kind for prefix, kind in _KINDS.items() if ref.startswith(prefix)), ActorKind.PERSON)
