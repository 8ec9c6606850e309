# SPDX-License-Identifier: Apache-2.0
"""Commands about the ledger: read it, keep receipts of it, export it, and verify it wherever it lies."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from khatim.cli import archiving, output, recovering
from khatim.cli.connection import Data, Server, Token, address_in, connected, open_client
from khatim.cli.output import Json, moment
from khatim.errors import LedgerInvalid, Malformed, NotFound

if TYPE_CHECKING:
    from audit.sources import TileSource
    from audit.walk import LedgerReport
    from audit.witness_policy import WitnessPolicy
    from khatim.client import Client

ledger_app = typer.Typer(help="The ledger.", no_args_is_help=True)
Witnesses = Annotated[
    list[str], typer.Option("--witness", help="A witness's verifier key; may be repeated.", metavar="VKEY")
]
Quorum = Annotated[int, typer.Option("--quorum", min=0, help="How many of them must have cosigned.")]
Policy = Annotated[
    Path | None,
    typer.Option("--policy", exists=True, dir_okay=False, help="Witnesses and quorum as a file (C2SP tlog-policy)."),
]
Vkey = Annotated[str, typer.Option("--vkey", help="The ledger's verifier key, as you got it beforehand.")]


def install(app: typer.Typer) -> None:
    """Add the commands."""
    ledger_app.add_typer(recovering.recover_app, name="recover")
    archiving.install(ledger_app)
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
    processes: Annotated[int, typer.Option(min=0, help="How many processes share a folder; 0: one a core.")] = 0,
    server: Server = "",
    token: Token = "",
    data: Data = Path(".khatim"),
    *,
    as_json: Json = False,
) -> None:
    """Derive chain, tree, tiles and root of a ledger again from its entries; names the place that differs."""
    import os

    from audit.verify import Demands, verify_ledger
    from khatim.cli.verdicts import show_ledger

    rules = policy_of(witness, quorum, policy)
    kept = since.read_text(encoding="utf-8", errors="replace") if since else ""
    with opened(source, server, token, data) as files:
        key = vkey or _claimed_key(files)
        with output.counting("entries") as progress:
            count = processes or os.cpu_count() or 1
            found = verify_ledger(files, key, Demands(kept, rules, count, progress))
        seen = rules.judge(files.checkpoint())
    witnessed = {one.partition("+")[0]: at for one, at in seen.by.items()}
    if as_json:
        output.dump({**output.plain(found), "vkey": key, "witnessed": output.plain(witnessed)})
        return
    show_ledger(output.console(), found, vkey=key, source=told_of(vkey))
    if rules.witnesses:
        output.say(f"witnessed by {', '.join(witnessed) or 'nobody'}; wanted: {seen.wanted}")
    if since:
        output.say(f"continues the checkpoint in {since}")


def verified_ledger(client: Client, vkey: str = "") -> tuple[LedgerReport, str, str]:
    """Verify the ledger that *client* reads; return the report, the key that was used, and where that came from."""
    from audit.verify import verify_ledger

    files = _Served(client)
    key = vkey or _claimed_key(files)
    return verify_ledger(files, key), key, told_of(vkey)


def told_of(vkey: str) -> str:
    """Say where the verifier key came from."""
    return "given" if vkey else "taken from entry 0 (give --vkey to pin your own)"


def policy_of(witness: list[str], quorum: int, file: Path | None) -> WitnessPolicy:
    """Return the policy of witnesses that the options name; raises `Malformed`."""
    from audit.witness_policy import WitnessPolicy

    if file is None:
        return WitnessPolicy.of_keys([(one, "") for one in witness], quorum if witness else 0)
    if witness:
        raise Malformed("give --policy or --witness, not both")
    return WitnessPolicy.parse(file.read_text(encoding="utf-8", errors="surrogateescape"))


@contextmanager
def opened(source: str, server: str, token: str, data: Path) -> Iterator[TileSource]:
    """Open what SOURCE names: a folder, a zip file (its ``ledger/`` or its root), an address, or the server."""
    from audit.sources import FolderSource, UrlSource, ZipSource

    if source.startswith(("http://", "https://")):
        address = UrlSource(source)
        try:
            yield address
        finally:
            address.close()
    elif source:
        path = Path(source)
        if path.is_dir():
            yield FolderSource(path)
            return
        try:
            with zipfile.ZipFile(path) as archive:
                inside = "ledger/" if "ledger/checkpoint" in archive.namelist() else ""
                yield ZipSource(archive, inside)
        except (OSError, zipfile.BadZipFile) as wrong:
            raise Malformed(f"{source} is no folder, no zip file and no address: {wrong}") from wrong
    elif token:
        with open_client(server, token, data) as client:
            yield _Served(client)
    else:  # a public ledger is read by everybody
        address = UrlSource(f"{server or address_in(data)}/ledger")
        try:
            yield address
        finally:
            address.close()


def _claimed_key(files: TileSource) -> str:
    """Return the verifier key that entry 0 names; believed only because no other was given."""
    from audit import entries
    from audit.checkpoint import Checkpoint
    from audit.verify import entries_of

    size = Checkpoint.of_note(files.checkpoint()).size
    for index, entry in entries_of(files, size):
        payload = entries.parse(entry, index).event.get("payload")
        return str(payload.get("vkey", "")) if isinstance(payload, dict) else ""
    raise LedgerInvalid("the ledger has no entries", place="entry 0")


class _Served:
    """The files of a log as a registry serves them to who may read it; all of one checkpoint, whatever is appended."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._checkpoint = ""

    def checkpoint(self) -> str:
        """Return the signed checkpoint as it was when first asked for."""
        self._checkpoint = self._checkpoint or self._client.ledger.checkpoint()
        return self._checkpoint

    def read(self, path: str) -> bytes:
        """Return a tile, a bundle or a payload; raises `LedgerInvalid` naming it when it is not handed out."""
        try:
            if path.startswith("payload/"):
                return self._client.ledger.payload(path.removeprefix("payload/").replace("/", ":", 1))
            return self._client.ledger.tile(path)
        except NotFound as missing:
            raise LedgerInvalid(f"the registry does not hand out {path}: {missing.detail}", place=path) from missing


