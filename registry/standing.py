# SPDX-License-Identifier: Apache-2.0
"""What the registry's own doors ask of the revocations: whether something still stands."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sqlalchemy import func, select

from audit.transaction import Reader
from khatim.errors import RevokedRefused
from registry.revocation_tables import RevocationRow
from registry.signing.revocation import Book, Verdict, folded
from registry.signing.verification import VerifiedStatement


def rows_of(reader: Reader) -> list[RevocationRow]:
    """Return every row, oldest first.  They are few: revoking is an exceptional act, and all of them are asked."""
    return list(reader.scalars(select(RevocationRow).order_by(RevocationRow.number)))


def number_of(reader: Reader) -> int:
    """Return the number of the newest row; 0 when there is none."""
    return int(reader.scalar(select(func.max(RevocationRow.number))) or 0)


def book_of(reader: Reader) -> Book:
    """Return all revocations as they are judged by."""
    return book_from(rows_of(reader))


def book_from(rows: Iterable[RevocationRow]) -> Book:
    """Return *rows* as they are judged by."""
    listed = [row.as_row for row in rows]
    return Book(max((row["number"] for row in listed), default=0), tuple(folded(listed)))


def require(reader: Reader, verified: VerifiedStatement) -> None:
    """Demand that a statement hold now; raises `RevokedRefused`, which the ledger records."""
    _demand(book_of(reader).verdict(verified.marks, reader.now), f"the statement of {verified.identity}")


def require_usable(reader: Reader, digests: Collection[str], what: str) -> None:
    """Demand that none of these bytes be revoked; raises `RevokedRefused`."""
    if digests:
        _demand(book_of(reader).forbids(digests, reader.now), what)


def require_in_office(reader: Reader, name: str) -> None:
    """Demand that the identity *name* may act; raises `RevokedRefused`."""
    _demand(book_of(reader).bars(name, reader.now), name)


def _demand(verdict: Verdict, what: str) -> None:
    if not verdict.holds:
        numbers = [one.number for one in verdict.reasons]
        raise RevokedRefused(f"{what}: {verdict.sentence}", advice=verdict.advice, revocations=numbers)
