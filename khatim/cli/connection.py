# SPDX-License-Identifier: Apache-2.0
"""How a command reaches the registry: ``--server`` or the folder of a local one, and a token."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from khatim.errors import Misconfigured, Unauthenticated

if TYPE_CHECKING:
    from khatim.client import Client

PANEL = "Connection"
Server = Annotated[
    str,
    typer.Option(
        "--server", "-s", envvar="KHATIM_SERVER", help="The registry's address.", rich_help_panel=PANEL, metavar="URL"
    ),
]
Token = Annotated[
    str,
    typer.Option(
        "--token", envvar="KHATIM_TOKEN", help="A bearer token: khatim token issue.", rich_help_panel=PANEL,
        metavar="TOKEN", show_envvar=True,
    ),
]  # fmt: skip
Data = Annotated[
    Path,
    typer.Option(
        "--data",
        envvar="KHATIM_DATA",
        help="The folder of a local server, to find its address when --server is not given.",
        rich_help_panel=PANEL,
        metavar="DIR",
    ),
]
ReceiptFile = Annotated[
    Path | None,
    typer.Option(
        "--receipt",
        dir_okay=False,
        help="Write the proofs that what this recorded stands in the ledger: khatim ledger check-receipt.",
        rich_help_panel=PANEL,
        metavar="FILE",
    ),
]
_Options = Mapping[str, tuple[Any, object]]
_OPTIONS: _Options = {
    "server": (Server, ""),
    "token": (Token, ""),
    "data": (Data, Path(".khatim")),
}


def connected(command: Callable[..., None]) -> Callable[..., None]:
    """Give *command* its first argument, the client, and the options that say where the registry is."""

    def run(given: dict[str, Any]) -> None:
        with open_client(**{name: given.pop(name) for name in _OPTIONS}) as client:
            command(client, **given)

    return _asking(command, _OPTIONS, run)


def writing(command: Callable[..., None]) -> Callable[..., None]:
    """Do as `connected` for a command that changes something: it can also leave the receipts of what it recorded."""

    def run(given: dict[str, Any]) -> None:
        file: Path | None = given.pop("receipt")
        with open_client(**{name: given.pop(name) for name in _OPTIONS}) as client:
            with client.ledger.noting() as events:
                command(client, **given)
            if file is not None:
                from khatim.cli import keeping

                keeping.keep(client, events, file)

    return _asking(command, {"receipt": (ReceiptFile, None), **_OPTIONS}, run)


def _asking(
    command: Callable[..., None], options: _Options, act: Callable[[dict[str, Any]], None]
) -> Callable[..., None]:
    """Return *act* with the name, the help and the options of *command*, less the client, and with ours."""
    signature = inspect.signature(command, eval_str=True, locals={"Client": object})
    asked = [parameter for name, parameter in signature.parameters.items() if name != "client"]
    ours = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in options.items()
    ]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        act(given)

    # Typer reads a command's signature and resolves its annotations anew: both must be ours, not the wrapped one's.
    del run.__wrapped__
    run.__signature__ = signature.replace(parameters=[*asked, *ours])  # type: ignore[attr-defined]  # `inspect` reads it
    run.__annotations__ = {one.name: one.annotation for one in (*asked, *ours)}
    return run


def open_client(server: str, token: str, data: Path) -> Client:
    """Return a client; raises `Unauthenticated` without a token and `Misconfigured` without an address."""
    from khatim.client import Client

    if token:
        return Client(server or address_in(data), token)
    from khatim import credentials

    url = server or (address_in(data) if (data / "run").is_dir() else "")
    kept = credentials.token_for(credentials.path(), url) if url else ""
    if not kept:
        raise Unauthenticated(
            "nobody is signed in",
            advice="khatim login --server URL, or give --token or KHATIM_TOKEN; "
            "in local mode: khatim token issue --as NAME --role ROLE.",
        )
    return Client(url, kept)


def address_in(data: Path) -> str:
    """Return the address of the server that runs on the folder *data*; raises `Misconfigured` when none does."""
    try:
        state: dict[str, Any] = json.loads((data / "run" / "server.json").read_text())
    except (OSError, ValueError) as error:
        raise Misconfigured(
            f"no khatim runs on {data}",
            advice=f"Give --server or KHATIM_SERVER, or start one: khatim up --data {data}.",
        ) from error
    return str(state["url"])
