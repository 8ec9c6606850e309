# SPDX-License-Identifier: Apache-2.0
"""Commands that bring a read-only ledger back: look, ask, and let somebody else confirm."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from khatim.cli import output
from khatim.cli.output import Json

if TYPE_CHECKING:
    from audit.recovery import Plan

recover_app = typer.Typer(help="Bring a ledger back that lost its end (after a restore).", no_args_is_help=True)
Data = Annotated[Path, typer.Option("--data", envvar="KHATIM_DATA", help="The installation's folder.")]
Source = Annotated[
    str | None,
    typer.Option(
        "--from", help="A copy of the ledger (folder, zip, engagement, address) or a folder of kept receipts."
    ),
]
Token = Annotated[str, typer.Option("--token", envvar="KHATIM_TOKEN", help="Your own bearer token.")]


@recover_app.command("plan")
def recover_plan(data: Data = Path(".khatim"), source: Source = None, *, as_json: Json = False) -> None:
    """Say what was lost and what a recovery would do; changes nothing."""
    from gateway import recovering
    from khatim import settings

    with recovering.opened(settings.load(data=data.resolve())) as desk:
        _show(desk.plan(source), as_json=as_json)


@recover_app.command("request")
def recover_request(
    token: Token,
    because: Annotated[str, typer.Option(help="Why: stands in the ledger for ever.")],
    data: Data = Path(".khatim"),
    source: Source = None,
    *,
    as_json: Json = False,
) -> None:
    """Ask for the recovery that the plan shows; another person confirms it."""
    from gateway import recovering
    from khatim import settings

    with recovering.opened(settings.load(data=data.resolve())) as desk:
        number, plan = desk.request(token, source, because=because)
    if as_json:
        output.dump({"recovery": str(number), **output.plain(plan)})
        return
    _show(plan, as_json=False)
    again = f" --from {source}" if source else ""
    output.say(f"Asked for. A second person confirms it: khatim ledger recover confirm {number}{again}")


@recover_app.command("confirm")
def recover_confirm(
    number: Annotated[uuid.UUID, typer.Argument(metavar="RECOVERY")],
    token: Token,
    data: Data = Path(".khatim"),
    source: Source = None,
    *,
    as_json: Json = False,
) -> None:
    """Confirm a recovery that somebody else asked for, and carry it out."""
    from gateway import recovering
    from khatim import settings

    with recovering.opened(settings.load(data=data.resolve())) as desk:
        reached, plan = desk.confirm(token, number, source)
    if as_json:
        output.dump({"origin": reached.origin, "size": reached.size, "root": reached.root.hex(), "way": plan.way.value})
        return
    output.say(f"The ledger {reached.origin} goes on from size {reached.size}.")


def _show(plan: Plan, *, as_json: bool) -> None:
    if as_json:
        output.dump(output.plain(plan))
        return
    if plan.way.value == "nothing":
        output.say(f"{plan.origin} has {plan.size} entries and extends everything known outside: nothing to recover.")
        return
    output.say(f"{plan.origin} has {plan.size} entries; {plan.keeper} holds a checkpoint of {plan.known_size}.")
    output.say(f"Missing: entries {plan.lost_from} to {plan.lost_to - 1} ({plan.lost_to - plan.lost_from}).")
    if plan.way.value == "import":
        output.say("They lead to that checkpoint, and would be put back as they were; no new epoch is needed.")
    else:
        output.say(f"They would stay lost. The ledger would go on as {plan.next_origin}, key {plan.next_vkey}.")
    output.say("What the lost entries describe is not in the restored tables either: do it again, or restore further.")
