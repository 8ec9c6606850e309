# SPDX-License-Identifier: Apache-2.0
"""The trust root as it is now: a rotation changes it while processes run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from registry.signing.appointments import appointed
from registry.signing.record import PublicRecord
from registry.signing.trust import dumps, trusted_root
from registry.signing.verification import TrustRoot


class CurrentTrust:
    """What the authority's public record makes of whom to believe; parsed once for each record."""

    def __init__(self, record: Callable[[], PublicRecord]) -> None:
        """Take what returns the record in force."""
        self._record = record
        self._known: tuple[PublicRecord, Mapping[str, Any], TrustRoot] | None = None

    @property
    def document(self) -> Mapping[str, Any]:
        """``trusted_root.json``, as outsiders get it."""
        return self._current()[1]

    @property
    def links(self) -> Sequence[str]:
        """The signed steps from each trusted root to the next; their count is the number of the present one."""
        return self._current()[0].links

    @property
    def appointments(self) -> Sequence[str]:
        """The authority's signed words on who signs for the registry, oldest first."""
        return self._current()[0].appointments

    @property
    def root(self) -> TrustRoot:
        """The same, ready to verify with."""
        return self._current()[2]

    def _current(self) -> tuple[PublicRecord, Mapping[str, Any], TrustRoot]:
        record, known = self._record(), self._known
        if known is None or known[0] is not record:
            document = trusted_root(record)
            root = appointed(TrustRoot.load(dumps(document)), record.appointments, record.instance)
            known = self._known = (record, document, root)
        return known
