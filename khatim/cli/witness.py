# SPDX-License-Identifier: Apache-2.0
"""``khatim witness``: a witness of logs that anyone can run elsewhere, with a folder and no database."""

from __future__ import annotations

import logging
import signal
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from khatim.cli import output

witness_app = typer.Typer(
    help="A witness: cosigns what continues the logs that it watches. Needs a folder and no database.",
    no_args_is_help=True,
)
Folder = Annotated[Path, typer.Argument(help="The witness's folder.", metavar="DIR", file_okay=False)]


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(witness_app, name="witness")


@witness_app.command("keygen")
def keygen(
    folder: Folder,
    name: Annotated[str, typer.Option("--name", help="A URL without scheme, as witness.example/w1.")],
    *,
    only_ed25519: Annotated[
        bool, typer.Option("--only-ed25519", help="No ML-DSA-44 key, for readers that know Ed25519 only.")
    ] = False,
) -> None:
    """Make a witness's keys and print the verifier keys, to be given to the logs and to all who verify."""
    from audit import witness_folder

    kinds = witness_folder.KINDS[:1] if only_ed25519 else witness_folder.KINDS
    for vkey in witness_folder.found(folder, name, kinds):
        typer.echo(vkey)


@witness_app.command("watch")
def watch(
    folder: Folder,
    vkey: Annotated[str, typer.Argument(help="The log's verifier key, from its operator.", metavar="VKEY")],
    origin: Annotated[str, typer.Option(help="The log's origin, where it is not the name of its key.")] = "",
) -> None:
    """Trust a log's key from the next start on."""
    from audit import witness_folder

    output.say(f"the witness watches {witness_folder.watch(folder, vkey, origin)} from its next start on")


@witness_app.command("run")
def run(
    folder: Folder,
    host: Annotated[str, typer.Option(help="Address to listen on; beyond loopback with TLS only.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8472,
    certificate: Annotated[
        Path | None, typer.Option("--tls-cert", exists=True, dir_okay=False, help="Certificate chain (PEM).")
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--tls-key", exists=True, dir_okay=False, help="Its private key (PEM).")
    ] = None,
) -> None:
    """Cosign checkpoints over HTTP until Ctrl-C."""
    from audit.witness_folder import open_witness
    from audit.witness_http import WitnessServer

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    server = WitnessServer(
        open_witness(folder, lambda: datetime.now(UTC)), host, port, certificate=certificate, key=key
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        # From a thread of its own: `shutdown` waits for the loop that this handler interrupts.
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    output.say(f"witness ready on {server.url}")
    with server:
        server.serve_forever(poll_interval=0.1)
