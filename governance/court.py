# SPDX-License-Identifier: Apache-2.0
"""By what a signature is judged when a decision rests on it: it is verified again, not remembered."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from khatim.errors import SignatureInvalid
from khatim.vocabulary import Digest
from registry.notary import Notary
from registry.signing.revocation import Book
from registry.signing.verification import VerifiedStatement
from registry.tables import Statement


@dataclass(frozen=True, slots=True)
class Court:
    """What a signature is judged by: the notary, what was revoked, and the moment."""

    notary: Notary
    book: Book
    at: datetime

    def check(
        self, row: Statement, kind: str, subjects: Sequence[Digest], *, zone: str | None = None
    ) -> VerifiedStatement:
        """Verify a statement that was admitted; raises `SignatureInvalid` also for one that stands no more."""
        verified = self.notary.check(row.bundle, kind, subjects, zone=zone)
        verdict = self.book.verdict(verified.marks, self.at)
        if not verdict.holds:
            raise SignatureInvalid(verdict.sentence, advice=verdict.advice)
        return verified

    def vouches(self, row: Statement | None, kind: str, *, by: str, says: Mapping[str, Any]) -> bool:
        """Whether a statement stands that *by* (a person's reference) signed, and that says exactly this."""
        if row is None:
            return False
        try:
            verified = self.check(row, kind, [])
        except SignatureInvalid:
            return False
        return verified.speaker == self.notary.person(by) and dict(verified.predicate) == dict(says)

    def stands(self, row: Statement, kind: str, *, zone: str) -> bool:
        """Whether a statement verifies as one of *kind* and stands."""
        try:
            self.check(row, kind, [], zone=zone)
        except SignatureInvalid:
            return False
        return True

    def allows(self, digests: Collection[str]) -> bool:
        """Whether none of these bytes is revoked."""
        return self.book.forbids(digests, self.at).holds
