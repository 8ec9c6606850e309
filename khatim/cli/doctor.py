# SPDX-License-Identifier: Apache-2.0
"""``khatim doctor``: what an installation lacks, and what to do about it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import typer
from rich.text import Text

from khatim.cli import output
from khatim.cli.connection import Data
from khatim.cli.output import Json

_MARKS = {"well": ("✓", "green"), "attention": ("!", "yellow"), "ill": ("✗", "bold red")}


def install(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(data: Data = Path(".khatim"), *, as_json: Json = False) -> None:
    """Look at server, folders, disk, clock, TLS, database, ledger, agents, witnesses, keys and sign-in.

    It runs beside the installation's folder, with its settings, and changes nothing.  The exit status is 1 when
    something is ill.
    """
    from gateway import doctor as looking
    from khatim import settings

    found = looking.examine(settings.load(data=data.resolve()), datetime.now(UTC))
    if as_json:
        output.dump([{"name": one.name, "health": one.health, "says": one.says, "advice": one.advice} for one in found])
    else:
        screen = output.console()
        for one in found:
            mark, style = _MARKS[one.health]
            screen.print(Text.assemble((f"{mark} ", style), (f"{one.name:10} ", "bold"), one.says), soft_wrap=True)
            if one.advice:
                screen.print(Text(f"  {'':10} {one.advice}", style="dim"), soft_wrap=True)
    if any(one.health == looking.Health.ILL for one in found):
        raise typer.Exit(1)
