# SPDX-License-Identifier: Apache-2.0
"""Commands of waivers (ask, approve, take back, list), and of approvals that are taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from khatim.cli import output
from khatim.cli.connection import connected, writing
from khatim.cli.models import version_app
from khatim.cli.output import Json, moment

if TYPE_CHECKING:
    from khatim.client import Client

waiver_app = typer.Typer(help="Waivers: what excuses one requirement until a day.", no_args_is_help=True)
Because = Annotated[str, typer.Option("--because", help="Why; it stands in the ledger.")]
Id = Annotated[str, typer.Argument(metavar="ID")]
Path_ = Annotated[str, typer.Argument(help="namespace/name@number, as oncology/malignancy@1.", metavar="PATH")]


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(waiver_app, name="waiver")
    version_app.command("withdraw")(writing(version_withdraw))


def version_withdraw(
    client: Client,
    path: Path_,
    approval: Annotated[str, typer.Argument(help="The id of your approval.", metavar="APPROVAL")],
    because: Because,
    *,
    as_json: Json = False,
) -> None:
    """Take an approval of your own back; endpoints that rest on it stop."""
    output.record(client.versions.withdraw(path, approval, because=because), as_json=as_json)


@waiver_app.command("request")
@writing
def waiver_request(
    client: Client,
    path: Path_,
    rule: Annotated[str, typer.Argument(help="The requirement, as production/evaluated.")],
    because: Because,
    control: Annotated[str, typer.Option("--control", help="What protects in its place.")],
    days: Annotated[int, typer.Option("--days", help="How long; the tier bounds it.")] = 30,
    transition: Annotated[str, typer.Option("--transition", help="Whose gate.")] = "production",
    *,
    as_json: Json = False,
) -> None:
    """Ask that a requirement be excused; another person must approve it."""
    found = client.waivers.request(path, rule, days=days, because=because, control=control, transition=transition)
    output.record(found, as_json=as_json)


@waiver_app.command("approve")
@writing
def waiver_approve(client: Client, name: Id, because: Because, *, as_json: Json = False) -> None:
    """Approve a waiver that somebody else asked for."""
    output.record(client.waivers.approve(name, because=because), as_json=as_json)


@waiver_app.command("revoke")
@writing
def waiver_revoke(client: Client, name: Id, because: Because, *, as_json: Json = False) -> None:
    """Take a waiver back: the gate asks for the requirement again."""
    output.record(client.waivers.revoke(name, because=because), as_json=as_json)


@waiver_app.command("list")
@connected
def waiver_list(client: Client, path: Path_, *, as_json: Json = False) -> None:
    """List the waivers of a version, whatever their state."""
    output.listing(
        client.waivers.list(path),
        {
            "id": lambda one: one.id,
            "state": lambda one: one.state,
            "rule": lambda one: one.rule,
            "control": lambda one: one.control,
            "asked by": lambda one: one.requested_by,
            "approved by": lambda one: one.approved_by or "",
            "until": lambda one: moment(one.expires_at),
        },
        as_json=as_json,
        none="No waivers.",
    )
