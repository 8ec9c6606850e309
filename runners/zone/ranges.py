# SPDX-License-Identifier: Apache-2.0
"""Byte ranges of HTTP (RFC 9110, section 14), as far as the zone door honours them: one span."""

from __future__ import annotations

import re

from khatim.errors import Malformed

_ONE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})\Z", re.ASCII)


def span_of(header: str, size: int) -> tuple[int, int] | None:
    """Return (start, stop) of the one span asked for, None for the whole; raises `Malformed` if nothing is in it.

    A header in another unit, of several spans or wrong in itself asks for the whole (RFC 9110 14.2: MAY ignore).
    """
    found = _ONE.match(header.replace(" ", ""))
    if not found or found.group(1) == found.group(2) == "":
        return None
    first, last = found.groups()
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None
    if start >= stop:
        raise Malformed(f"the range holds no byte of this blob of {size} bytes", size=size)
    return start, stop
