# SPDX-License-Identifier: Apache-2.0
"""A second timestamp, by an authority that the operator does not run (RFC 3161 over HTTP).

Whether nothing is signed while it is away is the installation's decision: *is_required*.  What it answers is verified
before it goes into a bundle, by the certificates that the operator pinned.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import httpx

from khatim.errors import Malformed, SignatureInvalid, Unavailable
from registry.signing import clocks, timestamp
from registry.signing.clocks import Clock

_NONCE_BITS = 64
_CLIENT_ERROR = 400
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
        query = timestamp.request(signature, nonce=secrets.randbits(_NONCE_BITS))
        headers = {"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"}
        try:
            answer = http.post(clock.address, content=query, headers=headers)
        except httpx.HTTPError as wrong:
            raise _away(clock, f"does not answer ({type(wrong).__name__})") from wrong
        if answer.status_code >= _CLIENT_ERROR:
            raise _away(clock, f"answered with status {answer.status_code}")
        try:
            response = timestamp.granted(answer.content)
            other = clocks.time_of(clock, response, signature)
        except (Malformed, SignatureInvalid) as wrong:
            raise _away(clock, f"did not return a timestamp that holds: {wrong.detail}") from wrong
        if abs(other - at) > clocks.TOLERANCE:
            raise _away(clock, f"is {abs(other - at).total_seconds():.0f} seconds off from the signer's clock")
        return response


def _away(clock: Clock, what: str) -> Unavailable:
    return Unavailable(f"the timestamp authority outside, {clock.address}, {what}", advice=_ADVICE)


NOBODY = OutsideClock()
