# SPDX-License-Identifier: Apache-2.0
"""Commands of service accounts: programs with a name, who answers for them, and their tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from khatim.cli import output
from khatim.cli.accessing import Because
from khatim.cli.connection import connected, writing
from khatim.cli.output import Json, moment
from khatim.errors import Malformed

if TYPE_CHECKING:
    from khatim.client import Client

app_ = typer.Typer(help="Programs: service accounts, their tokens, CI identities.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The account's name.", metavar="NAME")]


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(app_, name="service-account")


@app_.command("open")
@writing
def open_(
    client: Client,
    name: Name,
    sponsor: Annotated[str, typer.Option("--sponsor", help="The person who answers for it: p-…")],
    purpose: Annotated[str, typer.Option("--purpose", help="What it is for; it stands in the ledger.")],
    issuer: Annotated[str, typer.Option("--issuer", help="Of a pipeline's tokens, as sign_in.yaml names it.")] = "",
    audience: Annotated[str, typer.Option("--audience", help="For whom a pipeline's tokens are made.")] = "",
    claim: Annotated[
        list[str] | None, typer.Option("--claim", help="What they must say, NAME=VALUE; VALUE may end in *.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Give a program a name; it holds no role until somebody gives it one."""
    claims = dict(_pair(one) for one in claim or ())
    found = client.service_accounts.open(
        name, sponsor=sponsor, purpose=purpose, issuer=issuer, audience=audience, claims=claims
    )
    output.record(found, as_json=as_json)
    if not as_json:
        output.say(f"next: khatim access request {found.ref} ROLE --because …")


@app_.command("close")
@writing
def close(client: Client, name: Name, because: Because, *, as_json: Json = False) -> None:
    """Close an account for good; its name is not used again."""
    output.record(client.service_accounts.close(name, because=because), as_json=as_json)


@app_.command("list")
@connected
def list_(client: Client, *, as_json: Json = False) -> None:
    """List service accounts, the newest first."""
    output.listing(
        client.service_accounts.list(),
        {
            "name": lambda one: one.name,
            "state": lambda one: one.state,
            "sponsor": lambda one: one.sponsor,
            "purpose": lambda one: one.purpose,
            "opened by": lambda one: one.issuer or "tokens",
            "since": lambda one: moment(one.created_at),
        },
        as_json=as_json,
        none="There are no service accounts.",
    )


@app_.command("token")
@writing
def token(
    client: Client,
    name: Name,
    days: Annotated[int, typer.Option("--days", help="How long it holds.")] = 30,
    role: Annotated[list[str] | None, typer.Option("--role", help="Keep it to this role; may be repeated.")] = None,
    namespace: Annotated[
        list[str] | None, typer.Option("--namespace", help="Keep it to this namespace; may end in *, be repeated.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Issue a token and print it, this once."""
    found = client.service_accounts.issue(name, days=days, roles=role or (), namespaces=namespace or ())
    if as_json:
        output.record(found, as_json=True)
        return
    typer.echo(found.token)
    output.say(f"it ends {moment(found.expires_at)}; khatim service-account revoke {name} {found.id} takes it back")


@app_.command("tokens")
@connected
def tokens(client: Client, name: Name, *, as_json: Json = False) -> None:
    """List the tokens of an account, without their secrets."""
    output.listing(
        client.service_accounts.tokens(name),
        {
            "id": lambda one: one.id,
            "until": lambda one: moment(one.expires_at),
            "roles": lambda one: ", ".join(one.roles) or "all",
            "namespaces": lambda one: ", ".join(one.namespaces) or "all",
            "issued by": lambda one: one.created_by,
            "revoked": lambda one: moment(one.revoked_at),
        },
        as_json=as_json,
        none="It has no tokens.",
    )


@app_.command("revoke")
@writing
def revoke(
    client: Client,
    name: Name,
    which: Annotated[str, typer.Argument(help="The token's id.", metavar="ID")],
    because: Because,
    *,
    as_json: Json = False,
) -> None:
    """Take a token back."""
    output.record(client.service_accounts.revoke(name, which, because=because), as_json=as_json)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise Malformed(f"not a claim: {text[:80]!r}", advice="Write --claim NAME=VALUE.")
    return name, value
