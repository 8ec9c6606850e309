# SPDX-License-Identifier: Apache-2.0
"""Commands of approvals: given, under obligations or without, and what was done about these."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from khatim.cli import output
from khatim.cli.connection import writing
from khatim.cli.models import Path_, version_app
from khatim.cli.output import Json

if TYPE_CHECKING:
    from khatim.client import Client


def install(app: typer.Typer) -> None:
    """Add the commands to those of versions, which are in *app* already."""
    del app
    version_app.command("approve")(writing(version_approve))
    version_app.command("answer")(writing(version_answer))
    version_app.command("attest")(writing(version_attest))


def version_approve(
    client: Client,
    path: Path_,
    role: Annotated[str, typer.Option("--role", help="In which of your roles.")],
    meaning: Annotated[str, typer.Option("--meaning", help="What your signature says.")],
    comment: Annotated[str, typer.Option(help="Only its digest goes into the ledger.")] = "",
    days: Annotated[int, typer.Option("--days", min=1, max=1096, help="How long it holds.")] = 365,
    obligation: Annotated[
        list[str], typer.Option("--obligation", help="DAY=TEXT: what must be done by when; may be repeated.")
    ] = [],
    ticket: Annotated[str, typer.Option("--ticket", help="The change ticket, by its id.")] = "",
    ticket_state: Annotated[str, typer.Option("--ticket-state", help="Its state, as you see it there.")] = "",
    ticket_url: Annotated[str, typer.Option("--ticket-url", help="Where it is to be seen.")] = "",
    looked_at: Annotated[str, typer.Option("--seen", help="The binding that khatim version gate showed you.")] = "",
    *,
    as_json: Json = False,
) -> None:
    """Approve a version: a signed yes, bound to exactly these bytes, this evidence, this policy and this zone.

    Under an obligation it holds until the day; approve anew without it when what was done satisfies you.
    """
    seen = {"id": ticket, "state": ticket_state, "url": ticket_url} if ticket else None
    found = client.versions.approve(
        path, role=role, meaning=meaning, comment=comment, valid_days=days, ticket=seen,
        obligations=dict(map(_obligation, obligation)), seen=looked_at,
    )  # fmt: skip
    output.record(found, as_json=as_json)


def version_answer(
    client: Client,
    path: Path_,
    approval: Annotated[str, typer.Argument(help="The approval, by its id.")],
    said: Annotated[str, typer.Option("--said", help="How it was met, and where that is to be seen.")],
    number: Annotated[int, typer.Option("--number", min=1, help="Which of its obligations.")] = 1,
    *,
    as_json: Json = False,
) -> None:
    """Say how an obligation of a conditional approval was met; whoever gave it decides by approving anew."""
    output.record(client.versions.answer(path, approval, number=number, said=said), as_json=as_json)


def version_attest(
    client: Client,
    path: Path_,
    checked: Annotated[list[str], typer.Option("--checked", help="An item of the checklist; repeated for each.")],
    meaning: Annotated[str, typer.Option("--meaning", help="What your signature says.")],
    days: Annotated[int, typer.Option("--days", min=1, max=366, help="How long it holds.")] = 90,
    *,
    as_json: Json = False,
) -> None:
    """Attest your own work where nobody else is there (profile solo): no approval, and marked as none everywhere."""
    output.record(client.versions.attest(path, checked=checked, meaning=meaning, valid_days=days), as_json=as_json)
    if not as_json:
        output.say("this version is not independently approved, and says so")


def _obligation(text: str) -> tuple[str, datetime]:
    day, _, what = text.partition("=")
    return what, output.moment_of(day, naive=None)
