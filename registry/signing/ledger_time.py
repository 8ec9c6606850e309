# SPDX-License-Identifier: Apache-2.0
"""When a checkpoint of the ledger was there, by the timestamps that came for it, and whose word that is.

A timestamp is about the note as the ledger signed it.  The operator's own clock says no more than the operator does;
one outside makes the time somebody else's word.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from rfc3161_client import TimeStampResponse

from audit.endorsed import OWN_CLOCK, Endorsed
from khatim.errors import LedgerInvalid, Malformed, SignatureInvalid
from registry.signing import stamping
from registry.signing.bases import OPERATORS_TIME
from registry.signing.binding import Window
from registry.signing.clocks import Clock, clock_of
from registry.signing.encoding import rfc3339

TOLERANCE = timedelta(minutes=5)
"""By how much honest clocks may differ: the last entry's, the authority's, the verifier's."""


@dataclass(frozen=True, slots=True)
class CheckpointTime:
    """One timestamp over the first *size* entries, named *who* where it lies.

    *clock* is the address of the authority whose certificates hold; empty when the verifier knows none that could tell,
    and then *at* is None and nothing is attested.
    """

    who: str
    size: int
    at: datetime | None = None
    clock: str = ""
    is_outside: bool = False

    @property
    def told(self) -> str:
        """What it says, in words."""
        if self.at is None:
            return f"the timestamp by {self.who} was not judged: its certificates are not known here"
        whose = f"time attested by {self.clock}, outside" if self.is_outside else f"{OPERATORS_TIME} ({self.clock})"
        return f"{whose}: the first {self.size} entries were there by {self.at:%Y-%m-%d %H:%M:%S} UTC"


def times_of(endorsed: Endorsed | None, clocks: Iterable[Clock], now: datetime) -> tuple[CheckpointTime, ...]:
    """Return what the timestamps of a checkpoint attest, in the order in which they lie there.

    Each must be over this very checkpoint, not before its last entry and not after *now*.  One that the verifier could
    recognise and that holds by none of *clocks* is somebody else's, and refused: the operator's own wherever any clock
    is known, another's wherever one outside is.  Raises `LedgerInvalid` with the place ``timestamp <who>``.
    """
    known = list(clocks)
    if endorsed is None:
        return ()
    return tuple(_time(endorsed, who, token, known, now) for who, token in endorsed.tokens)


def _time(endorsed: Endorsed, who: str, token: bytes, known: list[Clock], now: datetime) -> CheckpointTime:
    try:
        response = stamping.read(token, endorsed.stamped)
        found = _judged(endorsed, who, response, known)
        at = found.at or response.tst_info.gen_time.astimezone(UTC)
        _require_plausible(at, endorsed.after, now)
    except SignatureInvalid as wrong:
        raise LedgerInvalid(f"the timestamp by {who}: {wrong.detail}", place=f"timestamp {who}") from wrong
    return found


def _judged(endorsed: Endorsed, who: str, response: TimeStampResponse, known: list[Clock]) -> CheckpointTime:
    size = endorsed.checkpoint.size
    for clock in known:
        with suppress(SignatureInvalid):
            at = clock.verified(response, endorsed.stamped)
            return CheckpointTime(who, size, at, clock.address, clock.is_outside)
    if known and (who == OWN_CLOCK or any(one.is_outside for one in known)):
        raise SignatureInvalid("no timestamp authority that you trust gave it")
    return CheckpointTime(who, size)


def _require_plausible(at: datetime, after: datetime, now: datetime) -> None:
    if at < after - TOLERANCE:
        raise SignatureInvalid(f"it says {rfc3339(at)}, before the last entry that it covers ({rfc3339(after)})")
    if at > now + TOLERANCE:
        raise SignatureInvalid(f"it says {rfc3339(at)}, which is yet to come")


def outside_of(file: Path, address: str = "") -> Clock:
    """Return the authority outside whose certificates are in *file* (PEM: its own first, its root last).

    It is called *address*, or by the name in its own certificate.  Raises `Malformed`.
    """
    try:
        chain = x509.load_pem_x509_certificates(file.read_bytes())
    except (OSError, ValueError) as wrong:
        raise Malformed(f"{file} holds no certificates (PEM)") from wrong
    return clock_of(address or chain[0].subject.rfc4514_string(), chain, Window(None, None))
