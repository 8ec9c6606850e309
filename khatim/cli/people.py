# SPDX-License-Identifier: Apache-2.0
"""Commands of privacy officers: who stands behind a reference, and erasing what is known about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from khatim.cli import output
from khatim.cli.connection import connected, writing
from khatim.cli.output import Json, moment

if TYPE_CHECKING:
    from khatim.client import Client

people_app = typer.Typer(help="People behind references.", no_args_is_help=True)
Ref = Annotated[str, typer.Argument(help="The reference of a person, as the ledger has it: p-…", metavar="REF")]
Because = Annotated[str, typer.Option("--because", help="Why; it stands in the ledger, so name nobody.")]


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(people_app, name="people")


@people_app.command("show")
@writing
def show(client: Client, ref: Ref, because: Because, *, as_json: Json = False) -> None:
    """Show who stands behind a reference; that you looked, and why, is recorded first."""
    output.record(client.people.show(ref, because=because), as_json=as_json)


@people_app.command("erase")
@writing
def erase(
    client: Client,
    ref: Ref,
    legal_basis: Annotated[str, typer.Option("--legal-basis", help="The article it rests on: 'PDPL Art 15'.")],
    because: Because,
    *,
    as_json: Json = False,
) -> None:
    """Ask for the erasure of a person; somebody else approves it."""
    asked = client.people.erase(ref, legal_basis=legal_basis, because=because)
    output.record(asked, as_json=as_json)
    if not as_json:
        output.say(f"nothing is erased until somebody else approves it: khatim people approve {asked.id}")


@people_app.command("approve")
@writing
def approve(
    client: Client,
    name: Annotated[str, typer.Argument(help="The id of an erasure.", metavar="ID")],
    *,
    as_json: Json = False,
) -> None:
    """Approve an erasure that somebody else asked for, and do it: nothing brings the record back."""
    output.record(client.people.approve(name), as_json=as_json)


@people_app.command("erasures")
@connected
def erasures(client: Client, *, as_json: Json = False) -> None:
    """List the erasures that were asked for, the newest first."""
    output.listing(
        client.people.erasures(),
        {
            "id": lambda one: one.id,
            "person": lambda one: one.person,
            "state": lambda one: one.state,
            "legal basis": lambda one: one.legal_basis,
            "asked by": lambda one: one.requested_by,
            "approved by": lambda one: one.approved_by or "",
            "asked": lambda one: moment(one.requested_at),
        },
        as_json=as_json,
        none="No erasures. Ask for one: khatim people erase REF --legal-basis … --because …",
    )
