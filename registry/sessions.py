# SPDX-License-Identifier: Apache-2.0
"""Sessions of the console: begun by a sign-in, ended by their time, their owner, an administrator or the provider."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Select, select

from audit.transaction import Reader, Transaction
from khatim.errors import Unauthenticated
from khatim.vocabulary import Action, Resource, Role
from registry.session_events import SignedIn, SignedOut
from registry.session_tables import SignInSession

TTL: Final = timedelta(hours=8)
_KEPT: Final = timedelta(days=1)  # ended ones, so that a cookie that outlived its session is told why


def begin(  # noqa: PLR0913 - what a sign-in brings
    tx: Transaction,
    *,
    by: str,
    roles: Collection[Role] = (),
    groups: Collection[str] = (),
    strength: int | None = None,
    provider_session: str = "",
    link: str = "",
) -> SignInSession:
    """Begin a session of the actor, for `TTL`; what ended long ago is forgotten by the way."""
    for old in tx.scalars(
        select(SignInSession).where(SignInSession.person == tx.actor.ref, SignInSession.expires_at < tx.now - _KEPT)
    ):
        tx.remove(old)
    row = SignInSession(
        id=tx.new_id(), person=tx.actor.ref, roles=sorted(one.value for one in roles), groups=sorted(groups),
        strength=strength, provider_session=provider_session, opened_at=tx.now, expires_at=tx.now + TTL,
    )  # fmt: skip
    tx.add(row)
    tx.record(
        SignedIn(about=f"person:{tx.actor.ref}", by=by, link=link, session=str(row.id) if not link else "",
                 strength=strength)
    )  # fmt: skip
    return row


def of(reader: Reader, name: str) -> SignInSession:
    """Return a live session; raises `Unauthenticated` for any other."""
    row: SignInSession | None = reader.scalar(select(SignInSession).where(SignInSession.id == _id(name)))
    if row is None or row.ended_at is not None or row.expires_at <= reader.now:
        raise Unauthenticated("this session has ended", advice="Sign in again.")
    return row


def end_own(tx: Transaction, name: str) -> None:
    """End the session *name* of the actor, who signs out; one that has ended is left as it is."""
    query = select(SignInSession).where(SignInSession.id == _id(name))
    _end(tx, query.where(SignInSession.person == tx.actor.ref), by="themselves")


def end_all(tx: Transaction, person: str, *, because: str) -> int:
    """End every session of a person; return how many.  They may sign in again."""
    tx.require(Action.PERSON_SUSPEND, Resource("person", person))
    return _end(tx, select(SignInSession).where(SignInSession.person == person), by="administrator", because=because)


def end_by_provider(tx: Transaction, *, person: str, session: str) -> int:
    """End what the identity provider says has ended: its own session, or everything of a person; return how many."""
    query = select(SignInSession)
    if session:
        query = query.where(SignInSession.provider_session == session)
    if person:
        query = query.where(SignInSession.person == person)
    return _end(tx, query, by="identity provider") if person or session else 0


def _end(tx: Transaction, query: Select[Any], *, by: str, because: str = "") -> int:
    live = query.where(SignInSession.ended_at.is_(None), SignInSession.expires_at > tx.now)
    rows: list[SignInSession] = list(tx.scalars(live.with_for_update()))
    for person in sorted({row.person for row in rows}):
        mine = [row for row in rows if row.person == person]
        for row in mine:
            row.ended_at = tx.now
        tx.record(SignedOut(about=f"person:{person}", by=by, sessions=[str(row.id) for row in mine], because=because))
    return len(rows)


def _id(name: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(name)
    except ValueError:
        return None
