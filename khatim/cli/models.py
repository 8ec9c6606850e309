# SPDX-License-Identifier: Apache-2.0
"""Commands of models and their versions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from khatim.cli import operation, output, training
from khatim.cli.connection import connected, writing
from khatim.cli.data import NoWait, Purpose, text_of
from khatim.cli.output import Json, joined, moment, short
from khatim.cli.training import Because
from khatim.errors import Malformed
from khatim.vocabulary import FileRole

if TYPE_CHECKING:
    from khatim.client import Client
    from khatim.wire import answers, requests

model_app = typer.Typer(help="Registered models.", no_args_is_help=True)
version_app = typer.Typer(help="Model versions.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="namespace/name, as oncology/malignancy.")]
Path_ = Annotated[str, typer.Argument(help="namespace/name@number, as oncology/malignancy@1.", metavar="PATH")]


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(model_app, name="model")
    app.add_typer(version_app, name="version")
    training.install(app)
    operation.install(app)


@model_app.command("list")
@connected
def model_list(
    client: Client,
    search: Annotated[str, typer.Option(help="Only those whose name contains this.")] = "",
    *,
    as_json: Json = False,
) -> None:
    """List registered models."""
    output.listing(
        client.models.list(search=search),
        {
            "model": lambda one: f"{one.namespace}/{one.name}",
            "tier": lambda one: one.tier,
            "description": lambda one: one.description,
            "created": lambda one: moment(one.created_at),
        },
        as_json=as_json,
        none="No models. The first training run or registration makes one.",
    )


@model_app.command("show")
@connected
def model_show(client: Client, name: Name, *, as_json: Json = False) -> None:
    """Show a model with its versions and aliases."""
    model, versions, aliases = (
        client.models.get(name),
        list(client.versions.list(name)),
        list(client.models.aliases(name)),
    )
    if as_json:
        body = model.model_dump(mode="json")
        body["versions"] = [one.model_dump(mode="json") for one in versions]
        output.dump({**body, "aliases": [one.model_dump(mode="json") for one in aliases]})
        return
    output.record(model, as_json=False)
    named: dict[int, list[str]] = {}
    for one in aliases:
        named.setdefault(one.number, []).append(one.alias)
    _versions(versions, {"aliases": lambda one: joined(named.get(one.number, []))})


@model_app.command("create")
@writing
def model_create(
    client: Client,
    name: Name,
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    tier: Annotated[int, typer.Option(min=1, max=3, help="Risk tier; 1 is the highest.")] = 2,
    *,
    as_json: Json = False,
) -> None:
    """Create a registered model."""
    output.record(client.models.create(name, description=description, tier=tier), as_json=as_json)


@version_app.command("list")
@connected
def version_list(client: Client, name: Name, *, as_json: Json = False) -> None:
    """List the versions of a model, newest first."""
    found = list(client.versions.list(name))
    if as_json:
        output.dump([one.model_dump(mode="json") for one in found])
        return
    _versions(found, {})


@version_app.command("show")
@connected
def version_show(client: Client, path: Path_, *, as_json: Json = False) -> None:
    """Show one version with its files, training and approvals."""
    version, approvals = client.versions.get(path), list(client.versions.approvals(path))
    if as_json:
        given = [one.model_dump(mode="json") for one in approvals]
        output.dump({**version.model_dump(mode="json"), "approvals": given})
        return
    output.record(version, as_json=False)
    output.listing(
        approvals,
        {
            "approved as": lambda one: one.role,
            "by": lambda one: one.approver,
            "state": lambda one: one.state,
            "until": lambda one: moment(one.expires_at),
            "meaning": lambda one: one.meaning,
        },
        as_json=False,
        none="Nobody has approved it.",
    )


@version_app.command("register")
@writing
def version_register(
    client: Client,
    name: Name,
    file: Annotated[
        list[str], typer.Argument(help="FILE, or ROLE=FILE (weights, tokenizer, adapter, prompt, config, code).")
    ],
    zone: Annotated[str, typer.Option("--zone", help="Into which zone the files go.")],
    parent: Annotated[
        list[str], typer.Option("--parent", help="What it was made from: dataset:…, features:…, version:…")
    ] = [],
    base: Annotated[list[str], typer.Option("--base", help="Digest of a base model; may be repeated.")] = [],
    tag: Annotated[list[str], typer.Option("--tag", help="A data tag; may be repeated.")] = [],
    *,
    no_wait: NoWait = False,
    as_json: Json = False,
) -> None:
    """Upload files into a zone and register them as the next version; it is READY when they are scanned."""
    files = [_uploaded(client, text, namespace=name.partition("/")[0], zone=zone, tags=tag) for text in file]
    version = client.versions.register(name, zone=zone, files=files, parents=parent, bases=base, tags=tag)
    output.record(version if no_wait else client.versions.wait(version.ref), as_json=as_json)


@version_app.command("evaluate")
@writing
def version_evaluate(
    client: Client,
    path: Path_,
    minimum: Annotated[list[str], typer.Option("--min", help="metric=value, as roc_auc=0.95; may be repeated.")] = [],
    subgroups: Annotated[Path | None, typer.Option(exists=True, help="Subgroups, a JSON file.")] = None,
    *,
    no_wait: NoWait = False,
    as_json: Json = False,
) -> None:
    """Evaluate a version on the held-out data of its training."""
    import json

    asked: dict[str, Any] = {"thresholds": dict(map(_minimum, minimum)) or None}
    if subgroups:
        asked["subgroups"] = json.loads(text_of(subgroups))
    job = client.versions.evaluate(path, **asked)
    if no_wait:
        output.record(job, as_json=as_json)
        return
    output.await_job(client, job)
    newest = [one for one in client.versions.evidence(path) if one.kind == "evaluation"][-1]
    output.record(newest, as_json=as_json)


@version_app.command("promote")
@writing
def version_promote(
    client: Client,
    path: Path_,
    because: Because,
    to: Annotated[str, typer.Option("--to", help="staging, production or archived.")] = "production",
    *,
    as_json: Json = False,
) -> None:
    """Move a version to another stage, through its gate."""
    output.record(client.versions.promote(path, to=to, because=because), as_json=as_json)


@version_app.command("deploy")
@writing
def version_deploy(
    client: Client,
    path: Path_,
    zone: Annotated[str, typer.Option("--zone", help="Where it is to serve.")],
    purpose: Purpose = "",
    *,
    no_wait: NoWait = False,
    as_json: Json = False,
) -> None:
    """Serve a version in a zone; its runner verifies everything again first."""
    asked = client.deployments.request(path, zone=zone, purpose=purpose)
    output.record(asked if no_wait else client.deployments.wait(asked.id), as_json=as_json)


@version_app.command("revoke")
@writing
def version_revoke(client: Client, path: Path_, because: Because, *, as_json: Json = False) -> None:
    """Revoke a version for good and stop everything that serves it."""
    output.record(client.versions.revoke(path, because=because), as_json=as_json)


@version_app.command("gate")
@connected
def version_gate(
    client: Client,
    path: Path_,
    transition: Annotated[str, typer.Argument(help="staging, production, deploy or archived.")] = "production",
    zone: Annotated[str, typer.Option("--zone", help="For deploy: where.")] = "",
    *,
    as_json: Json = False,
) -> None:
    """Say what a transition requires and what of it is met; decides nothing."""
    report = client.versions.gate(path, transition, zone=zone)
    if as_json:
        output.dump(report.model_dump(mode="json"))
        return
    screen = output.console()
    marks = (("✓", "green", report.met), ("~", "yellow", report.excepted), ("✗", "red", report.unmet))
    for mark, colour, lines in marks:
        for line in lines:
            until = f" ({line['waiver']}, until {line['expires']})" if line.get("waiver") else ""
            screen.print(f"[{colour}]{mark}[/]", output.cell(f"{line['rule']}: {line.get('reason', '')}{until}"))
    output.say(f"the gate to {report.gate} is {'open' if report.is_open else 'closed'}")
    output.say(f"to approve exactly this: --seen {report.binding}")


def _versions(versions: list[answers.Version], more: output.Columns) -> None:
    columns: output.Columns = {
        "version": lambda one: one.ref.partition(":")[2],
        "stage": lambda one: one.stage,
        "status": lambda one: "revoked" if one.revoked_because else one.status,
        "zone": lambda one: one.zone,
        "tags": lambda one: joined(one.tags),
        "digest": lambda one: short(one.digest),
        "registered": lambda one: moment(one.registered_at),
        **more,
    }
    output.listing(versions, columns, as_json=False, none="No versions.")


def _uploaded(client: Client, text: str, *, namespace: str, zone: str, tags: list[str]) -> requests.ManifestFile:
    role, equals, name = text.partition("=")
    if not equals or role not in set(FileRole):
        role, name = FileRole.WEIGHTS.value, text
    file = Path(name)
    if not file.is_file():
        raise Malformed(f"there is no file {name}", advice="Write FILE or ROLE=FILE.")
    with output.moving(file.name) as progress:
        stored = client.artifacts.upload(file, zone=zone, tags=tags, namespace=namespace, progress=progress)
    return stored.as_file(FileRole(role))


def _minimum(text: str) -> tuple[str, dict[str, float | bool]]:
    metric, _, value = text.partition("=")
    try:
        return metric, {"min": float(value), "interval": True}
    except ValueError as error:
        raise Malformed(f"not a threshold: {text!r}", advice="Write metric=value, as roc_auc=0.95.") from error
