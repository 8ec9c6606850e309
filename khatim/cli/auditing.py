# SPDX-License-Identifier: Apache-2.0
"""Commands of auditors: verify a version, the ledger or an engagement, without trusting who hands them out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from khatim.cli import output, recovering
from khatim.cli.connection import connected
from khatim.cli.output import Json, moment
from khatim.cli.verifying import (
    CheckpointOption,
    ListOption,
    QuorumOption,
    RootOption,
    VkeyOption,
    WitnessOption,
    show_file,
)
from khatim.errors import LedgerInvalid, NotFound

if TYPE_CHECKING:
    from audit.walk import LedgerReport
    from khatim.client import Client

ledger_app = typer.Typer(help="The ledger.", no_args_is_help=True)
engagement_app = typer.Typer(help="Everything about a version as one signed file.", no_args_is_help=True)
Path_ = Annotated[str, typer.Argument(help="namespace/name@number, as oncology/malignancy@1.", metavar="PATH")]


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(whoami)
    app.command("zones")(zones)
    ledger_app.add_typer(recovering.recover_app, name="recover")
    app.add_typer(ledger_app, name="ledger")
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


@ledger_app.command("verify")
@connected
def ledger_verify(
    client: Client,
    vkey: Annotated[str, typer.Option("--vkey", help="The ledger's verifier key; by default that of entry 0.")] = "",
    *,
    as_json: Json = False,
) -> None:
    """Fetch checkpoint, tiles and entries, and derive chain, tree and root again; names the place that differs."""
    from khatim.cli.verdicts import show_ledger

    report, key, source = verified_ledger(client, vkey)
    if as_json:
        output.dump({**output.plain(report), "vkey": key})
        return
    show_ledger(output.console(), report, vkey=key, source=source)


def verified_ledger(client: Client, vkey: str = "") -> tuple[LedgerReport, str, str]:
    """Verify the ledger over HTTP; return the report, the key that was used, and where that came from."""
    from audit.verify import verify_ledger

    source = "given" if vkey else "taken from entry 0 (give --vkey to pin your own)"
    key = vkey or str(client.ledger.get(0).body.get("payload", {}).get("vkey", ""))
    return verify_ledger(_Served(client), key), key, source


class _Served:
    """The files of a log as a registry serves them; all of one checkpoint, whatever is appended meanwhile."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def checkpoint(self) -> str:
        """Return the signed checkpoint."""
        return self._client.ledger.checkpoint()

    def read(self, path: str) -> bytes:
        """Return a tile, a bundle or a payload; raises `LedgerInvalid` naming it when it is not handed out."""
        try:
            if path.startswith("payload/"):
                return self._client.ledger.payload(path.removeprefix("payload/").replace("/", ":", 1))
            return self._client.ledger.tile(path)
        except NotFound as missing:
            raise LedgerInvalid(f"the registry does not hand out {path}: {missing.detail}", place=path) from missing


@ledger_app.command("list")
@connected
def ledger_list(
    client: Client,
    kind: Annotated[str, typer.Option(help="Only this kind; deployment.* for all that begin so.")] = "",
    resource: Annotated[str, typer.Option(help="Only about this, as version:oncology/malignancy@1.")] = "",
    actor: Annotated[str, typer.Option(help="Only by this actor.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="How many at most, newest first.")] = 50,
    *,
    as_json: Json = False,
) -> None:
    """List entries, newest first."""
    entries = client.ledger.list(kind=kind, resource=resource, actor=actor, page=min(limit, 500))
    output.listing(
        [entry for _, entry in zip(range(limit), entries, strict=False)],
        {
            "index": lambda one: one.index,
            "at": lambda one: moment(one.at),
            "kind": lambda one: one.kind,
            "actor": lambda one: one.actor,
            "about": lambda one: one.resource,
            "zone": lambda one: one.zone,
        },
        as_json=as_json,
        none="No entries.",
    )


@ledger_app.command("show")
@connected
def ledger_show(
    client: Client,
    index: Annotated[int, typer.Argument(min=0)],
    *,
    receipt: Annotated[bool, typer.Option("--receipt", help="With the proof that it stands in the ledger.")] = False,
    as_json: Json = False,
) -> None:
    """Show one entry."""
    output.record(client.ledger.receipt(index) if receipt else client.ledger.get(index), as_json=as_json)


@engagement_app.command("export")
@connected
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
    *,
    strict: Annotated[bool, typer.Option("--strict", help="Fail as well when a statement does not hold now.")] = False,
    as_json: Json = False,
) -> None:
    """Verify an engagement; needs no server and no network.  Fails naming the place of what was changed."""
    show_file(file, trusted_root, vkey, checkpoint, revocations, witness, quorum, as_json=as_json, strict=strict)
