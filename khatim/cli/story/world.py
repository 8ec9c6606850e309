# SPDX-License-Identifier: Apache-2.0
"""What the steps of the story share: everybody's client, the timeline, and what was made so far."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING

from khatim.cli.story.people import AUDITOR, EVERYBODY, Person
from khatim.cli.story.timeline import Moment, Timeline
from khatim.errors import KhatimError, VerificationFailed

if TYPE_CHECKING:
    from khatim.cli.story.processes import Process
    from khatim.cli.story.yardstick import Yardstick
    from khatim.client import Client
    from khatim.wire import answers, proofs

TOKENS_LAST = timedelta(hours=2)
LEDGER_S = 10.0
ADVICE_SHOWN = 240


@dataclass
class World:
    """The state of the story.  *out* gets the results, *scratch* what is thrown away, *data* is the server's folder."""

    out: Path
    scratch: Path
    data: Path
    timeline: Timeline
    url: str = ""
    agent: Process | None = None
    clients: dict[str, Client] = field(default_factory=dict)
    raw: Path = Path()
    dataset: str = ""
    features: str = ""
    authorisation: uuid.UUID | None = None
    version: str = ""
    deployment: answers.Deployment | None = None
    yardstick: Yardstick | None = None

    def sign_in(self) -> None:
        """Give everybody a token of local mode and a client."""
        from gateway import local_tokens
        from khatim.client import Client

        for person in EVERYBODY:
            roles = [role.value for role in person.roles]
            token = local_tokens.access(self.data, person.name, roles, at=datetime.now(UTC), ttl=TOKENS_LAST)
            self.clients[person.name] = Client(self.url, token)

    def as_(self, person: Person) -> Client:
        """Return the client of *person*."""
        return self.clients[person.name]

    def close(self) -> None:
        """Close everybody's connections."""
        for client in self.clients.values():
            client.close()

    @contextmanager
    def moment(self, step: int, person: Person, what: str, zone: str = "") -> Iterator[Moment]:
        """Show what *person* does."""
        with self.timeline.moment(step, person.part, what, zone) as now:
            yield now

    def newest_entry(self) -> int | None:
        """Return the index of the ledger's newest entry, when there is an auditor to ask for it."""
        if AUDITOR.name not in self.clients:
            return None
        return next((entry.index for entry in self.as_(AUDITOR).ledger.list(page=1)), None)

    def refused(self, now: Moment, kind: type[KhatimError], call: Callable[[], object]) -> KhatimError:
        """Expect that *call* is refused with *kind*, and that the refusal stands in the ledger; tell so in *now*."""
        try:
            call()
        except kind as error:
            entry = self._entry_of(error)
            now.is_refusal = True
            now.result = "\n".join(_told(error, entry))
            return error
        raise VerificationFailed(f"this should have been refused ({kind.title()}), but it was allowed")

    def _entry_of(self, error: KhatimError) -> proofs.Entry:
        until = time.monotonic() + LEDGER_S
        while time.monotonic() < until:
            for _, entry in zip(range(20), self.as_(AUDITOR).ledger.list(page=20), strict=False):
                payload = entry.body.get("payload", {})
                if entry.kind.endswith(".refused") and payload.get("detail") == error.detail:
                    return entry
            time.sleep(0.05)
        raise VerificationFailed(f"the refusal does not stand in the ledger: {error.detail}")


def _told(error: KhatimError, entry: proofs.Entry) -> Iterator[str]:
    yield f"refused ({entry.kind}, entry {entry.index}): {error.detail}"
    members = [
        f"{title} {error.members[key]}"
        for title, key in (("rule", "rule"), ("basis", "legal_basis"), ("certainty", "certainty"))
        if error.members.get(key)
    ]
    if members:
        yield "; ".join(members)
    if error.advice:
        yield f"advice: {shorten(error.advice, ADVICE_SHOWN, placeholder=' …')}"
