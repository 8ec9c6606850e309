# SPDX-License-Identifier: Apache-2.0
"""Commands of access: ask for a role on record, give it, take it back; cut somebody off; explain a decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from khatim.cli import output
from khatim.cli.connection import connected, writing
from khatim.cli.output import Json, moment

if TYPE_CHECKING:
    from khatim.client import Client
    from khatim.wire.access import ReviewWithItems

access_app = typer.Typer(help="Access: roles on record, suspensions, explanations.", no_args_is_help=True)
review_app = typer.Typer(help="Access reviews: is every role on record still needed?", no_args_is_help=True)
Because = Annotated[str, typer.Option("--because", help="Why; it stands in the ledger, so name nobody.")]
Id = Annotated[str, typer.Argument(metavar="ID")]
Ref = Annotated[str, typer.Argument(help="The reference of a person, as the ledger has it: p-…", metavar="REF")]


def install(app: typer.Typer) -> None:
    """Add the commands."""
    access_app.add_typer(review_app, name="review")
    app.add_typer(access_app, name="access")


@access_app.command("request")
@writing
def request(
    client: Client,
    subject: Annotated[str, typer.Argument(help="person:REF or group:NAME.", metavar="WHO")],
    role: Annotated[str, typer.Argument(help="The role, as validator.")],
    because: Because,
    days: Annotated[int, typer.Option("--days", help="How long; the role bounds it.")] = 90,
    zone: Annotated[str, typer.Option("--zone", help="In which zones; may end in *.")] = "*",
    namespace: Annotated[str, typer.Option("--namespace", help="In which namespaces; may end in *.")] = "*",
    ticket: Annotated[str, typer.Option("--ticket", help="The access ticket this rests on.")] = "",
    *,
    in_my_absence: Annotated[
        bool, typer.Option("--in-my-absence", help="A role of yours: they act for you, with your one voice.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Ask that a person or group hold a role for a time; somebody else gives it."""
    found = client.access.request(
        subject, role, days=days, because=because, zone=zone, namespace=namespace, ticket=ticket,
        in_my_absence=in_my_absence,
    )  # fmt: skip
    output.record(found, as_json=as_json)
    if not as_json:
        output.say(f"nobody holds it until somebody else approves: khatim access approve {found.id}")


@access_app.command("approve")
@writing
def approve(client: Client, name: Id, because: Because, *, as_json: Json = False) -> None:
    """Give a role that somebody else asked for, to somebody else than yourself."""
    output.record(client.access.approve(name, because=because), as_json=as_json)


@access_app.command("break-glass")
@writing
def break_glass(
    client: Client,
    role: Annotated[str, typer.Argument(help="The role, as platform-engineer.")],
    because: Because,
    hours: Annotated[int, typer.Option("--hours", help="How long; the policy bounds it.")] = 2,
    zone: Annotated[str, typer.Option("--zone", help="In which zones; may end in *.")] = "*",
    namespace: Annotated[str, typer.Option("--namespace", help="In which namespaces; may end in *.")] = "*",
    ticket: Annotated[str, typer.Option("--ticket", help="The incident this rests on.")] = "",
    *,
    as_json: Json = False,
) -> None:
    """Ask for a role for yourself at once, in an emergency; a second person confirms, and a review follows."""
    found = client.access.break_glass(role, hours=hours, because=because, zone=zone, namespace=namespace, ticket=ticket)
    output.record(found, as_json=as_json)
    if not as_json:
        output.say(f"a second person breaks the glass with you: khatim access confirm {found.id}")


@access_app.command("confirm")
@writing
def confirm(client: Client, name: Id, because: Because, *, as_json: Json = False) -> None:
    """Break the glass as the second person; somebody else must review what was done."""
    output.record(client.access.confirm(name, because=because), as_json=as_json)


@access_app.command("revoke")
@writing
def revoke(client: Client, name: Id, because: Because, *, as_json: Json = False) -> None:
    """Take a role back, or turn its request down."""
    output.record(client.access.revoke(name, because=because), as_json=as_json)


@access_app.command("list")
@connected
def list_(client: Client, *, as_json: Json = False) -> None:
    """List the roles on record, the newest first, whatever their state."""
    output.listing(
        client.access.list(),
        {
            "id": lambda one: one.id,
            "state": lambda one: one.state,
            "who": lambda one: one.subject,
            "role": lambda one: one.role,
            "zone": lambda one: one.zone,
            "namespace": lambda one: one.namespace,
            "asked by": lambda one: one.requested_by,
            "approved by": lambda one: one.approved_by or "",
            "until": lambda one: moment(one.expires_at),
        },
        as_json=as_json,
        none="No roles on record. Ask for one: khatim access request person:REF ROLE --because …",
    )


@access_app.command("suspend")
@writing
def suspend(client: Client, person: Ref, because: Because, *, as_json: Json = False) -> None:
    """Cut a person off from everything, whatever their sign-in brings; every worker follows within seconds."""
    output.record(client.access.suspend(person, because=because), as_json=as_json)


