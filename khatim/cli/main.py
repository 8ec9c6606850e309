# SPDX-License-Identifier: Apache-2.0
"""``khatim``: every verb of the service from the terminal, with ``--json`` for programs."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from khatim.cli import (
    accessing,
    agents,
    approving,
    auditing,
    authority,
    data,
    doctor,
    histories,
    incidents,
    ledger,
    linking,
    models,
    people,
    policing,
    revoking,
    server,
    service_accounts,
    signing_in,
    streams,
    transfers,
    verifying,
    waiting,
    waiving,
    witness,
)
from khatim.errors import KhatimError

app = typer.Typer(
    name="khatim",
    help="Khatim: a governance-first model registry and compliance service.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for module in (
    server, doctor, signing_in, agents, data, models, approving, histories, auditing, ledger, authority, witness,
    verifying, revoking, people, transfers, streams, waiting, waiving, accessing, linking, service_accounts,
    policing, incidents,
):  # fmt: skip
    module.install(app)


def main() -> None:
    """Run the command line; an error is a sentence with advice, and exit status 1."""
    try:
        app()
    except KhatimError as error:
        console = Console(stderr=True, highlight=False)
        console.print(f"[bold red]{error.title()}:[/] {error.detail}", soft_wrap=True)
        for key in ("rule", "legal_basis", "certainty", "place"):
            if error.members.get(key):
                console.print(f"  {key.replace('_', ' ')}: {error.members[key]}", soft_wrap=True)
        if error.advice:
            console.print(f"  [dim]{error.advice}[/]", soft_wrap=True)
        sys.exit(1)
