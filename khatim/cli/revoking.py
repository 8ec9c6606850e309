# SPDX-License-Identifier: Apache-2.0
"""Commands of revocation: revoke, see first what would stop, lift as a second person, list, keep the signed list."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from khatim.cli import output
from khatim.cli.connection import connected, writing
from khatim.cli.output import Json, moment, moment_of
from khatim.cli.training import Because
from khatim.vocabulary import Revoked

if TYPE_CHECKING:
    from khatim.client import Client

revoke_app = typer.Typer(help="Revoke what is not to be believed any more.", no_args_is_help=True)
Since = Annotated[
    str, typer.Option("--since", help="From when: a moment, or `beginning`; by default from now on.", metavar="MOMENT")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would stop, and revoke nothing.")]


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(revoke_app, name="revoke")
    app.command("revocations")(revocations)


@revoke_app.command("statement")
@writing
def revoke_statement(
    client: Client,
    statement: Annotated[str, typer.Argument(help="Its id or its digest.")],
    because: Because,
    since: Since = "",
    *,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Revoke one signed statement."""
    _revoke(client, Revoked.STATEMENT, statement, because, since, dry_run=dry_run, as_json=as_json)


@revoke_app.command("key")
@writing
def revoke_key(
    client: Client,
    key: Annotated[str, typer.Argument(help="certificate:sha256:…, key:sha256:…, serial:…, authority:… or log:INDEX.")],
    because: Because,
    since: Since = "",
    *,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Revoke a key or certificate: what it signed from the cut-off on does not hold, what was before stays."""
    _revoke(client, Revoked.KEY, key, because, since, dry_run=dry_run, as_json=as_json)


@revoke_app.command("identity")
@writing
def revoke_identity(
    client: Client,
    identity: Annotated[str, typer.Argument(help="agent/ZONE/NAME, agent/ZONE/*, person/REF.")],
    because: Because,
    since: Since = "",
    *,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Revoke who signs: an agent, all agents of a zone, a person."""
    _revoke(client, Revoked.IDENTITY, identity, because, since, dry_run=dry_run, as_json=as_json)


@revoke_app.command("artifact")
@writing
def revoke_artifact(
    client: Client,
    artifact: Annotated[str, typer.Argument(help="sha256:…, namespace/name@number, dataset:… or features:….")],
    because: Because,
    since: Since = "",
    *,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Revoke bytes, and with them every version that consists of them or was made from them."""
    _revoke(client, Revoked.ARTIFACT, artifact, because, since, dry_run=dry_run, as_json=as_json)


@revoke_app.command("lift")
@writing
def revoke_lift(
    client: Client,
    name: Annotated[str, typer.Argument(help="The id of a revocation.", metavar="ID")],
    because: Because,
    *,
    as_json: Json = False,
) -> None:
    """End a revocation from now on, as a second person; what it covered until now stays revoked."""
    output.record(client.revocations.lift(name, because=because), as_json=as_json)


@connected
def revocations(
    client: Client,
    signed: Annotated[Path | None, typer.Option(help="Write the registry's signed list into this file.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """List what was revoked and lifted, oldest first."""
    if signed is not None:
        listed = client.revocations.signed()
        signed.write_text(listed.bundle, encoding="utf-8")
        output.say(f"{signed} holds the signed list number {listed.number}")
        return
    output.listing(
        client.revocations.list(),
        {
            "number": lambda one: one.number,
            "id": lambda one: one.id,
            "what": lambda one: f"lifts {one.lifts}" if one.lifts else one.kind,
            "target": lambda one: one.target,
            "since": lambda one: "" if one.lifts else moment(one.since) or "the beginning",
            "because": lambda one: one.because,
            "by": lambda one: one.recorded_by,
            "recorded": lambda one: moment(one.recorded_at),
        },
        as_json=as_json,
        none="Nothing is revoked.",
    )


def _revoke(
    client: Client, kind: Revoked, target: str, because: str, since: str, *, dry_run: bool, as_json: bool
) -> None:
    cut: dict[str, Any] = {"from_the_beginning": True} if since == "beginning" else {}
    if since and not cut:
        cut["since"] = moment_of(since)
    if not dry_run:
        output.record(client.revocations.record(kind, target, because=because, **cut), as_json=as_json)
        return
    found = client.revocations.preview(kind, target, because=because, **cut)
    if as_json:
        output.dump(found.model_dump(mode="json"))
        return
    output.say(
        f"would strike {len(found.statements)} statements, {len(found.versions)} versions, "
        f"{len(found.deployments)} deployments, {len(found.jobs)} jobs; nothing was revoked"
    )
    lines = [
        *(f"statement {one.id} about {one.about} by {one.identity}" for one in found.statements),
        *found.versions,
        *(f"deployment {one.id} of {one.version_ref} in {one.zone}: {one.state}" for one in found.deployments),
        *(f"job {one.id} ({one.kind}) in {one.zone}: {one.state}" for one in found.jobs),
    ]
    for line in lines:
        output.console().print(output.cell(line), soft_wrap=True)