@access_app.command("sign-out")
@writing
def sign_out(client: Client, person: Ref, because: Because, *, as_json: Json = False) -> None:
    """End every session of a person, who may sign in again: for a browser that was lost."""
    output.record(client.access.sign_out(person, because=because), as_json=as_json)


@access_app.command("restore")
@writing
def restore(client: Client, person: Ref, because: Because, *, as_json: Json = False) -> None:
    """Let a person back in whom somebody else cut off."""
    output.record(client.access.restore(person, because=because), as_json=as_json)


@access_app.command("suspensions")
@connected
def suspensions(client: Client, *, as_json: Json = False) -> None:
    """List who was cut off, the newest first, those who came back included."""
    output.listing(
        client.access.suspensions(),
        {
            "person": lambda one: one.person,
            "since": lambda one: moment(one.suspended_at),
            "by": lambda one: one.suspended_by,
            "because": lambda one: one.because,
            "lifted": lambda one: moment(one.lifted_at),
            "lifted by": lambda one: one.lifted_by or "",
        },
        as_json=as_json,
        none="Nobody was ever cut off.",
    )


@review_app.command("open")
@writing
def review_open(
    client: Client,
    because: Because,
    role: Annotated[str, typer.Option("--role", help="Only this role.")] = "",
    namespace: Annotated[str, typer.Option("--namespace", help="Only what was given for exactly this pattern.")] = "",
    days: Annotated[int, typer.Option("--days", help="When it is due.")] = 14,
    *,
    as_json: Json = False,
) -> None:
    """Ask of every live role on record whether it is still needed; what nobody answers for is taken back."""
    found = client.access.open_review(because=because, role=role, namespace=namespace, days=days)
    _review(found, as_json=as_json)


@review_app.command("list")
@connected
def review_list(client: Client, *, as_json: Json = False) -> None:
    """List the access reviews, the newest first."""
    output.listing(
        client.access.reviews(),
        {
            "id": lambda one: one.id,
            "state": lambda one: one.state,
            "role": lambda one: one.role or "all",
            "namespace": lambda one: one.namespace or "all",
            "opened by": lambda one: one.opened_by,
            "due": lambda one: moment(one.due_at),
            "closed": lambda one: moment(one.closed_at),
        },
        as_json=as_json,
        none="No reviews. Open one: khatim access review open --because …",
    )


@review_app.command("show")
@connected
def review_show(client: Client, name: Id, *, as_json: Json = False) -> None:
    """Show a review: what was answered by whom, and what became of each role."""
    _review(client.access.review(name), as_json=as_json)


@review_app.command("decide")
@writing
def review_decide(
    client: Client,
    name: Id,
    assignment: Annotated[str, typer.Argument(help="The id of the role on record.", metavar="ASSIGNMENT")],
    decision: Annotated[str, typer.Argument(help="keep or revoke.", metavar="keep|revoke")],
    because: Because,
    *,
    as_json: Json = False,
) -> None:
    """Answer for one role on record: keep it, or take it back at once."""
    _review(client.access.decide(name, assignment, decision, because=because), as_json=as_json)


def _review(found: ReviewWithItems, *, as_json: bool) -> None:
    if as_json:
        output.record(found, as_json=True)
        return
    output.say(f"review {found.id}: {found.state}, due {moment(found.due_at)}")
    output.listing(
        iter(found.items),
        {
            "assignment": lambda one: one.assignment.id,
            "who": lambda one: one.assignment.subject,
            "role": lambda one: one.assignment.role,
            "until": lambda one: moment(one.assignment.expires_at),
            "answer": lambda one: one.decision or "open",
            "by": lambda one: one.decided_by or "",
            "now": lambda one: one.assignment.state,
        },
        as_json=False,
        none="Nothing is asked.",
    )


@access_app.command("explain")
@connected
def explain(
    client: Client,
    who: Annotated[str, typer.Argument(help="The reference of a person, or: me.", metavar="WHO")],
    action: Annotated[str, typer.Argument(help="As version.approve.")],
    what: Annotated[str, typer.Argument(help="As version:oncology/malignancy@1.", metavar="WHAT")],
    zone: Annotated[str, typer.Option("--zone", help="Where it is.")] = "",
    role: Annotated[list[str] | None, typer.Option("--role", help="A role that the sign-in brings.")] = None,
    group: Annotated[list[str] | None, typer.Option("--group", help="A group that the sign-in brings.")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="A data tag of it.")] = None,
    stage: Annotated[str, typer.Option("--stage", help="The stage of the version.")] = "",
    alias: Annotated[str, typer.Option("--alias", help="The alias that would move.")] = "",
    strength: Annotated[
        int | None, typer.Option("--strength", help="1 one factor, 2 two, 3 bound to a device.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Explain whether somebody may do something: the row of the policy, and every role that counts."""
    found = client.access.explain(
        action, what, person="" if who == "me" else who, roles=role or (), groups=group or (), zone=zone,
        tags=tag or (), stage=stage, alias=alias, strength=strength,
    )  # fmt: skip
    output.record(found, as_json=as_json)
