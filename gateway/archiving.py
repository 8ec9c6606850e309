# SPDX-License-Identifier: Apache-2.0
"""Archiving beside a running server: settings, folder, the two database roles and the person, put together."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from audit import archives, direct
from audit.archives import Archive, ArchiveFolder
from audit.transaction import Ledger, utc_now
from gateway import composition, policy_keeping
from gateway.instance import Instance
from gateway.sign_in import Authenticator
from gateway.standings import Standings
from governance import archiving
from governance.archiving import Archiving
from khatim.errors import Conflict
from khatim.settings import Settings
from policies.loading import PolicyBundle
from runners.agents import TokenIssuer

FOLDER = "archive"
_PATIENCE_S = 15.0
_POLL_S = 0.1


@dataclass(frozen=True)
class Desk:
    """Where archives are made and their rows removed."""

    settings: Settings
    ledger: Ledger
    authenticator: Authenticator
    archiving: Archiving

    def ranges(self, token: str, *, before: datetime | None, below: int | None, tiles: int) -> list[tuple[int, int]]:
        """Return what would be archived; changes nothing."""
        with self.ledger.reading(self.authenticator.bearer(token)) as reader:
            return archiving.ranges(reader, before=before, below=below, tiles=tiles)

    def removable(self, token: str, *, before: datetime | None, below: int | None) -> list[Archive]:
        """Return the archives whose rows are asked to go; changes nothing."""
        with self.ledger.reading(self.authenticator.bearer(token)) as reader:
            return archiving.removable(reader, before=before, below=below)

    def archive(self, token: str, first: int, end: int) -> Archive:
        """Make and register one archive."""
        with self.ledger.transaction(self.authenticator.bearer(token)) as tx:
            return archiving.archive(tx, first, end, desk=self.archiving)

    def listed(self, token: str) -> list[Archive]:
        """Return every archive, oldest entries first."""
        with self.ledger.reading(self.authenticator.bearer(token)) as reader:
            return archiving.listed(reader)

    def remove(self, token: str, first: int) -> int:
        """Remove the rows of an archive if nothing obliges to keep them; return how many went.

        Raises `Conflict` when the sequencer does not get round to the archive's entry.
        """
        with self.ledger.transaction(self.authenticator.bearer(token)) as tx:
            found = archiving.let_go(tx, first, desk=self.archiving)
        deadline = time.monotonic() + _PATIENCE_S
        with direct.translated(), direct.connect(composition.urls_of(self.settings).sequencer) as conn:
            while True:
                try:
                    return archives.remove(conn, found, self.archiving.folder)
                except Conflict:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(_POLL_S)


def archiving_of(settings: Settings, rules: PolicyBundle) -> Archiving:
    """Return what archives of an installation are made with."""
    return Archiving(rules, settings.zone, ArchiveFolder(settings.data / FOLDER))


@contextmanager
def opened(settings: Settings) -> Iterator[Desk]:
    """Yield the desk of an installation; the server may run or not, the database has to."""
    instance = Instance(settings.data)
    engine = composition.engine_for(composition.urls_of(settings).service)
    try:
        rules = policy_keeping.loaded(settings)
        ledger = composition.ledger_of(settings, engine, rules)
        issuer = TokenIssuer(instance.signing_key("tokens"), settings.instance)
        authenticator = Authenticator(
            settings, ledger, issuer.key, utc_now, instance.vault(settings.tombstones), Standings(ledger)
        )
        yield Desk(settings, ledger, authenticator, archiving_of(settings, rules))
    finally:
        engine.dispose()
