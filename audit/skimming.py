# SPDX-License-Identifier: Apache-2.0
"""Events read for the little that a verification needs of them, and the rest checked to be JSON.  The door of msgspec.

What is skipped is checked like what is read (brackets, numbers, escapes), without becoming an object; that it is UTF-8
is checked for all at once.  `audit.entries` accepts all that is accepted here, and a little more.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from khatim.errors import Malformed


class Skimmed(msgspec.Struct, gc=False):
    """What an event says of itself: its moment and kind as they are written, and the payload that it keeps aside."""

    at: str
    kind: str
    payload_digest: object = None


_DECODE = msgspec.json.Decoder(Skimmed).decode


def skim(bodies: Sequence[bytes]) -> list[Skimmed]:
    """Read each body by itself; raises `Malformed` where one is no JSON object, or has no moment or kind in text."""
    try:
        found = list(map(_DECODE, bodies))
        # A body that was read ends in "}": no character can reach from one into the next.
        b"".join(bodies).decode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as wrong:
        raise Malformed(f"an event is not JSON with a moment and a kind: {wrong}") from wrong
    return found
