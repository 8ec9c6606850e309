# SPDX-License-Identifier: Apache-2.0
"""Who besides the registry vouches for the ledger of a bundle: witnesses that cosigned it, and clocks that dated it.

The export is seconds old and its last checkpoint rarely witnessed yet.  So a bundle carries two: the one that its
manifest names, and the largest endorsed one; what stands between them is the registry's word, and is said to be.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from audit import endorsed
from audit.cosignatures import CosignatureVerifier, cosigned_by
from audit.tiles import CHECKPOINT
from audit.verify import ZipSource
from audit.walk import LedgerReport
from governance.reports.archive import Archive
from governance.reports.checks import text
from governance.reports.manifest import LEDGER
from khatim.errors import LedgerInvalid
from registry.signing import ledger_time
from registry.signing.bases import Circumstances
from registry.signing.clocks import Clock
from registry.signing.ledger_time import CheckpointTime


@dataclass(frozen=True, slots=True)
class Vouched:
    """The trusted *witnesses* (names) that cosigned, *quorum* of which were asked for, and what clocks attest.

    The first *witnessed* entries have the quorum; 0 when it was not met.
    """

    witnesses: frozenset[str]
    quorum: int
    witnessed: int
    times: tuple[CheckpointTime, ...]

    def around(self, index: int) -> Circumstances:
        """Return what is known around the statement that the entry at *index* names."""
        seen = self.witnesses if index < self.witnessed else frozenset[str]()
        return Circumstances(is_in_ledger=True, witnesses=seen, quorum=self.quorum)


def found(  # noqa: PLR0913, PLR0917 - a ledger, and whom the verifier trusts about it
    bundle: Archive, report: LedgerReport, vkeys: Sequence[str], quorum: int, clocks: Iterable[Clock], now: datetime
) -> Vouched:
    """Return who vouches for the verified ledger of *bundle*; raises `LedgerInvalid` with ``place``, `Malformed`."""
    source = ZipSource(bundle.zip, LEDGER)
    try:
        vouched = endorsed.check(source, endorsed.read(source), report)
        times = ledger_time.times_of(vouched, clocks, now)
        notes = [(text(bundle, LEDGER + CHECKPOINT), report.size)]
        notes += [(vouched.note, vouched.checkpoint.size)] if vouched else []
        witnesses, size = _seen(notes, [CosignatureVerifier.parse(vkey) for vkey in vkeys], max(quorum, 1))
    except LedgerInvalid as wrong:
        place = LEDGER + str(wrong.members.get("place", CHECKPOINT))
        raise LedgerInvalid(f"{place}: {wrong.detail}", place=place) from wrong
    return Vouched(witnesses, max(quorum, 1), size, times)


def _seen(
    notes: Iterable[tuple[str, int]], trusted: Sequence[CosignatureVerifier], quorum: int
) -> tuple[frozenset[str], int]:
    """Return who cosigned the larger one of the checkpoints that has the quorum, and its size; else anybody, and 0."""
    names = {one.vkey: one.name for one in trusted}
    anybody = frozenset[str]()
    for note, size in notes:
        seen = frozenset(names[vkey] for vkey in cosigned_by(note, trusted))
        if len(seen) >= quorum:
            return seen, size
        anybody |= seen
    return anybody, 0
