# SPDX-License-Identifier: Apache-2.0
"""Whose clocks a ledger's checkpoint was dated by: timestamps judged here, by certificates that the caller brings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from khatim.cli import output
from khatim.errors import Malformed

if TYPE_CHECKING:
    from audit.endorsed import Endorsed
    from registry.signing.clocks import Clock
    from registry.signing.ledger_time import CheckpointTime

NOBODY = "no timestamp lies there: when these entries were written, nobody attests"


def clocks_of(trusted_root: Path | None, outside: Sequence[Path]) -> list[Clock]:
    """Return the timestamp authorities of a trusted root, and those outside; raises `Malformed`."""
    if not (trusted_root or outside):
        return []
    from registry.signing import ledger_time
    from registry.signing.clocks import Clocks

    found = [ledger_time.outside_of(one) for one in outside]
    if trusted_root is None:
        return found
    try:
        own = Clocks.of(json.loads(trusted_root.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as wrong:
        raise Malformed(f"{trusted_root} is not a trusted root") from wrong
    return [*own.known.values(), *found]


def times_of(endorsed: Endorsed | None, clocks: Sequence[Clock]) -> tuple[CheckpointTime, ...]:
    """Return what the timestamps attest; raises `LedgerInvalid` for one that does not hold."""
    if endorsed is None or not endorsed.tokens:
        return ()
    from registry.signing import ledger_time

    return ledger_time.times_of(endorsed, clocks, datetime.now(UTC))


def say(times: Sequence[CheckpointTime]) -> None:
    """Say whose word the time is."""
    for one in times:
        output.say(one.told)
    if not times:
        output.say(NOBODY)
