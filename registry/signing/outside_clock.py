# SPDX-License-Identifier: Apache-2.0
"""A second timestamp, by an authority that the operator does not run (RFC 3161 over HTTP).

Whether nothing is signed while it is away is the installation's decision: *is_required*.  What it answers is verified
before it goes into a bundle, by the certificates that the operator pinned.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import httpx

from khatim.errors import Unavailable
from registry.signing import clocks, stamping
from registry.signing.clocks import Clock

_ADVICE = (
    "Nothing was signed. Try again in a moment; to sign without it meanwhile, set "
    "KHATIM_SIGNING__OUTSIDE_TSA__REQUIRED=false (verification then says: time attested by the operator only)."
)
_log = logging.getLogger("khatim.signing")


@dataclass(frozen=True)
class OutsideClock:
    """Asks one authority outside for timestamps; with no *clock* there is nobody to ask."""

    clock: Clock | None = None
    http: httpx.Client | None = None
    is_required: bool = True
    say: Callable[[str], None] = _log.warning

    def stamps(self, signature: bytes, at: datetime) -> tuple[bytes, ...]:
        """Return the timestamp response over *signature*, which was made at *at* by the operator's clock.

        Nothing when nobody is to be asked, or when it is away and not required, which is said in the log.  Raises
        `Unavailable` when it is required.
        """
        if self.clock is None or self.http is None:
            return ()
        try:
            return (self._asked(self.clock, self.http, signature, at),)
        except Unavailable as away:
            if self.is_required:
                raise
            self.say(f"signed without a second timestamp: {away.detail}")
            return ()

    def _asked(self, clock: Clock, http: httpx.Client, signature: bytes, at: datetime) -> bytes:
        who = f"the timestamp authority outside, {clock.address},"
        try:
            response = stamping.stamped(stamping.over_http(clock.address, http), signature, who, clock)
        except Unavailable as away:
            raise Unavailable(away.detail, advice=_ADVICE) from away
        off = abs(stamping.read(response, signature).tst_info.gen_time - at)
        if off > clocks.TOLERANCE:
            raise Unavailable(f"{who} is {off.total_seconds():.0f} seconds off from the signer's clock", advice=_ADVICE)
        return response


NOBODY = OutsideClock()
