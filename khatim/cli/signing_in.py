# SPDX-License-Identifier: Apache-2.0
"""Signing in from the terminal, with the organisation's identity provider, and out again."""

from __future__ import annotations

import webbrowser
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from khatim.cli import output
from khatim.cli.connection import Data, Server, address_in


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(login)
    app.command()(logout)


def login(
    server: Server = "",
    data: Data = Path(".khatim"),
    *,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser of this machine.")] = True,
) -> None:
    """Sign in: shows a code, to be confirmed in any browser; later commands act as you until the sign-in ends."""
    import httpx

    from khatim import credentials, device_flow
    from khatim.client import Client

    url = server or address_in(data)
    with Client(url, "") as asking:
        how = asking.how_to_sign_in()
    with httpx.Client(timeout=10) as http:
        code = device_flow.begin(http, how, datetime.now(UTC))
        output.say(f"Open {code.address} and enter the code {code.user_code}")
        if browser:
            webbrowser.open(code.complete_address)
        with output.waiting("waiting for you to confirm it there"):
            granted = device_flow.wait(http, how, code)
    credentials.keep(credentials.path(), url, granted)
    with Client(url, granted.access_token) as client:
        me = client.whoami()
    held = ", ".join(me.roles) or "no role yet: tell an access administrator your reference"
    output.say(f"You are {me.display_name or me.ref} ({me.ref}), {held}.")


def logout(server: Server = "", data: Data = Path(".khatim")) -> None:
    """Forget the sign-in that this machine keeps."""
    from khatim import credentials

    url = server or address_in(data)
    output.say("Signed out." if credentials.forget(credentials.path(), url) else f"Nobody was signed in to {url}.")
