# SPDX-License-Identifier: Apache-2.0
"""Commands about receipts: fetch the proof that an entry stands in the ledger, and check one without any server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from khatim.cli import output
from khatim.cli.connection import connected
from khatim.cli.demands import Policy, Quorum, Witnesses, policy_of
from khatim.cli.ledger_sources import opened
from khatim.cli.output import Json
from khatim.errors import Malformed

if TYPE_CHECKING:
    from audit.receipts import CheckedReceipt, Fate
    from khatim.client import Client
    from khatim.wire import proofs


def install(app: typer.Typer) -> None:
    """Add the commands to those about the ledger."""
    app.command("receipt")(ledger_receipt)
    app.command("check-receipt")(ledger_check_receipt)


@connected
def ledger_receipt(
    client: Client,
    of: Annotated[str, typer.Argument(help="An index, or an event that a Khatim-Events header named.", metavar="OF")],
    wait: Annotated[float, typer.Option(min=0, max=30, help="Seconds to wait until it has its place.")] = 5,
    to: Annotated[Path | None, typer.Option("--output", "-o", help="The file to write; by default the screen.")] = None,
) -> None:
    """Fetch the proof that an entry stands in the ledger; keep it, and check it without any server."""
    found = client.ledger.receipt(int(of) if of.isdecimal() else of, wait=wait)
    if to is None:
        output.dump(found.model_dump(mode="json"))
        return
    to.write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
    output.say(f"{to} holds the receipt of entry {found.index}; check it: khatim ledger check-receipt {to} --vkey VKEY")


def ledger_check_receipt(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, metavar="FILE")],
    vkey: Annotated[str, typer.Option("--vkey", help="The ledger's verifier key, as you got it beforehand.")],
    witness: Witnesses = [],
    quorum: Quorum = 1,
    policy: Policy = None,
    ledger: Annotated[
        str,
        typer.Option(
            help="A copy of the ledger (folder, zip, address): whether the entry is still in it.", metavar="SOURCE"
        ),
    ] = "",
    *,
    as_json: Json = False,
) -> None:
    """Check receipts offline: the entry's bytes, their place in the tree, the signed checkpoint, its witnesses.

    A key of an earlier epoch leads to the later ones; with --ledger also a receipt of an epoch that was lost is told.
    """
    from audit import receipts

    rules = policy_of(witness, quorum, policy)
    given = _receipts_in(file)
    found = [receipts.check(one, vkey, rules) for one in (given if isinstance(given, list) else [given])]
    fates = _fates(found, ledger, vkey) if ledger else [None] * len(found)
    if as_json:
        told = [_plain(one, fate) for one, fate in zip(found, fates, strict=True)]
        output.dump(told if isinstance(given, list) else told[0])
        return
    for one, fate in zip(found, fates, strict=True):
        event, names = dict(one.entry.event), _names(one)
        output.say(
            f"holds: entry {one.entry.index} ({event.get('kind')}, {event.get('resource')}, {event.get('at')}) stands "
            f"in {one.checkpoint.origin} of {one.checkpoint.size} entries; witnessed by {', '.join(names) or 'nobody'}"
        )
        if fate:
            output.say(fate.told)


def _receipts_in(file: Path) -> proofs.Receipt | list[proofs.Receipt]:
    """Return the receipt of a file, or the list of them, as `keeping.keep` writes it."""
    from pydantic import TypeAdapter, ValidationError

    from khatim.wire import proofs

    try:
        text = file.read_bytes()
        if text.lstrip().startswith(b"["):
            return TypeAdapter(list[proofs.Receipt]).validate_json(text)
        return proofs.Receipt.model_validate_json(text)
    except (ValidationError, OSError) as wrong:
        raise Malformed(f"{file} is not a receipt") from wrong


def _fates(found: Sequence[CheckedReceipt], source: str, vkey: str) -> list[Fate | None]:
    from audit import receipts
    from audit.verify import verify_ledger

    with opened(source, "", "", Path()) as files:
        report = verify_ledger(files, vkey)
        return [receipts.fate_of(one, files, report) for one in found]


def _names(one: CheckedReceipt) -> list[str]:
    return sorted({vkey.partition("+")[0] for vkey in one.witnessed.by})


def _plain(one: CheckedReceipt, fate: Fate | None) -> dict[str, Any]:
    told = {"index": one.entry.index, "size": one.checkpoint.size, "origin": one.checkpoint.origin}
    return {**told, "event": dict(one.entry.event), "witnesses": _names(one), "fate": fate.told if fate else None}
