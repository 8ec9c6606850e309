# SPDX-License-Identifier: Apache-2.0
"""Commands of policy: what is in force, what other rules would change, propose them, put them in force."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from khatim.cli import output
from khatim.cli.connection import connected, writing
from khatim.cli.output import Json, moment
from khatim.errors import Malformed
from policies.overlaid import shipped

if TYPE_CHECKING:
    from khatim.client import Client
    from khatim.wire.rules import Simulation

policy_app = typer.Typer(help="Rules: what is in force, and how it becomes something else.", no_args_is_help=True)
Because = Annotated[str, typer.Option("--because", help="Why; it stands in the ledger.")]
Id = Annotated[str, typer.Argument(metavar="ID")]
Source = Annotated[
    Path,
    typer.Argument(
        help="A folder: the whole overlay. A file, as gates.yaml: in place of that one. Or a shipped one, as small.",
        metavar="FILE",
    ),
]
_SHOWN = 20
_SUFFIXES = frozenset({".yaml", ".csv"})


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(policy_app, name="policy")


def files_of(source: Path, client: Client) -> dict[str, str]:
    """Return the overlay that *source* means: a folder's files, or those in force with one file in another form."""
    if not source.exists():
        source = shipped(str(source)) or source
    try:
        if source.is_dir():
            return {path.name: path.read_text() for path in sorted(source.iterdir()) if path.suffix in _SUFFIXES}
        return {**client.policies.overlay().files, source.name: source.read_text()}
    except (OSError, UnicodeDecodeError) as error:
        raise Malformed(f"{source} cannot be read: {error}") from error


@policy_app.command("current")
@connected
def current(
    client: Client,
    to: Annotated[Path | None, typer.Option("--to", help="Write the overlay's files into this folder.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Show the rules in force: their digest, and the texts that lie over the shipped ones."""
    found = client.policies.overlay()
    if to is not None:
        to.mkdir(parents=True, exist_ok=True)
        for name, text in found.files.items():
            (to / name).write_text(text)
    if as_json:
        output.record(found, as_json=True)
        return
    output.say(f"{found.digest}, " + (f"by policy change {found.change}" if found.change else "as configured"))
    for name, text in found.files.items():
        output.say(f"  {name}: {len(text.splitlines())} lines" + (f", written to {to / name}" if to else ""))


@policy_app.command("simulate")
@connected
def simulate(
    client: Client,
    source: Source,
    limit: Annotated[int, typer.Option("--versions", help="How many of the newest versions to judge.")] = 50,
    *,
    as_json: Json = False,
) -> None:
    """Show which decisions would be others under these rules; changes nothing."""
    found = client.policies.simulate(files_of(source, client), limit=limit)
    if as_json:
        output.record(found, as_json=True)
        return
    _tell(found)


@policy_app.command("propose")
@writing
def propose(
    client: Client,
    source: Source,
    because: Because,
    ticket: Annotated[str, typer.Option("--ticket", help="The change ticket this rests on.")] = "",
    *,
    as_json: Json = False,
) -> None:
    """Propose these rules; somebody else puts them in force."""
    found = client.policies.propose(files_of(source, client), because=because, ticket=ticket)
    output.record(found, as_json=as_json)
    if not as_json:
        output.say(f"nothing changes until somebody else approves: khatim policy approve {found.id}")


@policy_app.command("list")
@connected
def list_(client: Client, *, as_json: Json = False) -> None:
    """List the policy changes, the newest first, whatever their state."""
    output.listing(
        client.policies.list(),
        {
            "id": lambda one: one.id,
            "state": lambda one: one.state,
            "digest": lambda one: one.digest[:19],
            "reason": lambda one: one.reason,
            "proposed by": lambda one: one.requested_by,
            "approved by": lambda one: one.approved_by or "",
            "since": lambda one: moment(one.approved_at),
        },
        as_json=as_json,
        none="No policy changes. Propose one: khatim policy propose FILE --because …",
    )


@policy_app.command("show")
@connected
def show(client: Client, name: Id, *, as_json: Json = False) -> None:
    """Show a policy change, its texts, and for a proposal what it would change."""
    found = client.policies.get(name)
    output.record(found, as_json=as_json)
    if not as_json and found.state == "requested":
        _tell(client.policies.simulate(found.files))


@policy_app.command("approve")
@writing
def approve(client: Client, name: Id, because: Because, *, as_json: Json = False) -> None:
    """Put rules in force that somebody else proposed; every worker follows within seconds."""
    output.record(client.policies.approve(name, because=because), as_json=as_json)


@policy_app.command("withdraw")
@writing
def withdraw(client: Client, name: Id, because: Because, *, as_json: Json = False) -> None:
    """Take a proposal back, or turn it down."""
    output.record(client.policies.withdraw(name, because=because), as_json=as_json)


def _tell(found: Simulation) -> None:
    """Print what would be decided differently, at most some lines of each kind."""
    if found.before == found.after:
        output.say("nothing: these rules are in force (comments and spacing change nothing)")
        return
    output.say(f"{found.before} would become {found.after}; other: {', '.join(found.files)}")
    for action in found.doors_shut:
        output.say(f"nobody could do {action} any more: this cannot be proposed")
    _lines(
        "access",
        [f"{one.role}: {one.action}: {one.before} -> {one.after} in {_some(one.places)}" for one in found.access],
    )
    _lines(
        "movements",
        [
            f"{one.kind} of {one.tag} from {one.from_zone} to {one.to_zone}: "
            f"{_word(one.before)} ({one.rule_before}) -> {_word(one.after)} ({one.rule_after})"
            for one in found.movements
        ],
    )
    _lines(
        "live endpoints",
        [f"{one.event}, tier {one.tier}: {one.before['do']} -> {one.after['do']}" for one in found.runtime],
    )
    _lines(
        f"gates of {found.versions} versions"
        + (f" ({found.left_out} older ones not judged)" if found.left_out else ""),
        [
            f"{one.version}, {one.transition}: {_word(one.before)} -> {_word(one.after)}; "
            + "; ".join(
                words
                for words in (
                    f"newly asked: {', '.join(one.newly_unmet)}" if one.newly_unmet else "",
                    f"no longer in the way: {', '.join(one.newly_met)}" if one.newly_met else "",
                )
                if words
            )
            for one in found.gates
        ],
    )
    output.say(f"approvals that would have to be given anew: {found.approvals_void}")


def _lines(title: str, lines: list[str]) -> None:
    output.say(f"{title}: " + ("as now" if not lines else f"{len(lines)} other"))
    for line in lines[:_SHOWN]:
        output.say(f"  {line}")
    if len(lines) > _SHOWN:
        output.say(f"  … and {len(lines) - _SHOWN} more: --json")


def _word(is_open: bool) -> str:  # noqa: FBT001 - one answer
    return "open" if is_open else "closed"


def _some(places: list[str]) -> str:
    shown = ", ".join(places[:4])
    return shown + (f" and {len(places) - 4} more places" if len(places) > 4 else "")  # noqa: PLR2004 - as shown
