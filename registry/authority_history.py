# SPDX-License-Identifier: Apache-2.0
"""Telling the ledger what was done to the signing authority.

The authority's record is changed where its keys are, often without a database; each change stands in its history from
the same write on.  That history is the queue: whoever has both (a command while the database answers, the server when
it starts) tells the ledger what it does not know yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar

from sqlalchemy import select

from audit.canonical import canonical
from audit.events import Event
from audit.transaction import Ledger
from khatim.errors import Misconfigured
from khatim.vocabulary import SERVICE, Digest
from registry.authority_tables import AuthorityTold
from registry.signing.record import Change, PublicRecord


@dataclass(frozen=True, kw_only=True)
class _AuthorityChanged(Event):
    """Something was done to the signing authority: when, by whom (opaque), to which key, and why."""

    at: str
    by: str
    key: str = ""
    because: str = ""
    details: Mapping[str, str]


class AuthorityFounded(_AuthorityChanged):
    """The authority was founded; details say where its root's key lies."""

    kind: ClassVar[str] = "authority.founded"


class AuthorityRotated(_AuthorityChanged):
    """A key has a new generation."""

    kind: ClassVar[str] = "authority.rotated"


class AuthorityRootAdded(_AuthorityChanged):
    """A ceremony made the next root."""

    kind: ClassVar[str] = "authority.root_added"


class AuthorityCompromised(_AuthorityChanged):
    """A key was stolen, and is cut off since a moment in the details."""

    kind: ClassVar[str] = "authority.compromised"


class AuthorityBackedUp(_AuthorityChanged):
    """A recovery kit was made; details hold its digest."""

    kind: ClassVar[str] = "authority.backed_up"


class AuthorityRecoveryTested(_AuthorityChanged):
    """A recovery kit was restored and proved."""

    kind: ClassVar[str] = "authority.recovery_tested"


class AuthorityRestored(_AuthorityChanged):
    """The authority, or its keys, came back from a recovery kit."""

    kind: ClassVar[str] = "authority.restored"


class AuthoritySigningChanged(_AuthorityChanged):
    """Who signs for the registry is another; details name the backend and its issuer."""

    kind: ClassVar[str] = "authority.signing_changed"


class AuthorityClocksChanged(_AuthorityChanged):
    """The timestamp authority outside is another, or there is none any more."""

    kind: ClassVar[str] = "authority.clocks_changed"


_KINDS: Mapping[str, type[_AuthorityChanged]] = {
    event.kind.partition(".")[2]: event
    for event in (
        AuthorityFounded,
        AuthorityRotated,
        AuthorityRootAdded,
        AuthorityCompromised,
        AuthorityBackedUp,
        AuthorityRecoveryTested,
        AuthorityRestored,
        AuthoritySigningChanged,
        AuthorityClocksChanged,
    )
}


def tell(ledger: Ledger, record: PublicRecord) -> int:
    """Record the changes that the ledger has not been told, in their order; return how many there were."""
    with ledger.transaction(SERVICE) as tx:
        tx.lock("authority history")
        known = set(tx.scalars(select(AuthorityTold.digest)))
        fresh = [(digest, change) for digest, change in _digested(record) if digest not in known]
        for digest, change in fresh:
            tx.add(AuthorityTold(digest=digest, told_at=tx.now))
            tx.record(_event(record, change))
    return len(fresh)


def _digested(record: PublicRecord) -> Iterator[tuple[str, Change]]:
    for number, change in enumerate(record.history):
        # The number tells two equal changes of one second apart; a restored history keeps the numbers it had.
        yield str(Digest.of(canonical({"number": number, **asdict(change)}))), change


def _event(record: PublicRecord, change: Change) -> _AuthorityChanged:
    kind = _KINDS.get(change.kind)
    if kind is None:
        raise Misconfigured(f"the authority's history has a change of unknown kind {change.kind[:40]!r}")
    return kind(
        about=f"authority:{record.instance}",
        at=change.at,
        by=change.by,
        key=change.about,
        because=change.because,
        details=change.details,
    )
