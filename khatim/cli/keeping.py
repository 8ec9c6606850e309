# SPDX-License-Identifier: Apache-2.0
"""What ``--receipt FILE`` does after a command: the receipts of what it recorded, kept in a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from khatim.cli import output
from khatim.errors import Malformed, NotFound, Unavailable

if TYPE_CHECKING:
    from khatim.client import Client

_WAIT_S = 20.0


def keep(client: Client, events: Sequence[str], file: Path) -> None:
    """Write the receipts of *events* to *file*, a JSON list; what was done stays done if they cannot be had.

    Raises `Malformed` when the file cannot be written.
    """
    if not events:
        output.say("nothing was recorded, so there is no receipt")
        return
    found = []
    for event in dict.fromkeys(events):
        try:
            found.append(client.ledger.receipt(event, wait=_WAIT_S))
        except (NotFound, Unavailable):
            output.say(
                f"it is done, but has no place in the ledger yet; later: khatim ledger receipt {event} -o {file}"
            )
            return
    try:
        file.write_text(json.dumps([one.model_dump(mode="json") for one in found], indent=1) + "\n", encoding="utf-8")
    except OSError as wrong:
        raise Malformed(f"it is done, but {file} cannot be written: {wrong.strerror}") from wrong
    output.say(f"{file} holds {len(found)} receipts; check them: khatim ledger check-receipt {file} --vkey VKEY")
