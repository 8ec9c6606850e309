# SPDX-License-Identifier: Apache-2.0
"""People: an opaque reference in the ledger, and beside it an encrypted record that can be erased."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from audit.transaction import Reader, Transaction
from khatim.errors import Erased, NotFound
from khatim.vocabulary import Action, Resource
from registry.erasure_tables import DONE, Erasure
from registry.events import PersonIdentified, PersonKnown
from registry.tables import Person
from registry.vault import DISPLAY_NAME, EMAIL, Vault


@dataclass(frozen=True, slots=True)
class Identity:
    """Who stands behind a reference; empty where nothing is kept (any more)."""

    ref: str
    display_name: str
    email: str
    first_seen: datetime | None
    erased: bool


def know(tx: Transaction, ref: str, display_name: str, *, vault: Vault, email: str = "") -> Person:
    """Note that a person exists, at their first sight.  The actor is that person; a second note changes nothing.

    Raises `Erased` for a reference whose person was erased: what was forgotten is not learnt again by the way.
    """
    tx.lock(f"person:{ref}")
    if is_erased(tx, ref):
        raise Erased("the person behind this reference was erased", rule="people/erased")
    known: Person | None = tx.scalar(select(Person).where(Person.ref_ == ref))
    if known is not None and vault.open(ref, known.record) is not None:
        return known
    tx.require(Action.READ, Resource("person", ref))
    record = {DISPLAY_NAME: display_name, **({EMAIL: email} if email else {})}
    if known is None:
        known = Person(ref_=ref, record=vault.seal(ref, record), first_seen=tx.now)
        tx.add(known)
    else:
        known.record = vault.seal(ref, record)
    tx.record(PersonKnown(about=known.ref))
    return known


def identify(tx: Transaction, ref: str, *, because: str, vault: Vault) -> Identity:
    """Return who stands behind a reference: a sensitive read, recorded with its reason before anything is shown."""
    tx.require(Action.PERSON_IDENTIFY, Resource("person", ref))
    person: Person | None = tx.scalar(select(Person).where(Person.ref_ == ref))
    erased = is_erased(tx, ref)
    if person is None and not erased:
        raise NotFound(f"nobody is known as {ref}")
    tx.record(PersonIdentified(about=f"person:{ref}", because=because))
    record = (vault.open(ref, person.record) if person is not None else None) or {}
    return Identity(
        ref, record.get(DISPLAY_NAME, ""), record.get(EMAIL, ""), person.first_seen if person else None, erased
    )


def names(reader: Reader, refs: Iterable[str], vault: Vault) -> Mapping[str, str]:
    """Return the display names of those of *refs* that have one; nobody else's record is opened."""
    rows = reader.scalars(select(Person).where(Person.ref_.in_(list(refs))))
    opened = {row.ref_: vault.open(row.ref_, row.record) for row in rows}
    return {ref: record[DISPLAY_NAME] for ref, record in opened.items() if record and DISPLAY_NAME in record}


def erased_of(reader: Reader, refs: Iterable[str]) -> frozenset[str]:
    """Return those of *refs* whose person was erased."""
    return frozenset(
        reader.scalars(select(Erasure.person).where(Erasure.person.in_(list(refs)), Erasure.state == DONE))
    )


def is_erased(reader: Reader, ref: str) -> bool:
    """Whether the person behind *ref* was erased."""
    return bool(erased_of(reader, [ref]))
