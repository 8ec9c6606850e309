# SPDX-License-Identifier: Apache-2.0
"""Commands of operation: deployments, monitors, findings."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from khatim.cli import output
from khatim.cli.connection import connected, writing
from khatim.cli.output import Json, moment
from khatim.cli.server import seconds_of
from khatim.cli.training import Because, Id
from khatim.vocabulary import Severity

if TYPE_CHECKING:
    from khatim.client import Client

Within = Annotated[str, typer.Option("--within", help="Answered for within so long, as 14d; by severity else.")]

deployment_app = typer.Typer(help="Versions that serve in a zone.", no_args_is_help=True)
monitor_app = typer.Typer(
    help="What flows through endpoints, compared with what models learnt from.", no_args_is_help=True
)
finding_app = typer.Typer(help="What monitors, the ledger or people found.", no_args_is_help=True)


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(deployment_app, name="deployment")
    app.add_typer(monitor_app, name="monitor")
    app.add_typer(finding_app, name="finding")


@deployment_app.command("list")
@connected
def deployment_list(client: Client, *, as_json: Json = False) -> None:
    """List deployments, newest first."""
    output.listing(
        client.deployments.list(),
        {
            "id": lambda one: one.id,
            "version": lambda one: one.version_ref.partition(":")[2],
            "zone": lambda one: one.zone,
            "state": lambda one: one.state,
            "because": lambda one: one.because,
            "endpoint": lambda one: one.endpoint,
            "changed": lambda one: moment(one.changed_at),
        },
        as_json=as_json,
        none="No deployments. Ask for one: khatim version deploy PATH --zone ZONE.",
    )


@deployment_app.command("show")
@connected
def deployment_show(client: Client, name: Id, *, as_json: Json = False) -> None:
    """Show one deployment."""
    output.record(client.deployments.get(name), as_json=as_json)


@deployment_app.command("stop")
@writing
def deployment_stop(client: Client, name: Id, because: Because, *, as_json: Json = False) -> None:
    """Stop a deployment; its endpoint is gone within seconds."""
    output.record(client.deployments.stop(name, because=because), as_json=as_json)


@monitor_app.command("run")
@writing
def monitor_run(
    client: Client,
    deployment: Annotated[str, typer.Argument(help="The id of a deployment.", metavar="DEPLOYMENT")],
    *,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Print the job and return at once.")] = False,
    as_json: Json = False,
) -> None:
    """Compare what flowed through an endpoint with what its model learnt from."""
    job = client.monitors.run(deployment)
    if no_wait:
        output.record(job, as_json=as_json)
        return
    done = output.await_job(client, job)
    found = client.deployments.get(deployment)
    if as_json:
        output.dump({"job": done.model_dump(mode="json"), "deployment": found.model_dump(mode="json")})
        return
    output.say(f"the deployment is {found.state}" + (f": {found.because}" if found.because else ""))


@finding_app.command("list")
@connected
def finding_list(client: Client, *, as_json: Json = False) -> None:
    """List findings, newest first."""
    output.listing(
        client.findings.list(),
        {
            "id": lambda one: one.id,
            "state": lambda one: one.state,
            "kind": lambda one: one.kind,
            "severity": lambda one: one.severity,
            "zone": lambda one: one.zone,
            "summary": lambda one: one.summary,
            "consequence": lambda one: one.consequence,
            "owner": lambda one: one.owner,
            "due": lambda one: moment(one.due_at) + (" (overdue)" if one.overdue_at and one.state == "open" else ""),
        },
        as_json=as_json,
        none="No findings.",
    )


@finding_app.command("show")
@connected
def finding_show(client: Client, name: Id, *, as_json: Json = False) -> None:
    """Show one finding."""
    output.record(client.findings.get(name), as_json=as_json)


@finding_app.command("open")
@writing
def finding_open(
    client: Client,
    about: Annotated[str, typer.Argument(help="version:NAMESPACE/NAME@NUMBER or deployment:ID.", metavar="ABOUT")],
    summary: Annotated[str, typer.Option("--summary", help="What should not be so; it names no people.")],
    severity: Annotated[Severity, typer.Option("--severity", help="How grave it is.")] = Severity.MEDIUM,
    owner: Annotated[str, typer.Option("--owner", help="Who answers for it; who registered the version else.")] = "",
    within: Within = "",
    *,
    suspend: Annotated[bool, typer.Option("--suspend", help="Its approvals do not count until then.")] = False,
    as_json: Json = False,
) -> None:
    """Open a finding about a version or a deployment."""
    made = client.findings.open(
        about, severity=severity, summary=summary, owner=owner, due_at=_due(within), suspend=suspend
    )
    output.record(made, as_json=as_json)


@finding_app.command("assign")
@writing
def finding_assign(
    client: Client,
    name: Id,
    owner: Annotated[str, typer.Option("--owner", help="Who answers for it from now on.")],
    because: Because,
    within: Within = "",
    *,
    as_json: Json = False,
) -> None:
    """Let somebody answer for a finding, by a day."""
    output.record(client.findings.assign(name, owner=owner, because=because, due_at=_due(within)), as_json=as_json)


@finding_app.command("resolve")
@writing
def finding_resolve(client: Client, name: Id, because: Because, *, as_json: Json = False) -> None:
    """Resolve a finding: what it suspended counts again."""
    output.record(client.findings.resolve(name, because=because), as_json=as_json)


def _due(within: str) -> datetime | None:
    return datetime.now(UTC) + seconds_of(within) if within else None
