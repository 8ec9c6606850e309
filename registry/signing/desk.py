# SPDX-License-Identifier: Apache-2.0
"""The office in the process that holds the keys: its own policy, its own clock, its own log.

What it signs on the word of whoever asks is little: approvals in a person's name, and the registry's own kinds.  Who
wants a certificate must bring a token that this office itself verifies; a server that was taken over has none of the
outside issuers' tokens, and none of the agents' own keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from audit.clock import ClockGuard, ClockReading
from khatim.errors import Forbidden, KhatimError
from registry.signing import authority_http, possession, statements
from registry.signing.agent_book import AgentBook
from registry.signing.attesters import ATTESTERS
from registry.signing.authority import Authority
from registry.signing.identity import Identity, IdentityPolicy
from registry.signing.journal import Journal
from registry.signing.pens import Pen
from registry.signing.record import PublicRecord
from registry.signing.vouching import Vouching

ON_WORD = ("person/", "service/")
"""In whose names statements are signed for a server that merely asks: never in an agent's."""


def policy_on_word(instance: str, issuer: str) -> IdentityPolicy:
    """Return who may make what when a server asks: the kinds of people and of the registry's services."""
    kinds = {kind: tuple(one for one in ones if one.startswith(ON_WORD)) for kind, ones in ATTESTERS.items()}
    return IdentityPolicy.of_instance(instance, issuer, {kind: ones for kind, ones in kinds.items() if ones})


@dataclass(frozen=True)
class LocalOffice:
    """An opened authority that answers in this process; safe for several threads."""

    authority: Authority
    issuer: str
    vouching: Vouching
    clock: Callable[[], datetime]
    guard: ClockGuard
    journal: Journal
    agents: AgentBook
    asker: str = "this process"
    pen: Pen = field(default_factory=Pen)

    @property
    def is_apart(self) -> bool:
        """False: whoever reads this process's memory has the keys."""
        return False

    @property
    def has_own_account(self) -> bool:
        """False: it is this process."""
        return False

    @property
    def record(self) -> PublicRecord:
        """The public record as it is now."""
        return self.authority.record

    def for_asker(self, asker: str) -> LocalOffice:
        """Return the same office, which notes *asker* in its log."""
        return replace(self, asker=asker)

    def reading(self) -> ClockReading:
        """Return how the clock stands; raises `ClockUnreliable`."""
        return self.guard.check(self.journal.last)

    def sign(self, identity: str, statement: bytes) -> str:
        """Return the bundle over *statement* in the name of a person or a service; see `Office.sign`."""
        kind = statements.parse(statement).kind
        with self._noted("statement", who=identity, kind=kind) as at:
            if not policy_on_word(self.record.instance, self.issuer).permits(kind, Identity(identity, self.issuer)):
                raise Forbidden(
                    f"the signer does not sign statements of the kind {kind} in the name of {identity}",
                    advice="Agents sign what they did themselves, with a certificate for their own token.",
                    rule="signer/policy",
                )
            self.journal.signed(at, what="statement", who=identity, kind=kind, asker=self.asker)
            return self.pen.signer(self.authority, kind, (identity, self.issuer), at).sign(statement)

    def enrol(self, voucher: str, proof: str) -> str:
        """Register the key of a new agent; see `Office.enrol`."""
        with self._noted("enrolment") as at:
            asked = possession.enrolment(voucher, proof, self.vouching.key, issuer=self.issuer, at=at)
            if self.agents.register(asked, at):
                self.journal.enrolled(at, who=asked.agent, zone=asked.zone, key=asked.key, asker=self.asker)
            return asked.key

    def signing_cert(self, body: Mapping[str, Any], token: str, proof: str = "") -> dict[str, Any]:
        """Issue a certificate for whoever *token* stands for; see `Office.signing_cert`."""
        with self._noted("certificate") as at:
            vouched = self.vouching.vouch(token, at)
            if vouched.agent:
                key = possession.requester(body, token, proof, issuer=self.issuer, at=at)
                self.agents.require(vouched.agent, vouched.zone, key)
            who = vouched.identity
            answer = authority_http.signing_cert(self.authority, body, who, at, challenge=vouched.challenge)
            self.journal.signed(at, what="certificate", who=who.name, issuer=who.issuer, asker=self.asker)
            return answer

    def timestamp(self, query: bytes) -> bytes:
        """Answer a TimeStampReq."""
        with self._noted("timestamp") as at:
            return authority_http.timestamp(self.authority, query, at)

    def log_entry(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Log a signature by a certificate of this authority that is valid now."""
        with self._noted("log entry") as at:
            return authority_http.log_entry(self.authority, body, at)

    def close(self) -> None:
        """Let go of the logs' files."""
        self.authority.close()
        self.journal.close()
        self.agents.close()

    @contextmanager
    def _noted(self, what: str, **more: str) -> Iterator[datetime]:
        """Give the time to sign with; note what is refused meanwhile."""
        try:
            self.reading()
            yield self.clock()
        except KhatimError as refused:
            self.journal.refused(
                self.clock(), refused.slug(), what=what, detail=refused.detail, asker=self.asker, **more
            )
            raise
