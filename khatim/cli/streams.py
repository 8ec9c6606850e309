# SPDX-License-Identifier: Apache-2.0
"""Commands of streams and legal holds: where the ledger goes, what arrived there, and what must be kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from khatim.cli import output
from khatim.cli.connection import connected, writing
from khatim.cli.output import Json, moment, moment_of
from khatim.cli.training import Because
from khatim.errors import VerificationFailed

if TYPE_CHECKING:
    from khatim.client import Client

streams_app = typer.Typer(help="Streams of the ledger to SIEMs.", no_args_is_help=True)
hold_app = typer.Typer(help="Legal holds: what must not be disposed of.", no_args_is_help=True)
SinkName = Annotated[str, typer.Argument(help="The sink's name or id.", metavar="SINK")]


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(streams_app, name="streams")
    app.add_typer(hold_app, name="hold")


@streams_app.command("list")
@connected
def streams_list(client: Client, *, as_json: Json = False) -> None:
    """List sinks and how far each has come."""
    output.listing(
        client.streams.list(),
        {
            "sink": lambda one: one.name,
            "zone": lambda one: one.zone,
            "format": lambda one: f"{one.format} over {one.transport}",
            "state": lambda one: one.state,
            "next": lambda one: one.following,
            "lag": lambda one: one.lag,
            "withheld": lambda one: one.withheld,
            "error": lambda one: one.error,
        },
        as_json=as_json,
        none="The ledger goes nowhere.",
    )


@streams_app.command("status")
@connected
def streams_status(client: Client, name: SinkName, *, as_json: Json = False) -> None:
    """Show one sink with everything that is known of it."""
    from khatim.errors import NotFound

    found = [one for one in client.streams.list() if name in (one.name, str(one.id))]
    if not found:
        raise NotFound(f"there is no sink {name}")
    output.record(found[-1], as_json=as_json)


@streams_app.command("add")
@writing
def streams_add(
    client: Client,
    name: Annotated[str, typer.Argument(help="A new name.")],
    zone: Annotated[str, typer.Option(help="The zone in which the receiver stands.")],
    because: Because,
    form: Annotated[str, typer.Option("--format", help="syslog, cef, ocsf or ecs.")] = "syslog",
    url: Annotated[str, typer.Option(help="https://…, or syslog+tls://host:6514.")] = "",
    file: Annotated[str, typer.Option(help="A file in the registry's folder of streams, for a local forwarder.")] = "",
    ca: Annotated[Path | None, typer.Option(exists=True, help="PEM of the authority of the receiver.")] = None,
    certificate: Annotated[str, typer.Option(help="Our certificate: a file of the stream credentials.")] = "",
    credential: Annotated[str, typer.Option(help="Our bearer token: a file of the stream credentials.")] = "",
    start: Annotated[int | None, typer.Option("--from", min=0, help="The first index; by default from now on.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Send the ledger to a further receiver, if its zone may have it."""
    transport = "file" if file else "syslog" if url.startswith("syslog") else "https"
    target = {"url": url, "file": file, "certificate": certificate, "token": credential}
    target["ca"] = ca.read_text(encoding="utf-8") if ca else ""
    row = client.streams.add(name, zone=zone, form=form, transport=transport, because=because, start=start, **target)
    output.record(row, as_json=as_json)


@streams_app.command("pause")
@writing
def streams_pause(client: Client, name: SinkName, because: Because, *, as_json: Json = False) -> None:
    """Stop a stream for now; it goes on from its cursor."""
    output.record(client.streams.pause(name, because=because), as_json=as_json)


@streams_app.command("resume")
@writing
def streams_resume(client: Client, name: SinkName, because: Because, *, as_json: Json = False) -> None:
    """Let a stream go on."""
    output.record(client.streams.resume(name, because=because), as_json=as_json)


@streams_app.command("remove")
@writing
def streams_remove(client: Client, name: SinkName, because: Because, *, as_json: Json = False) -> None:
    """End a stream for good."""
    output.record(client.streams.remove(name, because=because), as_json=as_json)


@streams_app.command("test")
@connected
def streams_test(client: Client, name: SinkName, *, as_json: Json = False) -> None:
    """Send one heartbeat and say whether the receiver took it."""
    output.record(client.streams.test(name), as_json=as_json)


@streams_app.command("check")
def streams_check(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="What the receiver got.")],
    start: Annotated[int | None, typer.Option("--from", min=0, help="The first index that must be there.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Find gaps, duplicates and a lost end in what a receiver got; without any registry."""
    from audit.streams.check import check, lines_of

    with file.open("rb") as received:
        found = check(lines_of(received), start=start)
    if as_json:
        output.dump(output.plain(found))
    else:
        output.say(
            f"{found.messages} messages, entries {found.first} to {found.last}: {found.duplicates} twice, "
            f"{found.withheld} withheld, {len(found.unreadable)} lines unreadable"
        )
    if not found.is_complete:
        gaps = ", ".join(f"{a} to {b - 1}" for a, b in found.gaps) or "none"
        raise VerificationFailed(
            f"missing in the middle: {gaps}; at the end: {found.lost}; contradicting: {found.contradictions[:20]}; "
            f"not following from the one before: {found.broken[:20]}",
            advice="Ask the registry to send again: add the sink under a new name with --from.",
        )


@hold_app.command("place")
@writing
def hold_place(
    client: Client,
    because: Because,
    basis: Annotated[str, typer.Option("--basis", help="The law, order or claim behind it.")],
    review: Annotated[str, typer.Option("--review", help="When it must be looked at again.", metavar="MOMENT")],
    namespace: Annotated[str, typer.Option(help="Only what is in this namespace.")] = "",
    resource: Annotated[str, typer.Option(help="Only what is about this, as version:oncology/malignancy@1.")] = "",
    person: Annotated[str, typer.Option(help="Only what this person did, and who they are.")] = "",
    zone: Annotated[str, typer.Option(help="Only what is in this zone.")] = "",
    since: Annotated[str, typer.Option(help="Only what happened from here on.", metavar="MOMENT")] = "",
    until: Annotated[str, typer.Option(help="Only what happened up to here.", metavar="MOMENT")] = "",
    *,
    as_json: Json = False,
) -> None:
    """Place a legal hold: what is in scope is neither erased nor removed."""
    row = client.holds.place(
        because=because,
        legal_basis=basis,
        review_due=moment_of(review),
        since=moment_of(since) if since else None,
        until=moment_of(until) if until else None,
        namespace=namespace,
        resource=resource,
        person=person,
        zone=zone,
    )
    output.record(row, as_json=as_json)


@hold_app.command("release")
@writing
def hold_release(
    client: Client,
    name: Annotated[str, typer.Argument(help="The id of a hold.", metavar="ID")],
    because: Because,
    *,
    as_json: Json = False,
) -> None:
    """Ask that a hold end or, as a second person, end it."""
    output.record(client.holds.release(name, because=because), as_json=as_json)


@hold_app.command("list")
@connected
def hold_list(client: Client, *, as_json: Json = False) -> None:
    """List legal holds."""
    output.listing(
        client.holds.list(),
        {
            "id": lambda one: one.id,
            "state": lambda one: one.state,
            "scope": lambda one: output.joined(
                [part for part in (one.namespace, one.resource, one.person, one.zone) if part]
            ),
            "because": lambda one: one.because,
            "basis": lambda one: one.legal_basis,
            "by": lambda one: one.placed_by,
            "review": lambda one: moment(one.review_due),
        },
        as_json=as_json,
        none="Nothing is held.",
    )
