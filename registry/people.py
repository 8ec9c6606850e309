# SPDX-License-Identifier: Apache-2.0
"""People: an opaque reference in the ledger, a display name beside it that can be erased."""

from __future__ import annotations

from sqlalchemy import select

from audit.transaction import Transaction
from khatim.vocabulary import Action, Resource
from registry.events import PersonKnown
from registry.tables import Person


def know(tx: Transaction, ref: str, display_name: str) -> Person:
    """Note that a person exists, at their first sight.  The actor is that person; a second note changes nothing."""
    tx.lock(f"person:{ref}")
    known: Person | None = tx.scalar(select(Person).where(Person.ref_ == ref))
    if known is not None:
        return known
    row = Person(ref_=ref, display_name=display_name, first_seen=tx.now)
    tx.require(Action.READ, Resource("person", ref))
    tx.add(row)
    tx.record(PersonKnown(about=row.ref))
    return row
