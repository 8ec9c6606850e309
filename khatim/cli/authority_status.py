# SPDX-License-Identifier: Apache-2.0
"""What `khatim authority status` and `compromise` tell: generations, their ends, where keys lie, what is affected."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from khatim.errors import KhatimError, Misconfigured

if TYPE_CHECKING:
    from rich.console import Console

    from gateway.custody import Custody
    from registry.signing.record import Generation, PublicRecord

_SOON = timedelta(days=90)  # a ceremony needs people, and people need notice
LOCAL = "local mode: the keys are readable by the account of the server, and whoever has that account can sign"
PRODUCTION = "production"


def report(held: Custody, at: datetime) -> dict[str, Any]:
    """Return the state of the authority as JSON values; raises `Misconfigured` when there is none."""
    from gateway import custody
    from registry.signing.record import PURPOSES

    record, tested = held.record, custody.last_test(held)
    listed = {name: record.generations(name) for name in PURPOSES} | {"roots": record.roots}
    return {
        "instance": record.instance,
        "mode": LOCAL if held.settings.is_local else PRODUCTION,
        "place": _place(held),
        "generations": {name: [_generation(one) for one in ones] for name, ones in listed.items()},
        "recovery_test": {"at": tested[0], "missing": tested[1]},
        "warnings": [*_ending(record, at), *(fault.detail for fault in held.faults())],
        "history": [output_of(change) for change in record.history],
    }


def show(console: Console, found: dict[str, Any]) -> None:
    """Print a report for people."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("purpose", "key", "since", "until", "certificate ends"):
        table.add_column(title)
    for purpose, ones in found["generations"].items():
        for one in ones:
            until = f"{one['end']} (stolen)" if one["cut_off"] else one["end"] or "in use"
            table.add_row(purpose.replace("_", "-"), one["key"], one["start"], until, one["expires"])
    console.print(Text(f"{found['instance']}: {found['mode']}"), soft_wrap=True)
    console.print(Text(f"keys: {found['place']}"), soft_wrap=True)
    console.print(table)
    test = found["recovery_test"]
    console.print(Text(f"recovery test: {test['at'] or test['missing']}"), soft_wrap=True)
    for warning in found["warnings"]:
        console.print(Text(f"warning: {warning}", style="yellow"), soft_wrap=True)


def affected_in(held: Custody) -> list[dict[str, Any]]:
    """Return the signatures in all logs of the authority that rest on a stolen key after its cut-off."""
    from registry.signing.affected import affected, witnessed

    opened, found = held.open(), []
    try:
        for log in opened.record.signature_log:
            origin = opened.record.origin_of(log)
            shard = opened.log_of(origin)
            for one in affected(opened.record, witnessed(origin, shard.entries())):
                seen = one.signature
                found.append(
                    {"log": origin, "index": seen.index, "identity": seen.identity, "at": seen.at.isoformat(),
                     "key": one.key, "cut_off": one.cut_off}
                )  # fmt: skip
            shard.close()
    finally:
        opened.close()
    return found


def last_ended(record: PublicRecord, named: str) -> str:
    """Return the key that a name means: itself, or for a purpose the last one that ended."""
    from registry.signing.record import PURPOSES

    if named.replace("-", "_") not in PURPOSES:
        return named
    generations = record.generations(named)
    if len(generations) == 1:
        raise Misconfigured(
            f"{generations[0].key} is still in use", advice=f"Rotate first: khatim authority rotate {named}."
        )
    return generations[-2].key


def output_of(change: Any) -> dict[str, Any]:
    """Return one change of the history as JSON values."""
    from dataclasses import asdict

    return {key: value for key, value in asdict(change).items() if value}


def _place(held: Custody) -> str:
    try:
        return held.keys().place
    except KhatimError as wrong:
        return f"not to be opened: {wrong.detail}"


def _generation(one: Generation) -> dict[str, Any]:
    expires = one.certificates[0].not_valid_after_utc.isoformat() if one.chain else ""
    named = {"key": one.key, "start": one.start, "end": one.end, "cut_off": one.cut_off, "expires": expires}
    return {**named, "fingerprint": one.fingerprint}


def _ending(record: PublicRecord, at: datetime) -> Iterator[str]:
    for one, advice in (
        (record.roots[-1], "ceremony new-root"),
        (record.signing[-1], "ceremony renew signing"),
        (record.timestamping[-1], "ceremony renew timestamping"),
    ):
        ends = one.certificates[0].not_valid_after_utc
        if ends <= at:
            yield f"{one.key} ran out at {ends.isoformat()}: khatim authority {advice}"
        elif ends <= at + _SOON:
            yield f"{one.key} runs out at {ends.isoformat()}, in {(ends - at).days} days: khatim authority {advice}"
