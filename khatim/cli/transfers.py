# SPDX-License-Identifier: Apache-2.0
"""Commands of residency: transfer authorisations, what the rules say to a movement, where copies are."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from khatim.calls.artifacts import measured
from khatim.cli import output
from khatim.cli.connection import connected, writing
from khatim.cli.data import Purpose
from khatim.cli.output import Json, joined, moment, short
from khatim.cli.server import seconds_of
from khatim.errors import Malformed

if TYPE_CHECKING:
    from khatim.client import Client

transfer_app = typer.Typer(help="Transfer authorisations: what opens the way from zone to zone.", no_args_is_help=True)
Because = Annotated[str, typer.Option("--because", help="Why; it stands in the ledger.")]
Id = Annotated[str, typer.Argument(metavar="ID")]
From = Annotated[str, typer.Option("--from", help="The zone that the data leave.")]
To = Annotated[str, typer.Option("--to", help="The zone that they come to.")]
Tags = Annotated[list[str], typer.Option("--tag", help="A data tag; may be repeated.")]


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(transfer_app, name="transfer")


@transfer_app.command("request")
@writing
def transfer_request(
    client: Client,
    namespace: Annotated[str, typer.Argument(help="Whose data, as oncology.")],
    from_zone: From,
    to_zone: To,
    mechanism: Annotated[str, typer.Option("--mechanism", help="The way that the law opens, as PDPL-23-CONTRACT.")],
    evidence: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="The document; only its digest leaves.")],
    purpose: Annotated[str, typer.Option("--purpose", help="What for: a movement must name the very same.")],
    tag: Tags,
    scope: Annotated[list[str], typer.Option("--scope", help="What may move, as version:oncology/*; may be repeated.")],
    lasts: Annotated[str, typer.Option("--for", help="How long it holds: 12h, 30d.")] = "90d",
    detail: Annotated[list[str], typer.Option("--detail", help="What the mechanism asks for: name=value.")] = [],
    safeguard: Annotated[list[str], typer.Option("--safeguard", help="A safeguard in place; may be repeated.")] = [],
    *,
    as_json: Json = False,
) -> None:
    """Ask for a transfer authorisation; another person must approve it."""
    found = client.transfers.request(
        namespace,
        from_zone=from_zone,
        to_zone=to_zone,
        mechanism=mechanism,
        evidence_digest=measured(evidence)[0],
        purpose=purpose,
        tags=tag,
        scope=scope,
        valid_to=datetime.now(UTC) + seconds_of(lasts),
        details={**dict(map(_pair, detail)), **({"safeguards": safeguard} if safeguard else {})},
    )
    output.record(found, as_json=as_json)


@transfer_app.command("approve")
@writing
def transfer_approve(client: Client, name: Id, because: Because, *, as_json: Json = False) -> None:
    """Approve an authorisation that somebody else asked for."""
    output.record(client.transfers.approve(name, because=because), as_json=as_json)


@transfer_app.command("revoke")
@writing
def transfer_revoke(client: Client, name: Id, because: Because, *, as_json: Json = False) -> None:
    """Take an authorisation back: from now on nothing moves on it."""
    output.record(client.transfers.revoke(name, because=because), as_json=as_json)


@transfer_app.command("list")
@connected
def transfer_list(client: Client, *, as_json: Json = False) -> None:
    """List transfer authorisations, newest first."""
    output.listing(
        client.transfers.list(),
        {
            "id": lambda one: one.id,
            "state": lambda one: one.state,
            "way": lambda one: f"{one.from_zone} to {one.to_zone}",
            "mechanism": lambda one: one.mechanism,
            "purpose": lambda one: one.purpose,
            "tags": lambda one: joined(one.tags),
            "scope": lambda one: joined(one.scope),
            "until": lambda one: moment(one.valid_to),
        },
        as_json=as_json,
        none="No transfer authorisations. Ask for one: khatim transfer request.",
    )


@transfer_app.command("explain")
@connected
def transfer_explain(
    client: Client,
    kind: Annotated[str, typer.Argument(help="download, deploy, replicate, place, dispatch, remote-read or report.")],
    from_zone: From,
    to_zone: To,
    tag: Tags,
    purpose: Purpose = "",
    artefact: Annotated[str, typer.Option(help="What would move, as version:oncology/malignancy@1.")] = "",
    *,
    as_json: Json = False,
) -> None:
    """Say what every rule says to a movement, without moving anything."""
    found = client.transfers.ask(
        kind, from_zone=from_zone, to_zone=to_zone, tags=tag, purpose=purpose, artefact=artefact
    )
    output.listing(
        iter(found.rulings),
        {
            "": lambda one: "allows" if one.allowed else "refuses",
            "rule": lambda one: one.rule,
            "why": lambda one: one.reason,
            "basis": lambda one: one.legal_basis,
            "certainty": lambda one: one.certainty,
            "advice": lambda one: one.advice,
        },
        as_json=as_json,
        none="No rule speaks.",
    )


@transfer_app.command("timeline")
@connected
def transfer_timeline(
    client: Client, digest: Annotated[str, typer.Argument(help="sha256:...")], *, as_json: Json = False
) -> None:
    """Tell where an artifact was brought, read and placed, when, by whom and on which basis."""
    found = client.transfers.timeline(digest)
    if as_json:
        output.record(found, as_json=True)
        return
    output.listing(
        iter(found.movements),
        {
            "entry": lambda one: one.entry,
            "when": lambda one: moment(one.at),
            "what": lambda one: one.kind,
            "zone": lambda one: one.zone if one.zone == one.to_zone else f"{one.zone} to {one.to_zone}",
            "by": lambda one: one.by,
            "rule": lambda one: one.rule,
            "policy": lambda one: short(one.policy),
        },
        as_json=False,
        none="The ledger tells of no movement.",
    )


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise Malformed(f"a detail is written name=value, not {text[:120]!r}")
    return name.strip(), value.strip()
