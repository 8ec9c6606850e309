# SPDX-License-Identifier: Apache-2.0
"""Commands of training: standing authorisations, the runs inside them, and jobs of every kind."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from khatim.cli import output
from khatim.cli.connection import connected, writing
from khatim.cli.output import Json, joined, moment, short
from khatim.cli.server import seconds_of
from khatim.errors import Malformed, NotFound

if TYPE_CHECKING:
    from khatim.client import Client
    from khatim.wire import answers

authorisation_app = typer.Typer(help="Standing training authorisations.", no_args_is_help=True)
training_app = typer.Typer(help="Training runs.", no_args_is_help=True)
job_app = typer.Typer(help="The work of zones.", no_args_is_help=True)
Because = Annotated[str, typer.Option("--because", help="Why; it stands in the ledger.")]
Id = Annotated[str, typer.Argument(metavar="ID")]


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(authorisation_app, name="authorisation")
    app.add_typer(training_app, name="training")
    app.add_typer(job_app, name="job")


def own_code_digest() -> str:
    """Return the digest of the training code of this checkout; raises `Malformed` where there is none."""
    try:
        from runners.zone.recipe import code_digest
    except ModuleNotFoundError as error:
        raise Malformed(
            "the training code is not here", advice="Give --code-digest, as the zone reports it."
        ) from error
    return str(code_digest())


@authorisation_app.command("request")
@writing
def authorisation_request(
    client: Client,
    namespace: Annotated[str, typer.Argument(help="Whose models may be trained, as oncology.")],
    dataset: Annotated[list[str], typer.Option("--dataset", help="A dataset version; may be repeated.")],
    purpose: Annotated[str, typer.Option("--purpose", help="What for: a run must name the very same.")],
    zone: Annotated[str, typer.Option("--zone", help="Where.")],
    runs: Annotated[int, typer.Option("--runs", min=1, help="How many runs in all.")] = 1,
    lasts: Annotated[str, typer.Option("--for", help="How long it holds: 12h, 30d.")] = "30d",
    code_digest: Annotated[str, typer.Option(help="Digest of the training code; this checkout's by default.")] = "",
    *,
    as_json: Json = False,
) -> None:
    """Ask for a standing training authorisation; another person must approve it."""
    found = client.authorisations.request(
        namespace,
        datasets=dataset,
        purpose=purpose,
        code_digest=code_digest or own_code_digest(),
        zone=zone,
        budget_runs=runs,
        ends_at=datetime.now(UTC) + seconds_of(lasts),
    )
    output.record(found, as_json=as_json)


@authorisation_app.command("approve")
@writing
def authorisation_approve(client: Client, name: Id, because: Because, *, as_json: Json = False) -> None:
    """Approve an authorisation that somebody else asked for."""
    output.record(client.authorisations.approve(name, because=because), as_json=as_json)


@authorisation_app.command("revoke")
@writing
def authorisation_revoke(client: Client, name: Id, because: Because, *, as_json: Json = False) -> None:
    """Take an authorisation back."""
    output.record(client.authorisations.revoke(name, because=because), as_json=as_json)


@authorisation_app.command("list")
@connected
def authorisation_list(client: Client, *, as_json: Json = False) -> None:
    """List authorisations, newest first."""
    output.listing(
        client.authorisations.list(),
        {
            "id": lambda one: one.id,
            "state": lambda one: one.state,
            "purpose": lambda one: one.purpose,
            "datasets": lambda one: joined(one.datasets),
            "zone": lambda one: one.zone,
            "runs": lambda one: f"{one.runs_used}/{one.budget_runs}",
            "ends": lambda one: moment(one.ends_at),
            "code": lambda one: short(one.code_digest),
        },
        as_json=as_json,
        none="No authorisations. Ask for one: khatim authorisation request.",
    )


@training_app.command("start")
@writing
def training_start(
    client: Client,
    model: Annotated[str, typer.Argument(help="namespace/name of the model.")],
    authorisation: Annotated[str, typer.Option("--authorisation", help="The id of a standing authorisation.")],
    features: Annotated[str, typer.Option("--features", help="A feature view version, as oncology/cell-shape@1.")],
    purpose: Annotated[str, typer.Option(help="The authorisation's own by default.")] = "",
    code_digest: Annotated[str, typer.Option(help="The authorisation's own by default.")] = "",
    parameter: Annotated[list[str], typer.Option("--parameter", help="name=value; may be repeated.")] = [],
    holdout_share: Annotated[float, typer.Option(help="The part of the entities to hold out.")] = 0.3,
    seed: Annotated[int, typer.Option(help="Makes the run repeatable.")] = 0,
    *,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Print the job and return at once.")] = False,
    as_json: Json = False,
) -> None:
    """Train the next version of a model inside a standing authorisation."""
    from khatim.calls.jobs import made_by

    terms = _terms(client, authorisation)
    job = client.trainings.start(
        model,
        authorisation=terms.id,
        features=features,
        purpose=purpose or terms.purpose,
        code_digest=code_digest or terms.code_digest,
        parameters=dict(map(_parameter, parameter)),
        holdout_share=holdout_share,
        seed=seed,
    )
    if no_wait:
        output.record(job, as_json=as_json)
        return
    made = made_by(output.await_job(client, job))
    output.record(client.versions.wait(made), as_json=as_json)


@job_app.command("list")
@connected
def job_list(
    client: Client,
    limit: Annotated[int, typer.Option(min=1, help="How many at most, newest first.")] = 50,
    *,
    as_json: Json = False,
) -> None:
    """List jobs, newest first."""
    found = [job for _, job in zip(range(limit), client.jobs.list(), strict=False)]
    output.listing(
        found,
        {
            "id": lambda one: one.id,
            "kind": lambda one: one.kind,
            "state": lambda one: one.state,
            "zone": lambda one: one.zone,
            "about": lambda one: one.about,
            "made": lambda one: one.outcome.get("made", one.error),
            "asked": lambda one: moment(one.requested_at),
            "ended": lambda one: moment(one.ended_at),
        },
        as_json=as_json,
        none="No jobs.",
    )


@job_app.command("show")
@connected
def job_show(client: Client, name: Id, *, as_json: Json = False) -> None:
    """Show one job."""
    output.record(client.jobs.get(name), as_json=as_json)


@job_app.command("cancel")
@writing
def job_cancel(client: Client, name: Id, because: Because, *, as_json: Json = False) -> None:
    """Cancel a job that has not ended."""
    output.record(client.jobs.cancel(name, because=because), as_json=as_json)


def _terms(client: Client, name: str) -> answers.Authorisation:
    for one in client.authorisations.list():
        if str(one.id) == name.rpartition(":")[2]:
            return one
    raise NotFound(f"there is no authorisation {name}", advice="khatim authorisation list")


def _parameter(text: str) -> tuple[str, int | float | str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise Malformed(f"not a parameter: {text!r}", advice="Write name=value, as max_depth=3.")
    for read in (int, float):
        try:
            return name, read(value)
        except ValueError:
            continue
    return name, value
