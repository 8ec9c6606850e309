# SPDX-License-Identifier: Apache-2.0
"""Accounts of one natural person: separation of duties is between people, however many accounts they act under.

A link is asked for by one access administrator and given by another, and so is its end.  It opens nothing: it only
lets what was done under either account count as done by one person, from the decision on that is made next.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from weakref import WeakKeyDictionary

from sqlalchemy import func, or_, select

from audit.transaction import Reader, Transaction
from khatim.errors import Conflict, Malformed, SeparationOfDuties
from khatim.vocabulary import PROGRAM, Action, Resource
from registry import identified
from registry.account_events import AccountLinked, AccountLinkRequested, AccountReleaseAsked, AccountReleased
from registry.account_tables import IN_FORCE, LINKED, RELEASED, RELEASING, REQUESTED, AccountLink
from registry.service_account_tables import ServiceAccount


@dataclass(frozen=True, slots=True)
class Naturals:
    """The natural person behind each reference that is linked to another, named by the least of their references."""

    of: dict[str, str]

    def __call__(self, ref: str) -> str:
        """Return the name of the person behind *ref*: *ref* itself when nothing is linked to it."""
        return self.of.get(ref, ref)

    def all(self, refs: Iterable[str]) -> frozenset[str]:
        """Return the people behind *refs*."""
        return frozenset(map(self, refs))


_known: Final[WeakKeyDictionary[Reader, Naturals]] = WeakKeyDictionary()


def naturals(reader: Reader) -> Naturals:
    """Return who is whom at this decision; asked of the database once for a transaction.  No permission is asked."""
    found = _known.get(reader)
    if found is None:
        links = select(AccountLink.account, AccountLink.person).where(AccountLink.state.in_(IN_FORCE))
        # What a program did, its sponsor did, also once it is closed: a sponsor never changes.
        programs = select(func.concat(PROGRAM, ServiceAccount.name), ServiceAccount.sponsor)
        found = _known[reader] = grouped(map(tuple, reader.rows(links.union_all(programs))))
    return found


def grouped(pairs: Iterable[tuple[str, str]]) -> Naturals:
    """Return the people that *pairs* of accounts make: who is linked to somebody is who they are linked to."""
    groups: dict[str, set[str]] = {}
    for one, other in pairs:
        joined = groups.get(one, {one}) | groups.get(other, {other})
        groups.update(dict.fromkeys(joined, joined))
    return Naturals({ref: min(group) for ref, group in groups.items()})


def subject_of(reader: Reader, subject: str) -> str:
    """Return *subject* with the name of the person behind it, as ``person:``; a group stays what it is."""
    kind, _, ref = subject.partition(":")
    if subject.startswith(PROGRAM):
        return f"person:{naturals(reader)(subject)}"
    return f"person:{naturals(reader)(ref)}" if kind == "person" else subject


def is_actor(reader: Reader, *refs: str | None) -> bool:
    """Whether the actor is the natural person behind any of *refs*."""
    who = naturals(reader)
    return who(reader.actor.ref) in who.all(filter(None, refs))


def request(tx: Transaction, account: str, person: str, *, because: str) -> AccountLink:
    """Ask that two accounts count as one person's.  Raises `Malformed`, or `Conflict` the second time."""
    tx.require(Action.PERSON_LINK, Resource("person", account))
    if account == person:
        raise Malformed("that is one account")
    tx.lock("account-links")
    either = or_(
        (AccountLink.account == account) & (AccountLink.person == person),
        (AccountLink.account == person) & (AccountLink.person == account),
    )
    if tx.scalar(select(AccountLink).where(AccountLink.state != RELEASED, either)) is not None:
        raise Conflict("these accounts are linked, or asked to be, already")
    row = AccountLink(
        id=tx.new_id(), account=account, person=person, because=because, state=REQUESTED, requested_by=tx.actor.ref,
        requested_at=tx.now,
    )  # fmt: skip
    tx.add(row)
    tx.record(AccountLinkRequested(about=row.ref, also=_about(row), account=account, person=person, because=because))
    return row


def approve(tx: Transaction, name: str, *, because: str) -> AccountLink:
    """Link two accounts that somebody else says are one person's; it counts from the next decision on."""
    row = _named(tx, name)
    if row.state != REQUESTED:
        raise Conflict(f"the link is {row.state}")
    _require_another(tx, row.requested_by, row.account, row.person)
    row.state, row.approved_by, row.approved_at = LINKED, tx.actor.ref, tx.now
    tx.record(AccountLinked(about=row.ref, also=_about(row), account=row.account, person=row.person, because=because))
    return row


def release(tx: Transaction, name: str, *, because: str) -> AccountLink:
    """Ask that two accounts count as two people again or, as a second person, let them; turn a request down at once."""
    row = _named(tx, name)
    if row.state == RELEASED:
        raise Conflict("the link was released already")
    said = {"about": row.ref, "account": row.account, "person": row.person, "because": because}
    if row.state == LINKED:
        row.state, row.release_asked_by, row.release_because = RELEASING, tx.actor.ref, because
        tx.record(AccountReleaseAsked(also=_about(row), **said))
        return row
    if row.state == RELEASING:
        _require_another(tx, row.release_asked_by or "", row.account, row.person)
    row.state, row.released_by, row.released_at = RELEASED, tx.actor.ref, tx.now
    tx.record(AccountReleased(also=_about(row), **said))
    return row


def _named(tx: Transaction, name: str) -> AccountLink:
    row = identified.one(tx, AccountLink, name, for_update=True)
    tx.require(Action.PERSON_LINK, row.resource)
    return row


def _require_another(tx: Transaction, *refs: str) -> None:
    if is_actor(tx, *refs):
        raise SeparationOfDuties(
            "this is decided by somebody who neither asked for it nor is the person",
            advice="Ask another access administrator.", rule="accounts/two-people",
        )  # fmt: skip


def _about(row: AccountLink) -> tuple[str, ...]:
    return (f"person:{row.account}", f"person:{row.person}")
