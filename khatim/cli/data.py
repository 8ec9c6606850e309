# SPDX-License-Identifier: Apache-2.0
"""Commands of data: files into zones, dataset versions, feature views."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from khatim.cli import output
from khatim.cli.connection import connected, writing
from khatim.cli.output import Json, joined, moment, short
from khatim.errors import Malformed

if TYPE_CHECKING:
    from khatim.client import Client

dataset_app = typer.Typer(help="Dataset versions.", no_args_is_help=True)
features_app = typer.Typer(help="Feature view versions.", no_args_is_help=True)
artifact_app = typer.Typer(help="Bytes into a zone's store, and out of it.", no_args_is_help=True)
Zone = Annotated[str, typer.Option("--zone", help="The zone, as ae-health.")]
Purpose = Annotated[
    str, typer.Option("--purpose", help="What for, in the words of the transfer authorisation that opens the way.")
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Print the job and return at once.")]
File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)]


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(dataset_app, name="dataset")
    app.add_typer(features_app, name="features")
    app.add_typer(artifact_app, name="artifact")


def text_of(file: Path) -> str:
    """Read a JSON file that a person wrote; raises `Malformed`."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Malformed(f"{file} cannot be read: {error}") from error


@dataset_app.command("ingest")
@writing
def dataset_ingest(
    client: Client,
    name: Annotated[str, typer.Argument(help="namespace/name, as oncology/wdbc.")],
    file: File,
    zone: Zone,
    contract: Annotated[
        Path, typer.Option("--contract", exists=True, dir_okay=False, help="The data contract, a JSON file.")
    ],
    *,
    no_wait: NoWait = False,
    as_json: Json = False,
) -> None:
    """Upload a CSV file into a zone and make a dataset version of it."""
    from khatim.calls.jobs import made_by
    from khatim.contracts import contract_of

    read = contract_of(text_of(contract))
    with output.moving(file.name) as progress:
        stored = client.artifacts.upload(
            file, zone=zone, tags=read.tags, media_type="text/csv", namespace=name.partition("/")[0], progress=progress
        )
    job = client.datasets.ingest(name, zone=zone, source=stored.digest, contract=read)
    if no_wait:
        output.record(job, as_json=as_json)
        return
    done = output.await_job(client, job)
    output.record(client.datasets.get(made_by(done)), as_json=as_json)


@dataset_app.command("list")
@connected
def dataset_list(client: Client, *, as_json: Json = False) -> None:
    """List dataset versions."""
    output.listing(
        client.datasets.list(),
        {
            "dataset": lambda one: one.ref.partition(":")[2],
            "zone": lambda one: one.zone,
            "rows": lambda one: one.report.get("accepted", ""),
            "quarantined": lambda one: one.report.get("quarantined", ""),
            "tags": lambda one: joined(one.tags),
            "digest": lambda one: short(one.digest),
            "registered": lambda one: moment(one.registered_at),
        },
        as_json=as_json,
        none="No dataset versions. Make one: khatim dataset ingest NAME FILE --zone ZONE --contract CONTRACT.",
    )


@dataset_app.command("show")
@connected
def dataset_show(
    client: Client, path: Annotated[str, typer.Argument(help="namespace/name@number.")], *, as_json: Json = False
) -> None:
    """Show one dataset version with its contract and quarantine report."""
    output.record(client.datasets.get(path), as_json=as_json)


@features_app.command("materialise")
@writing
def features_materialise(
    client: Client,
    name: Annotated[str, typer.Argument(help="The view's name, as cell-shape.")],
    dataset: Annotated[str, typer.Option("--dataset", help="From which dataset version, as oncology/wdbc@1.")],
    spec: Annotated[Path, typer.Option("--spec", exists=True, dir_okay=False, help="The feature view, a JSON file.")],
    *,
    no_wait: NoWait = False,
    as_json: Json = False,
) -> None:
    """Materialise a feature view from a dataset version, in the dataset's zone."""
    from khatim.calls.jobs import made_by

    job = client.features.materialise(name, dataset=dataset, spec=text_of(spec))
    if no_wait:
        output.record(job, as_json=as_json)
        return
    output.record(client.features.get(made_by(output.await_job(client, job))), as_json=as_json)


@features_app.command("list")
@connected
def features_list(client: Client, *, as_json: Json = False) -> None:
    """List feature view versions."""
    output.listing(
        client.features.list(),
        {
            "features": lambda one: one.ref.partition(":")[2],
            "zone": lambda one: one.zone,
            "made from": lambda one: one.dataset_ref,
            "rows": lambda one: one.rows,
            "tags": lambda one: joined(one.tags),
            "digest": lambda one: short(one.digest),
            "registered": lambda one: moment(one.registered_at),
        },
        as_json=as_json,
        none="No feature views. Make one: khatim features materialise NAME --dataset PATH --spec SPEC.",
    )


@features_app.command("show")
@connected
def features_show(
    client: Client, path: Annotated[str, typer.Argument(help="namespace/name@number.")], *, as_json: Json = False
) -> None:
    """Show one feature view version with its Arrow schema."""
    output.record(client.features.get(path), as_json=as_json)


@artifact_app.command("upload")
@writing
def artifact_upload(
    client: Client,
    file: File,
    zone: Zone,
    tag: Annotated[list[str], typer.Option("--tag", help="A data tag, as health.ae; may be repeated.")] = [],
    media_type: Annotated[str, typer.Option(help="What kind of file it is.")] = "application/octet-stream",
    purpose: Purpose = "",
    namespace: Annotated[str, typer.Option(help="Whose it is; asked for where there are several entities.")] = "",
    *,
    as_json: Json = False,
) -> None:
    """Bring a file into a zone's store, through that zone's door."""
    with output.moving(file.name) as progress:
        stored = client.artifacts.upload(
            file, zone=zone, tags=tag, media_type=media_type, purpose=purpose, namespace=namespace, progress=progress
        )
    if as_json:
        output.dump({"name": stored.name, "digest": stored.digest, "size": stored.size, "zone": zone})
        return
    typer.echo(stored.digest)


@artifact_app.command("download")
@writing
def artifact_download(
    client: Client,
    digest: Annotated[str, typer.Argument(help="sha256:…")],
    zone: Zone,
    to_zone: Annotated[str, typer.Option("--to-zone", help="Where you are going to read it.")],
    to: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")],
    purpose: Purpose = "",
) -> None:
    """Take bytes out of a zone's store, if residency allows them to be read where you are."""
    with output.moving(to.name) as progress:
        client.artifacts.download(digest, to, zone=zone, to_zone=to_zone, purpose=purpose, progress=progress)
    output.say(f"{to} holds {digest}")
