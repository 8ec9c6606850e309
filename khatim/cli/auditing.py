# SPDX-License-Identifier: Apache-2.0
"""Commands of auditors: verify a version, the ledger or an engagement, without trusting who hands them out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from khatim.cli import output
from khatim.cli.connection import connected, writing
from khatim.cli.demands import Tsa
from khatim.cli.output import Json
from khatim.cli.verifying import (
    CheckpointOption,
    ListOption,
    QuorumOption,
    RootOption,
    VkeyOption,
    WitnessOption,
    show_file,
)

if TYPE_CHECKING:
    from khatim.client import Client

engagement_app = typer.Typer(help="Everything about a version as one signed file.", no_args_is_help=True)
Path_ = Annotated[str, typer.Argument(help="namespace/name@number, as oncology/malignancy@1.", metavar="PATH")]


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(whoami)
    app.command("zones")(zones)
    app.add_typer(engagement_app, name="engagement")


@connected
def whoami(client: Client, *, as_json: Json = False) -> None:
    """Say who you are to the registry, and in which roles."""
    output.record(client.whoami(), as_json=as_json)


@connected
def zones(client: Client, *, as_json: Json = False) -> None:
    """List the zones of this installation."""
    output.listing(
        client.zones.list(),
        {
            "zone": lambda one: one.name,
            "location": lambda one: one.location,
            "laws": lambda one: output.joined(one.regimes),
            "family": lambda one: one.family,
        },
        as_json=as_json,
        none="No zones.",
    )


@engagement_app.command("export")
@writing
def engagement_export(
    client: Client,
    path: Path_,
    to: Annotated[Path, typer.Option("--output", "-o", help="The zip file to write.")] = Path("engagement.zip"),
) -> None:
    """Export everything about a version as one signed file that verifies without a server."""
    with output.moving(to.name) as progress:
        client.engagements.export(path, to, progress=progress)
    output.say(f"{to} holds the engagement of {path}; check it anywhere: khatim engagement verify {to}")


@engagement_app.command("verify")
def engagement_verify(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    trusted_root: RootOption = None,
    vkey: VkeyOption = "",
    checkpoint: CheckpointOption = None,
    revocations: ListOption = None,
    witness: WitnessOption = [],
    quorum: QuorumOption = 1,
    tsa: Tsa = [],
    *,
    strict: Annotated[bool, typer.Option("--strict", help="Fail as well when a statement does not hold now.")] = False,
    as_json: Json = False,
) -> None:
    """Verify an engagement; needs no server and no network.  Fails naming the place of what was changed."""
    show_file(file, trusted_root, vkey, checkpoint, revocations, witness, quorum, tsa, as_json=as_json, strict=strict)
