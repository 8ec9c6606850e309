# SPDX-License-Identifier: Apache-2.0
"""The one mechanism: a transaction that knows its actor, asks permission, changes rows and is sealed with its events.

``Ledger.transaction`` is the only way to a writing session, and only it commits.  `Transaction.seal` raises when a
governed row changed that no event speaks about, or when no permission was asked.  A refusal rolls the state back and
is then recorded in a transaction of its own, because it is the event that an auditor wants most.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, Executable, Result, ScalarResult, Select, func, select
from sqlalchemy.orm import Session

from audit import answers, halts, isolation, outbox, personal
from audit.base import Base
from audit.copies import Copies
from audit.events import Event, body_of, refusal_of
from audit.floods_telling import Refusals
from audit.identifiers import uuid7
from audit.reserve_watch import Reserve
from audit.translation import translated
from audit.watching import Watched, watch
from khatim.errors import Forbidden, KhatimError, NotFound, Refused, UnauthorizedChange, UnrecordedChange
from khatim.vocabulary import SERVICE, Access, Action, Actor, Decision, Resource

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the present moment of this machine, aware and in UTC."""
    return datetime.now(UTC)


class Reader:
    """Reads as one actor at one moment.  Its database transaction is READ ONLY, so it cannot write by mistake."""

    BEGIN = isolation.READ

    def __init__(self, session: Session, actor: Actor, access: Access, now: datetime) -> None:
        """Take the session, which has not begun; nobody else may hold it."""
        self._session = session
        self._access = access
        self.actor = actor
        self.now = now
        self._bounds = isolation.within(actor.reach(now))
        session.info[isolation.OPENING] = isolation.opening(self.BEGIN, self._bounds)
        self._wholes = 0
        self.asked: tuple[Action, Resource] | None = None
        self.granted = 0
        self.denied: KhatimError | None = None

    def may(self, action: Action, resource: Resource) -> Decision:
        """Decide without consequence: whether the actor may do *action* to *resource*."""
        return self._access.decide(self.actor, action, resource, self.now)

    def require(self, action: Action, resource: Resource) -> Decision:
        """Demand permission.  Raises `Forbidden`, or `NotFound` where the actor may not even see the resource."""
        self.asked = (action, resource)
        decision = self.may(action, resource)
        if decision:
            self.granted += 1
            return decision
        is_visible = action is not Action.READ and bool(self.may(Action.READ, resource))
        cls = Forbidden if is_visible else NotFound
        detail = decision.reason if is_visible else f"{resource} does not exist or is not visible to you"
        self.denied = Forbidden(decision.reason, advice=decision.advice, action=action.value, **decision.as_members())
        raise self.denied if is_visible else cls(detail)

    @property
    def is_bounded(self) -> bool:
        """Whether there are namespaces that the actor cannot reach."""
        return self._bounds != isolation.ALL

    @contextmanager
    def whole(self) -> Iterator[None]:
        """See and reach every namespace meanwhile: for what decides or must follow by law, never for what is shown."""
        if not self.is_bounded:
            yield
            return
        if not self._wholes:
            isolation.set_bounds(self._session, isolation.ALL)
        self._wholes += 1
        try:
            yield
            self._session.flush()
        finally:
            self._wholes -= 1
            if not self._wholes:
                isolation.set_bounds(self._session, self._bounds)

    def scalars(self, query: Select[Any]) -> ScalarResult[Any]:
        """Run *query* and return its first column."""
        return self._session.scalars(query)

    def scalar(self, query: Select[Any]) -> Any:
        """Run *query* and return its first column of its first row, or None."""
        return self._session.scalar(query)

    def rows(self, query: Executable) -> list[Any]:
        """Run *query* and return its rows."""
        return list(self._session.execute(query).all())

    def connection(self) -> Any:
        """Return the driver's connection (psycopg) for the ledger's own readers."""
        return self._session.connection().connection.driver_connection


