# SPDX-License-Identifier: Apache-2.0
"""The signed list of revocations: complete, numbered, dated, and promised to be renewed by a stated time.

It is a statement by the registry, so whoever has a trust root can read it offline.  The number grows by one with each
revocation and lifting; a list with a smaller number than one already seen is refused, and so is another list with the
same number: nobody can be served an older state.  A newer issue under the same number only renews the dates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from audit.canonical import canonical
from audit.events import moment
from khatim.errors import SignatureInvalid, VerificationFailed
from khatim.vocabulary import Digest
from registry.signing import identity, statements
from registry.signing.attesters import ATTESTERS
from registry.signing.identity import IdentityPolicy
from registry.signing.revocation import Book, folded
from registry.signing.verification import TrustRoot, VerifiedStatement, verify_bundle

SUBJECT = "revocations.json"
LIFE = timedelta(hours=24)
"""From the issue of a list to the time by which the next one is promised."""
RENEWED = timedelta(hours=1)
"""After this long the registry issues the list anew, so that readers see one well before the promised time."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SignedList:
    """A verified list: its revocations, its dates, and the digest of what it lists."""

    book: Book
    issued_at: datetime
    next_update: datetime
    digest: Digest
    verified: VerifiedStatement

    @property
    def number(self) -> int:
        """The number of the last row that it lists."""
        return self.book.number

    def is_fresh(self, at: datetime) -> bool:
        """Whether the next list is not overdue at *at*."""
        return at < self.next_update

    def require_not_before(self, known: SignedList | None) -> None:
        """Raise `VerificationFailed` when this is older than *known*, or another list under its number."""
        if known is None:
            return
        if self.number < known.number:
            raise VerificationFailed(
                f"the list of revocations is number {self.number}, but number {known.number} was seen before",
                advice="Somebody serves an old list. Get the present one from the registry itself, and ask why.",
                number=self.number,
                known=known.number,
            )
        if self.number == known.number and self.digest != known.digest:
            raise VerificationFailed(
                f"two different lists of revocations bear the number {self.number}",
                advice="The registry's history was rewritten. Compare its ledger with a checkpoint that you hold.",
                number=self.number,
            )


def statement_of(rows: Sequence[Row], *, at: datetime) -> bytes:
    """Return the statement that lists *rows* (numbers, kinds, targets, times as `datetime`) as of *at*."""
    listed = sorted((_written(row) for row in rows), key=lambda row: int(row["number"]))
    predicate = {
        "number": max((int(row["number"]) for row in listed), default=0),
        "issuedAt": moment(at),
        "nextUpdate": moment(at + LIFE),
        "revocations": listed,
    }
    return statements.statement([(SUBJECT, Digest.of(canonical(listed)))], statements.REVOCATIONS, predicate)


def read(bundle: str, root: TrustRoot, *, instance: str) -> SignedList:
    """Verify a signed list; raises `SignatureInvalid` when it does not hold or is not one of *instance*."""
    policy = IdentityPolicy.of_instance(instance, f"https://{instance}", ATTESTERS)
    verified = verify_bundle(bundle, root, policy)
    said = verified.predicate
    if verified.kind != statements.REVOCATIONS or verified.identity != identity.service(instance, "registry"):
        raise SignatureInvalid(f"it is a {verified.kind} by {verified.identity}, not the registry's revocations")
    try:
        listed = list(said["revocations"])
        book = Book(int(said["number"]), tuple(folded(map(_read, listed))))
        numbers = [int(row["number"]) for row in listed]
        issued, following = (datetime.fromisoformat(said[key]) for key in ("issuedAt", "nextUpdate"))
        is_due = issued < following
    except (KeyError, TypeError, ValueError) as wrong:
        raise SignatureInvalid("the list of revocations has not the form of one") from wrong
    digest = Digest.of(canonical(listed))
    # The numbers tell that nothing was left out: the table is append-only and counts by one.
    if numbers != list(range(1, book.number + 1)) or digest not in verified.digests or not is_due:
        raise SignatureInvalid("the list of revocations is not complete, or is not what its digest says")
    return SignedList(book, issued, following, digest, verified)


def _written(row: Row) -> dict[str, Any]:
    times = {key: moment(row[key]) if row[key] is not None else None for key in ("since", "at")}
    return {**{key: row[key] for key in ("number", "kind", "target", "because", "by", "lifts")}, **times}


def _read(row: Row) -> dict[str, Any]:
    times = {key: datetime.fromisoformat(row[key]) if row[key] is not None else None for key in ("since", "at")}
    return {**row, **times}
