# SPDX-License-Identifier: Apache-2.0
"""The session that notes which governed rows it writes, and takes no bulk statement on their tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import FromStatement, ORMExecuteState, Session, UOWTransaction
from sqlalchemy.sql import visitors
from sqlalchemy.sql.expression import TextClause, TextualSelect, UpdateBase

from audit.base import Base, Governed
from audit.isolation import Bounded
from khatim.errors import UnrecordedChange

_TOUCHED = "khatim.touched"


@dataclass
class Touched:
    """Governed rows that a flush wrote: their references and table names."""

    refs: dict[str, str] = field(default_factory=dict)


class Watched(Bounded):
    """A session whose governed rows are noted when it flushes.

    Listening on the class, once: to listen on each session would cost as much as all else before the first question.
    """


@event.listens_for(Watched, "after_flush")
def _collect(session: Session, _: UOWTransaction) -> None:
    touched: Touched = session.info[_TOUCHED]
    for row in (*session.new, *session.dirty, *session.deleted):
        if isinstance(row, Governed) and (row not in session.dirty or session.is_modified(row)):
            touched.refs[row.ref] = type(row).__name__


@event.listens_for(Watched, "do_orm_execute")
def _refuse_bulk(state: ORMExecuteState) -> None:
    statement: Any = state.statement
    if isinstance(statement, (TextClause, TextualSelect, FromStatement)):
        raise UnrecordedChange("a statement written as text could be a bulk change that passes the ledger by")
    # A select may carry a change inside (WITH ... AS (UPDATE ...)), and a change may name the table, not the class.
    changed = {str(part.table) for part in visitors.iterate(statement) if isinstance(part, UpdateBase)}
    if changed and not changed.isdisjoint(_governed()):
        raise UnrecordedChange("bulk statements on governed tables would pass the ledger by; change rows")


def _governed() -> set[str]:
    return {str(one.local_table) for one in Base.registry.mappers if issubclass(one.class_, Governed)}


def watch(session: Session) -> Touched:
    """Return where *session* (a `Watched` one) notes the governed rows that it writes from now on."""
    touched: Touched = session.info.setdefault(_TOUCHED, Touched())
    return touched
