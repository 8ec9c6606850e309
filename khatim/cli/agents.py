# SPDX-License-Identifier: Apache-2.0
"""Commands of agents: run one in a zone, invite, list and retire."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

agent_app = typer.Typer(help="Agents of zones.", no_args_is_help=True)


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(agent_app, name="agent")


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
    agent.run()
