# SPDX-License-Identifier: Apache-2.0
"""``khatim waiting``: what waits for you."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from khatim.cli import output
from khatim.cli.connection import connected
from khatim.cli.output import Json, moment

if TYPE_CHECKING:
    from khatim.client import Client
    from khatim.wire.waiting import Waiting


def install(app: typer.Typer) -> None:
    """Add the command."""
    app.command("waiting")(connected(waiting))


def waiting(
    client: Client,
    *,
    follow: Annotated[bool, typer.Option("--follow", help="Go on, and say so whenever it changes.")] = False,
    as_json: Json = False,
) -> None:
    """List what waits for you: requests to decide, approvals that are lacking, findings that you own."""
    if not follow:
        _show(client.queue.get(), as_json=as_json)
        return
    for found in client.queue.follow():
        _show(found, as_json=as_json)


def _show(found: Waiting, *, as_json: bool) -> None:
    if as_json:
        output.dump(found.model_dump(mode="json"))
        return
    columns: output.Columns = {
        "what": lambda one: one.kind,
        "about": lambda one: one.title,
        "since": lambda one: moment(one.since),
        "due": lambda one: moment(one.due) if one.due else "",
        "answer": lambda one: one.command,
    }
    output.table(found.items, columns, none="Nothing waits for you.")
