# SPDX-License-Identifier: Apache-2.0
"""Commands about the ledger: read it, keep receipts of it, export it, and verify it wherever it lies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from khatim.cli import archiving, output, receipts, recovering
from khatim.cli.connection import Data, Server, Token, connected
from khatim.cli.demands import Policy, Quorum, Tsa, Vkey, Witnesses, policy_of
from khatim.cli.ledger_sources import Served, claimed_key, opened
from khatim.cli.output import Json, moment
from khatim.cli.verifying import RootOption
from khatim.errors import LedgerInvalid, Malformed

if TYPE_CHECKING:
    from audit.mirroring import Target
    from audit.walk import LedgerReport
    from khatim.client import Client

ledger_app = typer.Typer(help="The ledger.", no_args_is_help=True)


def install(app: typer.Typer) -> None:
    """Add the commands."""
    ledger_app.add_typer(recovering.recover_app, name="recover")
    archiving.install(ledger_app)
    receipts.install(ledger_app)
    app.add_typer(ledger_app, name="ledger")


@ledger_app.command("verify")
def ledger_verify(
    source: Annotated[
        str,
        typer.Argument(help="A folder, a zip file or an address of tiles; by default the server.", metavar="SOURCE"),
    ] = "",
    vkey: Vkey = "",
    since: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="A checkpoint that you kept: a fork or a loss is told."),
    ] = None,
    witness: Witnesses = [],
    quorum: Quorum = 1,
    policy: Policy = None,
    trusted_root: RootOption = None,
    tsa: Tsa = [],
    processes: Annotated[int, typer.Option(min=0, help="How many processes share a folder; 0: one a core.")] = 0,
    server: Server = "",
    token: Token = "",
    data: Data = Path(".khatim"),
    *,
    outside_time: Annotated[
        bool, typer.Option("--outside-time", help="Fail unless a clock outside attests the time.")
    ] = False,
    tree_only: Annotated[
        bool, typer.Option("--tree-only", help="Every byte, tile and root, but neither links nor what entries say.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Derive chain, tree, tiles and root of a ledger again from its entries; names the place that differs."""
    from audit import endorsed
    from audit.verify import Demands, verify_ledger
    from audit.verify_blocks import usable_cores
    from khatim.cli import timing
    from khatim.cli.verdicts import show_ledger

    rules, clocks = policy_of(witness, quorum, policy), timing.clocks_of(trusted_root, tsa)
    kept = since.read_text(encoding="utf-8", errors="replace") if since else ""
    with opened(source, server, token, data) as files:
        vouched = endorsed.read(files)  # before the checkpoint, which grows on
        key = vkey or claimed_key(files)
        with output.counting("entries") as progress:
            count = processes or usable_cores()
            found = verify_ledger(files, key, Demands(kept, rules, count, progress, tree_only))
        seen = rules.judge(files.checkpoint())
        times = timing.times_of(endorsed.check(files, vouched, found), clocks)
    if outside_time and not any(one.is_outside for one in times):
        raise LedgerInvalid("no clock outside attests the time of this ledger", place="timestamp")
    witnessed = {one.partition("+")[0]: at for one, at in seen.by.items()}
    if as_json:
        told = {"vkey": key, "witnessed": output.plain(witnessed), "times": output.plain(times)}
        output.dump({**output.plain(found), **told})
        return
    show_ledger(output.console(), found, vkey=key, source=told_of(vkey))
    if rules.witnesses:
        output.say(f"witnessed by {', '.join(witnessed) or 'nobody'}; wanted: {seen.wanted}")
    timing.say(times)
    if since:
        output.say(f"continues the checkpoint in {since}")


def verified_ledger(client: Client, vkey: str = "") -> tuple[LedgerReport, str, str]:
    """Verify the ledger that *client* reads; return the report, the key that was used, and where that came from."""
    from audit.verify import verify_ledger

    files = Served(client)
    key = vkey or claimed_key(files)
    return verify_ledger(files, key), key, told_of(vkey)


def told_of(vkey: str) -> str:
    """Say where the verifier key came from."""
    return "given" if vkey else "taken from entry 0 (give --vkey to pin your own)"


@ledger_app.command("export")
def ledger_export(
    to: Annotated[
        str, typer.Argument(help="A folder or a bucket (https://host/bucket/prefix), or a new .zip file.", metavar="TO")
    ],
    access_key: Annotated[str, typer.Option(help="Of a bucket.")] = "",
    secret_file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="The file with the bucket's secret key.")
    ] = None,
    region: Annotated[str, typer.Option(help="Of a bucket, where its store wants to know.")] = "",
    server: Server = "",
    token: Token = "",
    data: Data = Path(".khatim"),
) -> None:
    """Copy the ledger as C2SP tlog-tiles; a folder or bucket gets only what it has not got yet, its checkpoint last."""
    from audit import mirroring

    target = _target_of(to, access_key, secret_file, region)
    with opened("", server, token, data) as files, output.counting("files") as progress:
        if target is None:
            added, size = mirroring.to_zip(files, Path(to), progress)
        else:
            added, size = mirroring.bring_up_to_date(files, target, progress)
    output.say(f"{to} holds the ledger of {size} entries ({added} files are new); check it: khatim ledger verify {to}")


def _target_of(to: str, access_key: str, secret_file: Path | None, region: str) -> Target | None:
    """Return the folder or bucket that *to* names; None for a zip file.  Raises `Malformed` without a credential."""
    from audit import mirroring

    if not to.startswith(("http://", "https://")):
        return None if to.endswith(".zip") else mirroring.FolderTarget(Path(to))
    if not (access_key and secret_file):
        raise Malformed("a bucket needs --access-key and --secret-file")
    from audit.mirror_objects import MirrorObjects

    return MirrorObjects(to, access_key, secret_file.read_text(encoding="utf-8").strip(), region=region)


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