@ledger_app.command("export")
def ledger_export(
    to: Annotated[Path, typer.Argument(help="A folder, which is brought up to date, or a new .zip file.")],
    server: Server = "",
    token: Token = "",
    data: Data = Path(".khatim"),
) -> None:
    """Copy the ledger as C2SP tlog-tiles; a folder gets only what it has not got yet, its checkpoint last."""
    from audit import mirroring

    with opened("", server, token, data) as files, output.counting("files") as progress:
        if to.suffix == ".zip":
            added, size = mirroring.to_zip(files, to, progress)
        else:
            added, size = mirroring.to_folder(files, to, progress)
    output.say(f"{to} holds the ledger of {size} entries ({added} files are new); check it: khatim ledger verify {to}")


@ledger_app.command("receipt")
@connected
def ledger_receipt(
    client: Client,
    of: Annotated[str, typer.Argument(help="An index, or an event that a Khatim-Events header named.", metavar="OF")],
    wait: Annotated[float, typer.Option(min=0, max=30, help="Seconds to wait until it has its place.")] = 5,
    to: Annotated[Path | None, typer.Option("--output", "-o", help="The file to write; by default the screen.")] = None,
) -> None:
    """Fetch the proof that an entry stands in the ledger; keep it, and check it without any server."""
    found = client.ledger.receipt(int(of) if of.isdecimal() else of, wait=wait)
    if to is None:
        output.dump(found.model_dump(mode="json"))
        return
    to.write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
    output.say(f"{to} holds the receipt of entry {found.index}; check it: khatim ledger check-receipt {to} --vkey VKEY")


@ledger_app.command("check-receipt")
def ledger_check_receipt(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, metavar="FILE")],
    vkey: Annotated[str, typer.Option("--vkey", help="The ledger's verifier key, as you got it beforehand.")],
    witness: Witnesses = [],
    quorum: Quorum = 1,
    policy: Policy = None,
    *,
    as_json: Json = False,
) -> None:
    """Check a receipt offline: the entry's bytes, their place in the tree, the signed checkpoint, its witnesses."""
    from pydantic import ValidationError

    from audit import receipts
    from khatim.wire import proofs

    try:
        receipt = proofs.Receipt.model_validate_json(file.read_bytes())
    except (ValidationError, OSError) as wrong:
        raise Malformed(f"{file} is not a receipt") from wrong
    found = receipts.check(receipt, vkey, policy_of(witness, quorum, policy))
    names = sorted({one.partition("+")[0] for one in found.witnessed.by})
    if as_json:
        event = dict(found.entry.event)
        output.dump({"index": found.entry.index, "size": found.checkpoint.size, "event": event, "witnesses": names})
        return
    event = dict(found.entry.event)
    output.say(
        f"holds: entry {found.entry.index} ({event.get('kind')}, {event.get('resource')}, {event.get('at')}) stands in "
        f"{found.checkpoint.origin} of {found.checkpoint.size} entries; witnessed by {', '.join(names) or 'nobody'}"
    )


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
