# SPDX-License-Identifier: Apache-2.0
"""Commands that put old entries of the ledger into files, and check such files without any server."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from khatim.cli import output
from khatim.cli.output import Json
from khatim.errors import LedgerInvalid, Malformed

Data = Annotated[Path, typer.Option("--data", envvar="KHATIM_DATA", help="The installation's folder.")]
Token = Annotated[str, typer.Option("--token", envvar="KHATIM_TOKEN", help="Your own bearer token.")]


def install(app: typer.Typer) -> None:
    """Add the commands to those of the ledger."""
    app.command("archive")(ledger_archive)
    app.command("archives")(ledger_archives)
    app.command("verify-archive")(ledger_verify_archive)


def ledger_archive(
    token: Token,
    before: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Entries before this day (UTC).")
    ] = None,
    below: Annotated[int | None, typer.Option(min=0, help="Entries below this index.")] = None,
    tiles: Annotated[int, typer.Option(min=1, max=4096, help="Full tiles of 256 entries a file.")] = 256,
    data: Data = Path(".khatim"),
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="Then remove archived rows that nothing obliges to keep.")
    ] = False,
) -> None:
    """Put old entries into files; with --remove their rows leave the database."""
    from gateway import archiving
    from khatim import settings

    if (before is None) == (below is None):
        raise Malformed("give --before DATE or --below INDEX")
    day = before.replace(tzinfo=UTC) if before else None
    with archiving.opened(settings.load(data=data.resolve())) as desk:
        ranges = desk.ranges(token, before=day, below=below, tiles=tiles)
        for first, end in ranges:
            place = "" if dry_run else f" in {desk.archive(token, first, end).place}"
            output.say(f"entries {first} to {end - 1}{' would be archived' if dry_run else place}")
        if not ranges:
            output.say("No further full tiles are that old.")
        if remove and not dry_run:
            for one in desk.removable(token, before=day, below=below):
                output.say(f"{one.place}: {desk.remove(token, one.first)} rows left the database")


def ledger_archives(token: Token, data: Data = Path(".khatim"), *, as_json: Json = False) -> None:
    """List the archives of the ledger."""
    from gateway import archiving
    from khatim import settings

    with archiving.opened(settings.load(data=data.resolve())) as desk:
        found = desk.listed(token)
    if as_json:
        output.dump([asdict(one) for one in found])
    else:
        output.table(
            found,
            {
                "first": lambda one: one.first,
                "end": lambda one: one.end,
                "file": lambda one: one.place,
                "digest": lambda one: one.digest,
                "checkpoint": lambda one: one.size,
            },
            none="No archives.",
        )


def ledger_verify_archive(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, metavar="FILE…")],
    source: Annotated[
        Path, typer.Option("--tiles", exists=True, help="A folder of the ledger's tiles and checkpoint.")
    ],
    vkey: Annotated[str, typer.Option("--vkey", help="The ledger's verifier key, as you got it beforehand.")],
) -> None:
    """Check archive files offline: every entry, its link, and its place in the tree of a signed checkpoint."""
    from audit import archives
    from audit.checkpoint import NoteVerifier, open_checkpoint
    from audit.merkle import inclusion_path, verify_inclusion
    from audit.sources import FolderSource
    from audit.tiles import WIDTH, TileRef, hashes_of, nodes_of

    tiles, verifier = FolderSource(source), NoteVerifier.parse(vkey)
    signed = open_checkpoint(tiles.checkpoint(), verifier.name, [verifier])

    def read(level: int, number: int) -> list[bytes]:
        width = min(WIDTH, signed.size // WIDTH**level - number * WIDTH)
        return hashes_of(tiles.read(TileRef(level, number, width).path))

    node = nodes_of(read)
    for file in files:
        rows = archives.checked(file.read_bytes(), file.name)
        if rows[-1][0] >= signed.size:
            raise LedgerInvalid(f"{file.name} goes beyond the checkpoint of {signed.size}", place=file.name)
        for row in rows:
            verify_inclusion(row[2], row[0], signed.size, inclusion_path(row[0], signed.size, node), signed.root)
        output.say(f"{file.name}: entries {rows[0][0]} to {rows[-1][0]} stand in {signed.origin} of {signed.size}")
