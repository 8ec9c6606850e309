# SPDX-License-Identifier: Apache-2.0
"""Commands of accounts that belong to one natural person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from khatim.cli import output
from khatim.cli.accessing import Because, Id, Ref, access_app
from khatim.cli.connection import connected, writing
from khatim.cli.output import Json, moment

if TYPE_CHECKING:
    from khatim.client import Client

link_app = typer.Typer(help="Accounts of one natural person: duties are separated by person.", no_args_is_help=True)


def install(app: typer.Typer) -> None:
    """Add the group to that of access, which is in *app* already."""
    del app
    access_app.add_typer(link_app, name="link")


@link_app.command("request")
@writing
def request(
    client: Client,
    account: Ref,
    person: Annotated[str, typer.Argument(help="Another account of the same person.")],
    because: Because,
    *,
    as_json: Json = False,
) -> None:
    """Say that two accounts are one person's; somebody else approves."""
    found = client.access.link(account, person, because=because)
    output.record(found, as_json=as_json)
    if not as_json:
        output.say(f"it counts when somebody else approves: khatim access link approve {found.id}")


@link_app.command("approve")
@writing
def approve(client: Client, name: Id, because: Because, *, as_json: Json = False) -> None:
    """Let two accounts count as one person's from the next decision on."""
    output.record(client.access.approve_link(name, because=because), as_json=as_json)


@link_app.command("release")
@writing
def release(client: Client, name: Id, because: Because, *, as_json: Json = False) -> None:
    """Ask that two accounts count as two people again; as a second person, let them."""
    output.record(client.access.release_link(name, because=because), as_json=as_json)


@link_app.command("list")
@connected
def list_(client: Client, *, as_json: Json = False) -> None:
    """List the links, the newest first, whatever their state."""
    output.listing(
        client.access.links(),
        {
            "id": lambda one: one.id,
            "state": lambda one: one.state,
            "account": lambda one: one.account,
            "person": lambda one: one.person,
            "asked by": lambda one: one.requested_by,
            "approved by": lambda one: one.approved_by or "",
            "since": lambda one: moment(one.approved_at),
            "because": lambda one: one.because,
        },
        as_json=as_json,
        none="No accounts are linked.",
    )
