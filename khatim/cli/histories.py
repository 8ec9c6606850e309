# SPDX-License-Identifier: Apache-2.0
"""Commands of aliases and of what was in production."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from khatim.cli import output
from khatim.cli.connection import connected, writing
from khatim.cli.models import Name, Path_, model_app, version_app
from khatim.cli.output import Json, moment, short
from khatim.vocabulary import Stage

if TYPE_CHECKING:
    from khatim.client import Client

Alias = Annotated[str, typer.Argument(help="The alias, as candidate.")]


def install(app: typer.Typer) -> None:
    """Add the commands to those of models, which are in *app* already."""
    del app
    version_app.command("alias")(writing(version_alias))
    model_app.command("history")(connected(model_history))
    model_app.command("alias-history")(connected(model_alias_history))


def version_alias(
    client: Client,
    path: Path_,
    alias: Alias,
    because: Annotated[str, typer.Option("--because", help="Why; it stands in the alias's history.")] = "",
    *,
    as_json: Json = False,
) -> None:
    """Point an alias at a version; a protected one (champion, production) only at what may be served."""
    output.record(client.versions.alias(path, alias, because=because), as_json=as_json)


def model_history(
    client: Client,
    name: Name,
    stage: Annotated[Stage, typer.Option("--stage", help="Which stage.")] = Stage.PRODUCTION,
    at: Annotated[datetime | None, typer.Option("--at", help="Only what stood there then (UTC).")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Say which versions were in production, since when, until when, and by whom."""
    output.listing(
        client.models.history(name, stage=stage, at=at.replace(tzinfo=UTC) if at else None),
        {
            "version": lambda one: one.version,
            "digest": lambda one: short(one.digest),
            "since": lambda one: moment(one.since),
            "by": lambda one: one.by,
            "approved by": lambda one: ", ".join(f"{voice.approver} ({voice.role})" for voice in one.approvals),
            "until": lambda one: moment(one.until) if one.until else "now",
            "ended by": lambda one: f"{one.ended_by} ({one.ended_to})" if one.until else "",
        },
        as_json=as_json,
        none=f"Nothing of {name} stood in {stage.value}.",
    )


def model_alias_history(client: Client, name: Name, alias: Alias, *, as_json: Json = False) -> None:
    """Say where an alias pointed, since when and by whom."""
    output.listing(
        client.models.alias_history(name, alias),
        {
            "number": lambda one: one.number,
            "since": lambda one: moment(one.at),
            "by": lambda one: one.moved_by,
            "because": lambda one: one.because,
        },
        as_json=as_json,
        none=f"The alias {alias} of {name} never pointed anywhere.",
    )
