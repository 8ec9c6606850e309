# SPDX-License-Identifier: Apache-2.0
"""Commands of agents: run one in a zone, invite, list and retire."""

from __future__ import annotations

import logging
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console

from khatim.cli import output
from khatim.cli.connection import connected, writing
from khatim.cli.output import Json, moment
from khatim.cli.server import seconds_of

if TYPE_CHECKING:
    from khatim.client import Client

agent_app = typer.Typer(help="Agents of zones.", no_args_is_help=True)


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(agent_app, name="agent")


@agent_app.command("invite")
@writing
def invite(
    client: Client,
    zone: Annotated[str, typer.Argument(help="The zone, as ae-health.", metavar="ZONE")],
    ttl: Annotated[str, typer.Option(help="How long it can be redeemed: 10m, 1h.")] = "10m",
    *,
    as_json: Json = False,
) -> None:
    """Print a one-time enrolment token for an agent of a zone."""
    given = client.agents.invite(zone, ttl_s=int(seconds_of(ttl).total_seconds()))
    if as_json:
        output.record(given, as_json=True)
        return
    typer.echo(given.token)
    output.say(f"for one agent of {given.zone}, until {moment(given.expires_at)} UTC: khatim agent run --enrol-token")


@agent_app.command("list")
@connected
def list_(client: Client, *, as_json: Json = False) -> None:
    """List agents, with when each was last heard of."""
    output.listing(
        client.agents.list(),
        {
            "id": lambda one: one.id,
            "zone": lambda one: one.zone,
            "name": lambda one: one.name,
            "state": lambda one: one.state,
            "door": lambda one: one.door,
            "heard of": lambda one: moment(one.seen_at),
        },
        as_json=as_json,
        none="No agents. Invite one: khatim agent invite ZONE.",
    )


@agent_app.command("retire")
@writing
def retire(
    client: Client,
    name: Annotated[str, typer.Argument(help="The id of an agent.", metavar="ID")],
    because: Annotated[str, typer.Option("--because", help="Why; it stands in the ledger.")],
    *,
    as_json: Json = False,
) -> None:
    """Retire an agent: its identity is refused from now on."""
    output.record(client.agents.retire(name, because=because), as_json=as_json)


@agent_app.command("run")
def run(
    server: Annotated[str, typer.Option("--server", envvar="KHATIM_SERVER", help="The registry's address.")],
    data: Annotated[Path, typer.Option("--data", help="The agent's own folder: identity, store, scratch.")],
    enrol_token: Annotated[
        str, typer.Option(envvar="KHATIM_ENROL_TOKEN", help="One-time token, first start only.")
    ] = "",
    name: Annotated[str, typer.Option(help="A name for people.")] = "agent",
    host: Annotated[str, typer.Option(help="Address of the zone door.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the zone door; 0 takes a free one.")] = 0,
    alibi_python: Annotated[
        Path | None, typer.Option(help="Python of the alibi-detect environment; found beside ours by default.")
    ] = None,
) -> None:
    """Run an agent: enrol at the first start, then work until Ctrl-C."""
    from runners.zone.agent import Agent, Plan
    from runners.zone.execution import CHECKOUT

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    beside = Path(CHECKOUT) / ".venv-alibi" / "bin" / "python"
    plan = Plan(
        server=server,
        folder=data.resolve(),
        name=name,
        host=host,
        port=port,
        enrol_token=enrol_token,
        alibi_python=alibi_python or beside,
    )
    agent = Agent(plan)
    Console(stderr=True, highlight=False).print(
        f"[dim]khatim agent:[/] {agent.connection.identity.agent} of zone {agent.zone.name}, door {agent.url}"
    )
    # uvicorn raises the signal again when it has ended; what was captured is written on the way out.
    signal.signal(signal.SIGTERM, _end)
    agent.run()


def _end(*_: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough
    raise SystemExit(0)
