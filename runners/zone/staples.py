# SPDX-License-Identifier: Apache-2.0
"""By what an agent lets its endpoints answer: the registry's signed status, kept on disk, and what was agreed for each.

Time is the registry's, carried on by a clock that nobody can set; only an agent that started alone must believe its
machine's clock, and then not below what it saw before.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from khatim.errors import KhatimError
from khatim.wire import work
from policies.runtime import RuntimeEvent, Terms
from registry.signing import endpoint_status
from registry.signing.endpoint_status import Endpoint, SignedStatus
from registry.signing.verification import TrustRoot
from runners.zone.connection import durably

log = logging.getLogger("khatim.runners.staples")
FILE, SEEN = "endpoints.sigstore.json", "seen.json"
REACHED: Final = timedelta(seconds=10)
"""For how long after its last answer the registry counts as reached: agents ask it once a second."""
TOLERANCE: Final = timedelta(seconds=30)
"""By how much this machine's clock may differ from the registry's before it counts as uncertain."""
_MARKED: Final = timedelta(minutes=1)
_WORDS: Final = {
    RuntimeEvent.EXPIRED: "its approvals ran until",
    RuntimeEvent.UNREACHABLE: "the registry does not answer, and its signed status is of",
    RuntimeEvent.CLOCK_UNCERTAIN: "the clock of this machine cannot be trusted since",
}


def running() -> float:
    """Return seconds that only pass: also while the machine sleeps, and whoever sets its clock."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(frozen=True, slots=True)
class _Heard:
    """The registry's time as it was heard, and when that was by the clock that only runs."""

    at: datetime
    since: float


class Staples:
    """Keeps the newest status that this agent has verified.  Thread-safe."""

    def __init__(  # noqa: PLR0913 - where it is kept, whose it must be, and two clocks
        self,
        folder: Path,
        root: Callable[[], TrustRoot],
        *,
        instance: str,
        zone: str,
        wall: Callable[[], datetime],
        passed: Callable[[], float] = running,
    ) -> None:
        """Read what *folder* keeps; what does not verify counts as nothing, so that nothing answers by it."""
        self._folder = folder
        self._root = root
        self._instance = instance
        self._zone = zone
        self._wall = wall
        self._passed = passed
        self._lock = threading.Lock()
        self._mark = ""
        self._heard: _Heard | None = None
        self._uncertain: datetime | None = None
        self._status: SignedStatus | None = self._kept()
        self._seen = self._last_seen()

    def is_due(self, orders: work.Orders) -> bool:
        """Whether the registry has another status than is known, or the one known is about to be too old."""
        known = self._status
        renewed = timedelta(seconds=endpoint_status.RENEWED_S)
        return known is None or orders.status != self._mark or self.now() >= known.issued_at + renewed

    def take(self, signed: work.SignedStatus) -> None:
        """Verify and keep a status; an older one than is known changes nothing.  Raises `SignatureInvalid`."""
        with self._lock:
            found = self._read(signed.bundle)
            if self._status is not None and found.issued_at < self._status.issued_at:
                return
            durably(self._folder / FILE, signed.bundle.encode())
            self._status, self._mark = found, signed.mark

    def hear(self, at: datetime) -> None:
        """Take the registry's time from an answer that came just now."""
        with self._lock:
            self._heard = _Heard(at, self._passed())
            is_off = abs(self._wall() - at) > TOLERANCE
            self._uncertain = (self._uncertain or at) if is_off else None

    def now(self) -> datetime:
        """Return the time by which is judged: the registry's, carried on; this machine's when it was never heard."""
        heard = self._heard
        return self._wall() if heard is None else heard.at + timedelta(seconds=self._passed() - heard.since)

    def remember(self) -> None:
        """Keep the time on disk, once a minute: a clock that is set back over a restart must not give time."""
        at = self.now()
        # What was kept by a clock that ran ahead gives way to the registry's time, and to nothing else.
        is_ahead = self._seen is not None and self._heard is not None and at < self._seen
        if self._seen is None or at >= self._seen + _MARKED or is_ahead:
            durably(self._folder / SEEN, json.dumps({"at": at.isoformat()}).encode())
            self._seen = at

    def why_silent(self, deployment: str, agreed: Mapping[str, Any]) -> str:
        """Return why a deployment may not answer now, *agreed* being what it was deployed under; empty when it may."""
        status, is_reached, at = self._status, self._is_reached(), self.now()
        entry = status.endpoints.get(deployment) if status else None
        if status is None or entry is None:
            # What was verified a moment ago is not in the status yet.
            return "" if is_reached else "the registry does not answer, and nothing signed says that this may serve"
        if dict(entry.runtime) != dict(agreed):
            return "the signed status names other terms than it was deployed under"
        terms = Terms.parse(entry.runtime)
        for event, since in self._happening(status, entry, at, is_reached=is_reached):
            if not terms.effect(event, since=since, at=at).is_serving:
                return f"{_WORDS[event]} {since:%Y-%m-%d %H:%M:%S} UTC"
        return ""

    def was_serving(self, deployment: str) -> bool:
        """Whether the status says that a deployment serves."""
        entry = self._status.endpoints.get(deployment) if self._status else None
        return entry is not None and entry.state == "serving"

    def _happening(
        self, status: SignedStatus, entry: Endpoint, at: datetime, *, is_reached: bool
    ) -> Iterator[tuple[RuntimeEvent, datetime]]:
        if entry.approved_until is not None and at >= entry.approved_until:
            yield RuntimeEvent.EXPIRED, entry.approved_until
        if not is_reached:
            yield RuntimeEvent.UNREACHABLE, status.issued_at
        if self._heard is None:
            floor = max(status.issued_at, self._seen or status.issued_at)
            if at < floor - TOLERANCE:
                yield RuntimeEvent.CLOCK_UNCERTAIN, floor
        elif self._uncertain is not None:
            yield RuntimeEvent.CLOCK_UNCERTAIN, self._uncertain

    def _is_reached(self) -> bool:
        heard = self._heard
        return heard is not None and self._passed() - heard.since <= REACHED.total_seconds()

    def _kept(self) -> SignedStatus | None:
        try:
            return self._read((self._folder / FILE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (KhatimError, OSError, UnicodeDecodeError) as wrong:
            log.warning("the status of endpoints that is kept does not verify: %s", wrong)
            return None

    def _last_seen(self) -> datetime | None:
        try:
            return datetime.fromisoformat(json.loads((self._folder / SEEN).read_bytes())["at"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as wrong:
            log.warning("the time that was kept cannot be read: %s", wrong)
            return None

    def _read(self, bundle: str) -> SignedStatus:
        return endpoint_status.read(bundle, self._root(), instance=self._instance, zone=self._zone)
