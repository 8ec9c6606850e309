# SPDX-License-Identifier: Apache-2.0
"""Tickets: signed, short-lived permission to move one blob through one zone's door.  The bytes never pass here."""

from __future__ import annotations

from datetime import timedelta

from audit.transaction import Transaction
from khatim import tokens
from khatim.errors import Malformed, TicketRefused, Unauthenticated
from khatim.vocabulary import Decision
from khatim.wire import answers, requests
from khatim.wire import work as wire
from policies.loading import PolicyBundle
from registry import artifacts
from registry.tables import Placement
from runners import agents
from runners.agents import TokenIssuer

TTL = timedelta(minutes=5)
# A ticket opens the door within `TTL`; the upload that it opened may take longer.
LONGEST = timedelta(hours=6)


def upload(tx: Transaction, body: requests.Upload, *, issuer: TokenIssuer, rules: PolicyBundle) -> answers.Ticket:
    """Issue a ticket to put one blob into a zone."""
    decision = artifacts.admit_upload(
        tx,
        body.digest,
        zone=body.zone,
        size=body.size,
        media_type=body.media_type,
        tags=body.tags,
        rules=rules,
        purpose=body.purpose,
        namespace=body.namespace,
    )
    return _ticket(
        tx, "put", body.zone, body.digest, issuer, decision=decision, max_size=body.size, media_type=body.media_type,
        tags=sorted(body.tags),
    )  # fmt: skip


def download(tx: Transaction, body: requests.Download, *, issuer: TokenIssuer, rules: PolicyBundle) -> answers.Ticket:
    """Issue a ticket to read one blob from a zone's store."""
    placed = artifacts.admit_download(
        tx, body.digest, zone=body.zone, to_zone=body.to_zone, rules=rules, purpose=body.purpose
    )
    return _ticket(
        tx, "get", body.zone, body.digest, issuer, decision=None, max_size=placed.size, media_type=placed.media_type,
        tags=placed.tags,
    )  # fmt: skip


def placed(tx: Transaction, body: wire.Placed, *, issuer: TokenIssuer) -> Placement:
    """Note that the acting agent's store holds a blob; the ticket that let it in must name that very blob."""
    agent = agents.of_actor(tx)
    try:
        key, audience = issuer.key.public_key(), f"zone:{agent.zone}"
        claims = tokens.read(body.ticket, key, audience=audience, at=tx.now, kind="ticket", grace=LONGEST)
    except Unauthenticated as wrong:
        raise TicketRefused(f"the ticket does not hold: {wrong.detail}", advice="Ask for a new one.") from wrong
    if claims.get("op") != "put" or claims.get("digest") != body.digest:
        raise TicketRefused("the ticket does not speak about this blob")
    if body.size > int(claims["max_size"]):
        raise Malformed("the blob is larger than its ticket allows")
    return artifacts.place(
        tx,
        body.digest,
        zone=agent.zone,
        size=body.size,
        media_type=str(claims["media_type"]),
        tags=[str(tag) for tag in claims["tags"]],
        basis=str(claims["rule"]),
    )


def _ticket(  # noqa: PLR0913 - the claims of one ticket
    tx: Transaction,
    op: str,
    zone: str,
    digest: str,
    issuer: TokenIssuer,
    *,
    decision: Decision | None,
    **claims: object,
) -> answers.Ticket:
    token = tokens.issue(
        issuer.key,
        kind="ticket",
        subject=tx.actor.ref,
        audience=f"zone:{zone}",
        issuer=issuer.issuer,
        at=tx.now,
        ttl=TTL,
        op=op,
        digest=digest,
        rule=decision.rule if decision else "",
        **claims,
    )
    return answers.Ticket(door=agents.door_of(tx, zone), token=token, digest=digest, expires_at=tx.now + TTL)