class Transaction(Reader):
    """Reads and writes as one actor at one moment; committed only by `Ledger.transaction`, only when sealed."""

    BEGIN = isolation.WRITE

    def __init__(  # noqa: PLR0913, PLR0917 - what a transaction knows; made in one place
        self, session: Session, actor: Actor, access: Access, now: datetime, entity: str, reserve: Reserve
    ) -> None:
        """Watch *session* (a `Watched` one) for governed rows."""
        super().__init__(session, actor, access, now)
        self._entity = entity
        self._reserve = reserve
        self._afterwards: list[Callable[[], None]] = []
        self._is_change = False  # whether more was asked for than goes on while the ledger is read-only
        self.said: list[bytes] = []
        self._spoken_of: set[str] = set()
        self._touched = watch(session)
        self._question: answers.Question | None = None

    def require(self, action: Action, resource: Resource) -> Decision:
        """Demand permission, and room for a change: raises `RegistryFull` as well, when the disk has none for it."""
        decision = super().require(action, resource)
        self._reserve.admit(action)
        self._is_change |= action.value not in halts.GOES_ON
        return decision

    def new_id(self) -> uuid.UUID:
        """Return a new UUIDv7 (RFC 9562 5.7), ordered by time."""
        return uuid7(self.now)

    def add(self, row: Base) -> None:
        """Put a new row into the transaction.

        It is inserted at once: rows have keys and no relationships, so the unit of work would not know that a
        statement comes before the evidence that names it.
        """
        self._session.add(row)
        self._session.flush()

    def execute(self, statement: Executable) -> Result[Any]:
        """Run a statement on operational tables (leases, presence); governed tables refuse it."""
        return self._session.execute(statement)

    def remove(self, row: Base) -> None:
        """Delete *row*; for operational rows, never for evidence."""
        self._session.delete(row)

    def lock(self, name: str) -> None:
        """Serialise with every other transaction that takes the lock of that *name*, until the end of this one."""
        self._session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))

    def record(self, said: Event) -> None:
        """Say what happened; it reaches the ledger exactly when the change commits."""
        self._spoken_of.update((said.about, *said.also))
        personal.refuse(said.payload())
        entity = self._access.entity_of(said.namespace) or self._entity
        body, aside = body_of(said, actor=self.actor, at=self.now, entity=entity)
        outbox.append(self._session, body, aside, unless_halted=self._is_change)
        self.said.append(body)

    def afterwards(self, step: Callable[[], None]) -> None:
        """Do *step* once this transaction has committed, and only then (destroy a key: it cannot be rolled back)."""
        self._afterwards.append(step)

    def committed(self) -> None:
        """Do what was left for after the commit; called once, by `Ledger.transaction`."""
        for step in self._afterwards:
            step()

    def answer_once(self, question: answers.Question) -> None:
        """Make this transaction the answer to *question*; raises `AlreadyAnsweredError` when it was answered."""
        answers.begin(self._session, question, self.now)
        self._question = question

    def remember(self, status: int, body: bytes) -> None:
        """Keep the answer that goes to the caller, if the caller may ask again."""
        if self._question is not None:
            answers.complete(self._session, self._question, status, body)

    def forget(self) -> None:
        """Keep no answer: what goes to the caller is a file, and a caller who asks again is answered anew."""
        if self._question is not None:
            answers.release(self._session, self._question)

    def seal(self) -> None:
        """Flush, and refuse to go on when a governed row changed unasked or untold."""
        self._session.flush()
        untold = {ref: table for ref, table in self._touched.refs.items() if ref not in self._spoken_of}
        if untold:
            raise UnrecordedChange(f"changed without an event: {', '.join(sorted(untold))}", tables=[*untold.values()])
        if self._touched.refs and not self.granted:
            raise UnauthorizedChange(f"changed without asking: {', '.join(sorted(self._touched.refs))}")


class _Snapshot(Transaction):
    """A transaction that sees the database as it was at its first question."""

    BEGIN = isolation.SNAPSHOT


class Ledger:
    """Opens transactions and readers.  Built once by the composition root."""

    def __init__(  # noqa: PLR0913 - the composition root names each
        self,
        engine: Engine,
        access: Access,
        *,
        entity: str,
        clock: Clock = utc_now,
        reserve: Reserve | None = None,
        refusals: Refusals | None = None,
    ) -> None:
        """Take the engine (role khatim_service), what decides access, the legal entity's name and the clock.

        *reserve* says when the disk is too full for changes, *refusals* which refusals are told one by one.
        """
        self._engine = engine
        self._bounded = engine.execution_options(isolation_level="AUTOCOMMIT")  # sessions begin by `isolation.opening`
        self._access = access
        self._entity = entity
        self.clock = clock
        self.reserve = reserve or Reserve()
        self.refusals = refusals or Refusals()
        self.copies = Copies()

    def judge_by(self, access: Access) -> None:
        """Let *access* decide in whatever is opened from now on; what is open ends by what it began with."""
        self._access = access

    def settle(self, timeout_s: float = 5.0) -> None:
        """Wait until what was committed before now stands in the ledger; raises `Unavailable` when it lags."""
        outbox.await_place(self._engine, timeout_s)

    @contextmanager
    def transaction(self, actor: Actor, *, is_snapshot: bool = False) -> Iterator[Transaction]:
        """Open the only kind of session that can write; commits at the end, or rolls back and records a refusal.

        A snapshot sees the database, ledger included, as it was at its first question, whatever others commit.
        """
        opened = _Snapshot if is_snapshot else Transaction
        actor, now = self._access.placed(actor), self.clock()
        with translated(), Watched(self._bounded, expire_on_commit=False) as session:
            tx = opened(session, actor, self._access, now, self._entity, self.reserve)
            try:
                yield tx
                tx.seal()
                session.commit()
            except BaseException as error:
                session.rollback()
                self._record_refusal(tx, error)
                raise
            tx.committed()

    def tell(self, events: Sequence[Event]) -> None:
        """Record *events* of the service itself (counts of refusals), which no change goes with."""
        with self.transaction(SERVICE) as tx:
            for one in events:
                tx.record(one)

    @contextmanager
    def reading(self, actor: Actor) -> Iterator[Reader]:
        """Open a session that the database itself keeps from writing."""
        actor, now = self._access.placed(actor), self.clock()
        with translated(), isolation.Bounded(self._bounded, expire_on_commit=False) as session:
            reader = Reader(session, actor, self._access, now)
            try:
                yield reader
            except BaseException as error:
                session.rollback()
                self._record_refusal(reader, error)
                raise

    def _record_refusal(self, asker: Reader, error: BaseException) -> None:
        refusal = error if isinstance(error, Refused) else asker.denied
        # Nobody's attempts are counted by source at the front door: a stranger must not be able to fill the ledger.
        if refusal is None or not asker.actor.is_somebody:
            return
        if not self.refusals.is_told(asker.actor.ref, refusal.slug(), self.clock()):
            return
        action, resource = asker.asked or (None, None)
        entity = (self._access.entity_of(resource.namespace) if resource else "") or self._entity
        body, aside = body_of(refusal_of(refusal, action, resource), actor=asker.actor, at=self.clock(), entity=entity)
        with Session(self._engine) as session, session.begin():
            outbox.append(session, body, aside)
