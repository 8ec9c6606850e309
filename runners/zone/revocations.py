# SPDX-License-Identifier: Apache-2.0
"""What an agent knows to be revoked: the registry's signed list, verified, kept on disk, never exchanged for an older.

The list outlives the process: an agent that starts again without a connection still refuses what it once knew.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from khatim.errors import KhatimError, Misconfigured, RevokedRefused, VerificationFailed
from khatim.wire import work
from registry.signing import revocation_list
from registry.signing.revocation import Book, Verdict, digests_in
from registry.signing.revocation_list import SignedList
from registry.signing.verification import TrustRoot

log = logging.getLogger("khatim.runners.revocations")
FILE = "revocations.sigstore.json"


class Keeper:
    """The newest list that this agent has verified.  Thread-safe: one loop takes lists, the other reads them."""

    def __init__(self, folder: Path, root: Callable[[], TrustRoot], instance: str) -> None:
        """Read what *folder* keeps; raises `Misconfigured` when that does not verify: it may have been put there."""
        self._file = folder / FILE
        self._root = root
        self._instance = instance
        self._lock = threading.Lock()
        self._list: SignedList | None = None
        if self._file.exists():
            try:
                self._list = self._read(self._file.read_text(encoding="utf-8"))
            except (KhatimError, UnicodeDecodeError) as wrong:
                raise Misconfigured(
                    f"the list of revocations in {self._file} does not verify: {wrong}",
                    advice="Find out who changed it; remove the file only when the registry can be reached.",
                ) from wrong

    @property
    def book(self) -> Book:
        """Return what is revoked."""
        known = self._list
        return known.book if known else Book()

    @property
    def number(self) -> int:
        """Return the number of the list; -1 before there is one."""
        known = self._list
        return known.number if known else -1

    def __str__(self) -> str:
        known = self._list
        return f"list of revocations {known.number} of {known.issued_at:%Y-%m-%d %H:%M} UTC" if known else "no list"

    def is_fresh(self, at: datetime) -> bool:
        """Whether there is a list and the next one is not overdue."""
        known = self._list
        return known is not None and known.is_fresh(at)

    def take(self, bundle: str) -> None:
        """Verify and keep a list; raises `VerificationFailed` for one older than, or other than, the one known."""
        with self._lock:
            found = self._read(bundle)
            found.require_not_before(self._list)
            if self._list is not None and found.number == self._list.number and found.issued_at < self._list.issued_at:
                return
            self._keep(bundle)
            self._list = found

    def is_due(self, orders: work.Orders, at: datetime) -> bool:
        """Whether the registry has a newer list, or the one known is about to be overdue."""
        known = self._list
        if known is not None and orders.revocations < known.number:
            log.warning("the registry knows %s revocations, this agent %s", orders.revocations, known.number)
        return known is None or known.number < orders.revocations or at >= known.issued_at + revocation_list.RENEWED * 2

    def require_fresh(self, at: datetime) -> None:
        """Raise `VerificationFailed` when the list is overdue: nothing new may start on it."""
        if not self.is_fresh(at):
            raise VerificationFailed(
                "the list of revocations is overdue, so nothing new may start",
                advice="Let the agent reach its registry; what serves already goes on under the last list.",
            )

    def require_usable(self, spec: object, at: datetime) -> None:
        """Raise `RevokedRefused` when a job's specification names revoked bytes."""
        verdict = self.allows(spec, at)
        if not verdict.holds:
            raise RevokedRefused(verdict.sentence, advice=verdict.advice)

    def allows(self, spec: object, at: datetime) -> Verdict:
        """Return whether work on what *spec* names may go on."""
        return self.book.forbids(digests_in(spec), at)

    def _read(self, bundle: str) -> SignedList:
        return revocation_list.read(bundle, self._root(), instance=self._instance)

    def _keep(self, bundle: str) -> None:
        draft = self._file.with_suffix(".new")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(bundle)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._file)
        folder = os.open(self._file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
