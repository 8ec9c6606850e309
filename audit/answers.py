# SPDX-License-Identifier: Apache-2.0
"""Answers given under an ``Idempotency-Key``: a retried request gets the first answer and records nothing twice.

The row is inserted before the work and completed in the same transaction, so a concurrent twin waits for the first
one's commit and then finds its answer; when the first rolls back, the twin does the work.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import LargeBinary, delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from audit.base import Base, Moment
from khatim.errors import IdempotencyMismatch


class AnswerRow(Base):
    """One remembered answer.  Operational: may be swept after a day."""

    __tablename__ = "answers"

    actor: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    status: Mapped[int | None]
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    at: Mapped[Moment]


@dataclass(frozen=True)
class Question:
    """A request that may come again: who sends it, under which key, and the digest of method, path and body."""

    actor: str
    key: str
    fingerprint: str


class AlreadyAnsweredError(Exception):
    """The question was answered before: `status` and `body` are that answer."""

    def __init__(self, status: int, body: bytes) -> None:
        """Keep the first answer."""
        super().__init__("answered before")
        self.status = status
        self.body = body


def begin(session: Session, question: Question, at: object) -> None:
    """Claim the key; raises `AlreadyAnsweredError` with the first answer, `IdempotencyMismatch` for another request."""
    claim = insert(AnswerRow).values(
        actor=question.actor, key=question.key, fingerprint=question.fingerprint, status=None, body=None, at=at
    )
    claimed = session.execute(claim.on_conflict_do_nothing().returning(AnswerRow.key)).scalar()
    if claimed is not None:
        return
    mine = (AnswerRow.actor == question.actor, AnswerRow.key == question.key)
    first = session.execute(select(AnswerRow.fingerprint, AnswerRow.status, AnswerRow.body).where(*mine)).one()
    if first.fingerprint != question.fingerprint or first.status is None:
        raise IdempotencyMismatch(f"the Idempotency-Key {question.key!r} was used for another request")
    raise AlreadyAnsweredError(first.status, first.body or b"")


def complete(session: Session, question: Question, status: int, body: bytes) -> None:
    """Remember the answer; it becomes visible with the commit."""
    mine = (AnswerRow.actor == question.actor, AnswerRow.key == question.key)
    session.execute(update(AnswerRow).where(*mine).values(status=status, body=body))


def release(session: Session, question: Question) -> None:
    """Give the key back: the answer is not one to keep (a file), so whoever asks again is answered anew."""
    session.execute(delete(AnswerRow).where(AnswerRow.actor == question.actor, AnswerRow.key == question.key))
