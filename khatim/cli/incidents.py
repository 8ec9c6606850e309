# SPDX-License-Identifier: Apache-2.0
"""Commands of incidents."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from khatim.cli import output
from khatim.cli.connection import connected, writing
from khatim.cli.output import Json, moment

if TYPE_CHECKING:
    from khatim.client import Client

incident_app = typer.Typer(help="What happened, what must be done about it by when.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(metavar="ID")]
At = Annotated[str, typer.Option(help="ISO 8601, as 2026-11-23T08:30+04:00; now when it is left out.")]


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(incident_app, name="incident")


@incident_app.command("open")
@writing
def incident_open(
    client: Client,
    about: Annotated[str, typer.Argument(help="version:NAMESPACE/NAME@NUMBER or deployment:ID.", metavar="ABOUT")],
    kind: Annotated[str, typer.Option("--kind", help="personal-data-breach, model-malfunction, security …")],
    summary: Annotated[str, typer.Option("--summary", help="What happened; it names no people.")],
    aware_at: At = "",
    owner: Annotated[str, typer.Option("--owner", help="Who answers for it; you, else.")] = "",
    *,
    suspend: Annotated[bool, typer.Option("--suspend", help="Its approvals do not count until then.")] = False,
    as_json: Json = False,
) -> None:
    """Tell of an incident; its duties run from when you were aware of it."""
    found = client.incidents.open(
        about, kind=kind, summary=summary, aware_at=_time(aware_at), owner=owner, suspend=suspend
    )
    output.record(found, as_json=as_json)


@incident_app.command("list")
@connected
def incident_list(client: Client, *, as_json: Json = False) -> None:
    """List incidents, newest first."""
    output.listing(
        client.incidents.list(),
        {
            "id": lambda one: one.id,
            "state": lambda one: one.state,
            "kind": lambda one: one.kind,
            "about": lambda one: one.about,
            "aware": lambda one: moment(one.aware_at),
            "to do": lambda one: ", ".join(duty["id"] for duty in one.duties if "doneAt" not in duty),
            "owner": lambda one: one.owner,
        },
        as_json=as_json,
        none="Nothing has happened.",
    )


@incident_app.command("show")
@connected
def incident_show(client: Client, name: Id, *, as_json: Json = False) -> None:
    """Show one incident with its duties."""
    output.record(client.incidents.get(name), as_json=as_json)


@incident_app.command("done")
@writing
def incident_done(
    client: Client,
    name: Id,
    duty: Annotated[str, typer.Argument(help="The duty, by its id.", metavar="DUTY")],
    said: Annotated[str, typer.Option("--said", help="How it was done, and where that is to be seen.")],
    at: At = "",
    *,
    as_json: Json = False,
) -> None:
    """Say how a duty was done."""
    output.record(client.incidents.fulfil(name, duty, said=said, done_at=_time(at)), as_json=as_json)


@incident_app.command("close")
@writing
def incident_close(
    client: Client,
    name: Id,
    because: Annotated[str, typer.Option("--because", help="Why; it stands in the ledger, so name nobody.")],
    *,
    as_json: Json = False,
) -> None:
    """Close an incident whose duties are done, and that somebody else opened."""
    output.record(client.incidents.close(name, because=because), as_json=as_json)


def _time(text: str) -> datetime | None:
    return output.moment_of(text, naive=None) if text else None
