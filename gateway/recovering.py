# SPDX-License-Identifier: Apache-2.0
"""A recovery of the ledger beside a running server: settings, keys, keepers and the two people, put together."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from audit import recovery, recovery_sources, recovery_work
from audit.checkpoint import Checkpoint
from audit.recovery import Plan
from audit.recovery_sources import LostEntries
from audit.recovery_work import Workbench
from audit.transaction import Ledger, utc_now
from gateway import composition, policy_keeping
from gateway.instance import Instance
from gateway.keepers import keepers_of
from gateway.sign_in import Authenticator
from gateway.standings import Standings
from khatim.settings import Settings
from khatim.vocabulary import Actor
from runners.agents import TokenIssuer


@dataclass(frozen=True)
class Desk:
    """Where a recovery is looked at, asked for and confirmed."""

    settings: Settings
    ledger: Ledger
    authenticator: Authenticator
    bench: Workbench

    def plan(self, source: str | None) -> Plan:
        """Say what is missing and what would be done; changes nothing."""
        with _opened(source) as lost, recovery_work.leading(composition.urls_of(self.settings).sequencer) as conn:
            return recovery_work.plan(conn, self.bench, lost)

    def request(self, token: str, source: str | None, *, because: str) -> tuple[uuid.UUID, Plan]:
        """Ask for what the plan says, as the person whose *token* it is; return the recovery's identifier."""
        planned = self.plan(source)
        with self.ledger.transaction(self._person(token)) as tx:
            return recovery.request(tx, planned, because=because), planned

    def confirm(self, token: str, number: uuid.UUID, source: str | None) -> tuple[Checkpoint, Plan]:
        """Confirm the recovery as a second person, and carry it out; return the checkpoint the ledger goes on from."""
        url = composition.urls_of(self.settings).sequencer
        with _opened(source) as lost, recovery_work.leading(url) as conn:
            planned = recovery_work.plan(conn, self.bench, lost)
            with self.ledger.transaction(self._person(token)) as tx:
                decided = recovery.confirm(tx, number, planned)
            return recovery_work.carry_out(conn, self.bench, planned, decided, lost), planned

    def _person(self, token: str) -> Actor:
        return self.authenticator.bearer(token)


@contextmanager
def opened(settings: Settings) -> Iterator[Desk]:
    """Yield the desk of an installation; the server may run or not, the database has to."""
    instance = Instance(settings.data)
    engine = composition.engine_for(composition.urls_of(settings).service)
    try:
        ledger = composition.ledger_of(settings, engine, policy_keeping.loaded(settings))
        issuer = TokenIssuer(instance.signing_key("tokens"), settings.instance)
        vault = instance.vault(settings.tombstones)
        signer = composition.ledger_signer(settings, instance)
        bench = Workbench(
            signer.name,
            lambda number: instance.ledger_signer(settings.instance, number),
            keepers_of(settings, instance),
        )
        yield Desk(
            settings, ledger, Authenticator(settings, ledger, issuer.key, utc_now, vault, Standings(ledger)), bench
        )
    finally:
        engine.dispose()


def _opened(source: str | None) -> AbstractContextManager[LostEntries | None]:
    return nullcontext() if source is None else recovery_sources.opened(source)
