# SPDX-License-Identifier: Apache-2.0
"""Commands that run the server, and those of local mode."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from khatim.errors import Malformed

Data = Annotated[Path, typer.Option("--data", envvar="KHATIM_DATA", help="The installation's folder.")]
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds_of(text: str) -> timedelta:
    """Read a length of time such as ``30s``, ``15m``, ``1h`` or ``7d``."""
    found = re.fullmatch(r"([1-9]\d{0,6})([smhd])", text.strip())
    if not found:
        raise Malformed(f"not a length of time: {text!r}", advice="Write 30s, 15m, 1h or 7d.")
    return timedelta(seconds=int(found[1]) * UNITS[found[2]])


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(up)
    app.command()(down)
    app.command(hidden=True)(sequence)
    app.command(hidden=True)(signer)
    app.add_typer(token_app, name="token")
    app.add_typer(schema_app, name="schema")
    app.command()(demo)
    app.command()(bench)


def up(
    data: Data = Path(".khatim"),
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; loopback only in local mode.")] = None,
    policies: Annotated[Path | None, typer.Option(help="A folder laid over the shipped policies.")] = None,
    *,
    detach: Annotated[bool, typer.Option("--detach", help="Return when the server is ready.")] = False,
) -> None:
    """Run server, ledger and database on a folder until Ctrl-C (or khatim down)."""
    from gateway import supervisor
    from khatim import settings

    read = settings.load(data=data.resolve(), port=port, host=host, policies=policies.resolve() if policies else None)
    console = Console(stderr=True, highlight=False)
    if detach:
        console.print(f"khatim is ready: {supervisor.detach(read)}")
        return
    supervisor.up(read, say=lambda text: console.print(f"[dim]khatim:[/] {text}", soft_wrap=True))


def down(data: Data = Path(".khatim")) -> None:
    """Stop the server that runs on a folder."""
    from gateway import supervisor

    stopped = supervisor.down(data.resolve())
    Console(stderr=True).print("stopped" if stopped else f"nothing runs on {data}")


def sequence() -> None:
    """Run the ledger's sequencer (started by `khatim up`)."""
    from gateway import supervisor
    from khatim import settings

    supervisor.sequence(settings.load())


def signer() -> None:
    """Hold the signing keys and sign for the server's processes (started by `khatim up` in production)."""
    from gateway import signing
    from khatim import settings

    signing.serve(settings.load())


token_app = typer.Typer(help="Tokens of local mode.", no_args_is_help=True)


@token_app.command("issue")
def token_issue(
    who: Annotated[str, typer.Option("--as", help="The person's name.")],
    role: Annotated[list[str], typer.Option("--role", help="A role; may be repeated.")],
    data: Data = Path(".khatim"),
    ttl: Annotated[str, typer.Option(help="How long it holds: 30s, 15m, 1h, 7d.")] = "1h",
    group: Annotated[list[str] | None, typer.Option("--group", help="A group; may be repeated.")] = None,
    *,
    link: Annotated[bool, typer.Option("--link", help="Print a one-time sign-in link instead.")] = False,
) -> None:
    """Print a bearer token for a person (local mode only)."""
    from gateway import local_tokens

    at, lasts = datetime.now(UTC), seconds_of(ttl)
    issue = local_tokens.link if link else local_tokens.access
    typer.echo(issue(data.resolve(), who, role, at=at, ttl=lasts, groups=group or ()))


@token_app.command("sigstore")
def token_sigstore(
    who: Annotated[str, typer.Option("--as", help="The person's name.")],
    data: Data = Path(".khatim"),
    ttl: Annotated[str, typer.Option(help="How long it holds: 30s, 15m, 1h.")] = "10m",
) -> None:
    """Print a token for Sigstore clients: a certificate in the person's opaque name (local mode only)."""
    from gateway import local_tokens

    typer.echo(local_tokens.sigstore(data.resolve(), who, at=datetime.now(UTC), ttl=seconds_of(ttl)))


schema_app = typer.Typer(help="The database schema.", no_args_is_help=True)


@schema_app.command("check")
def schema_check() -> None:
    """Migrate an empty database and fail when tables and migrations differ."""
    from gateway import scratch

    scratch.check_schema()
    Console(stderr=True).print("schema: one head, no difference between tables and migrations")


@schema_app.command("draft")
def schema_draft(message: str) -> None:
    """Write a migration draft for what changed in the tables."""
    from gateway import scratch

    scratch.draft_migration(message)


def demo(
    *,
    once: Annotated[bool, typer.Option("--once", help="Do not stay; write outputs to demo/ and end.")] = False,
    out: Annotated[Path, typer.Option(help="Where the outputs go.")] = Path("demo"),
) -> None:
    """Run the main job end to end with a live timeline."""
    from khatim.cli.story.performance import play

    play(out.resolve(), once=once)


def bench() -> None:
    """Measure and write docs/benchmarks.md."""
    from khatim.cli.benchmarks import suite

    suite.run(Path("docs/benchmarks.md"))
