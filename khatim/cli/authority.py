# SPDX-License-Identifier: Apache-2.0
"""``khatim authority``: the keys of the embedded signing authority.  Runs beside its folder, not over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from khatim.cli import authority_recovery, output
from khatim.cli.authority_desk import HERE, DryRun, custody, done, myself, root_of
from khatim.cli.output import Json
from khatim.cli.server import Data
from khatim.errors import Malformed

if TYPE_CHECKING:
    from gateway.custody import Custody

app = typer.Typer(help="The keys of the signing authority: rotation, ceremonies, recovery.", no_args_is_help=True)
ceremony_app = typer.Typer(help="What the offline root signs.", no_args_is_help=True)
app.add_typer(ceremony_app, name="ceremony")
authority_recovery.install(app)

Because = Annotated[str, typer.Option("--because", help="Why; it stands in the ledger.")]
Root = Annotated[Path, typer.Option("--root", help="The folder of the offline root.")]
RootPassphrase = Annotated[
    Path | None, typer.Option("--root-passphrase-file", help="Its passphrase; asked for by default.")
]


def install(parent: typer.Typer) -> None:
    """Add the commands."""
    parent.add_typer(app, name="authority")


@app.command()
def create(
    data: Data = HERE,
    offline_root: Annotated[
        Path | None, typer.Option("--offline-root", help="A folder outside the service for the root's key, sealed.")
    ] = None,
    root_passphrase: RootPassphrase = None,
    *,
    as_json: Json = False,
) -> None:
    """Found the authority: root, certificates, logs.  In production the root lies on a medium that is taken away."""
    from gateway.instance import Instance

    held = custody(data)
    if offline_root is None and not held.settings.is_local:
        raise Malformed("in production the root's key lies outside the service", advice="Give --offline-root FOLDER.")
    if offline_root is not None and offline_root.resolve().is_relative_to(held.data):
        raise Malformed("the offline root would lie in the service's own folder", advice="Name a folder elsewhere.")
    keys = root_of(offline_root, root_passphrase, new=True) if offline_root else None
    held.found(lambda: datetime.now(UTC), myself(held), keys).close()
    instance = Instance(held.data)
    for name in ("tokens", "ledger"):  # so that the first kit holds them
        instance.signing_key(name)
    for name in ("people", "records", "sources"):
        instance.secret(name)
    where = (
        f"the root's key is in {offline_root}: take it away" if offline_root else "the root's key is with the others"
    )
    body = {"instance": held.settings.instance, "generations": held.record.current(), "root": where}
    done(held, f"founded the authority of {held.settings.instance}; {where}", body, as_json=as_json)


@app.command()
def status(data: Data = HERE, *, as_json: Json = False) -> None:
    """Show generations, when they end, where the keys lie, and the last recovery test."""
    from khatim.cli.authority_status import report, show

    found = report(custody(data), datetime.now(UTC))
    if as_json:
        output.dump(found)
        return
    show(output.console(), found)


@app.command()
def rotate(
    purpose: Annotated[str, typer.Argument(help="signing, timestamping, certificate-log or signature-log.")],
    data: Data = HERE,
    because: Because = "",
    *,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Make a new key for one purpose.  Running servers go on with it at once; the old one is kept for verification."""
    from registry.signing import rotation

    held, at = custody(data), datetime.now(UTC)
    keys = held.keys()
    if dry_run:
        _say_plan(rotation.plan(held.record, purpose, keys, at), as_json=as_json)
        return
    made = rotation.rotate(held.folder, purpose, keys, at, by=myself(held), because=because)
    done(held, f"{made.key} is in use{_after(held)}", {"key": made.key, "start": made.start}, as_json=as_json)


@ceremony_app.command("renew")
def ceremony_renew(
    purpose: Annotated[str, typer.Argument(help="signing or timestamping.")],
    root: Root,
    data: Data = HERE,
    because: Because = "",
    root_passphrase: RootPassphrase = None,
    *,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Have the offline root certify a new key for signing or timestamping."""
    from registry.signing import ceremony, founding, rotation

    held, at = custody(data), datetime.now(UTC)
    keys, root_keys = held.keys(), root_of(root, root_passphrase)
    if dry_run:
        founding.issuer_of(held.record, root_keys, at)
        _say_plan(rotation.plan(held.record, purpose, keys, at), as_json=as_json)
        return
    made = ceremony.renew(held.folder, purpose, keys, root_keys, at, by=myself(held), because=because)
    done(held, f"{made.key} is in use{_after(held)}", {"key": made.key, "start": made.start}, as_json=as_json)


@ceremony_app.command("new-root")
def ceremony_new_root(
    root: Root,
    data: Data = HERE,
    because: Because = "",
    root_passphrase: RootPassphrase = None,
    *,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Make the next root, listed beside the old one, and new signing and timestamping keys under it."""
    from registry.signing import ceremony, keys

    held, at = custody(data), datetime.now(UTC)
    if root.resolve().is_relative_to(held.data) and not held.settings.is_local:
        raise Malformed("the offline root would lie in the service's own folder", advice="Name a folder elsewhere.")
    root_keys = root_of(root, root_passphrase, new=not dry_run)
    if dry_run:
        planned = {"root": keys.fresh(root_keys, "root"), "old": held.record.roots[-1].key}
        output.dump(planned) if as_json else output.say(f"{planned['root']} would follow {planned['old']}.")
        return
    made = ceremony.new_root(held.folder, held.keys(), root_keys, at, by=myself(held), because=because)
    names = [one.key for one in made]
    sentence = f"{', '.join(names)} are in use; take {root} away, and hand the new trusted root out{_after(held)}"
    done(held, sentence, {"keys": names}, as_json=as_json)


@app.command()
def compromise(
    key: Annotated[str, typer.Argument(help="The stolen key, as signing-1; a purpose means its last ended key.")],
    since: Annotated[datetime, typer.Option(help="The cut-off (UTC): nothing signed after it counts.")],
    data: Data = HERE,
    because: Because = "",
    *,
    as_json: Json = False,
) -> None:
    """Cut a stolen key off at a time, and list the signatures in our logs that do not count any more."""
    from khatim.cli.authority_status import affected_in, last_ended
    from registry.signing import rotation

    held, at = custody(data), datetime.now(UTC)
    moment = since.replace(tzinfo=UTC) if since.tzinfo is None else since
    named = last_ended(held.record, key)
    cut = rotation.compromise(held.folder, named, moment, at, by=myself(held), because=because, keys=held.keys())
    found = affected_in(held)
    if not as_json:
        for one in found:
            output.console().print(
                f"{one['log']} {one['index']}  {one['at']}  {one['identity']}  (rests on {one['key']})"
            )
    body = {"key": cut.key, "cut_off": cut.cut_off, "affected": found}
    done(held, f"{cut.key} does not count after {cut.cut_off}: {len(found)} signatures", body, as_json=as_json)


def _after(held: Custody) -> str:
    return "" if held.settings.is_local else "; before the next start: khatim authority backup, then recovery-test"


def _say_plan(planned: Any, *, as_json: bool) -> None:
    if as_json:
        output.dump(output.plain(planned))
        return
    root = " by the root" if planned.needs_root else ""
    output.say(f"{planned.new} would be made{root}; {planned.old} would count until {planned.old_ends}.")
