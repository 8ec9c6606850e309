# SPDX-License-Identifier: Apache-2.0
"""Enrolment: a one-time token makes an agent; the agent gets a short-lived identity bound to its zone."""

from __future__ import annotations

import uuid
from datetime import timedelta

from sqlalchemy import select

from audit.events import moment
from audit.transaction import Reader, Transaction
from khatim import tokens
from khatim.errors import LinkUsed, NotFound, Unauthenticated
from khatim.vocabulary import Action, Resource
from khatim.wire import answers, requests
from khatim.wire import work as wire
from policies.loading import PolicyBundle
from registry.notary import Notary
from registry.signing.office import Office
from runners import agents
from runners.agents import AUDIENCE, TokenIssuer
from runners.events import AgentEnrolled, AgentInvited, AgentMoved
from runners.tables import Agent

PREFIX = "enrolment:"


def invite(tx: Transaction, body: requests.Invite, *, issuer: TokenIssuer, rules: PolicyBundle) -> answers.Invitation:
    """Make a one-time enrolment token for a zone; it is shown once and only its id is recorded."""
    tx.require(Action.AGENT_INVITE, Resource("zone", body.zone, zone=body.zone))
    if body.zone not in rules.zones:
        raise NotFound(f"there is no zone {body.zone}", advice="Name a zone of policies/zones.yaml.")
    token_id, expires = str(tx.new_id()), tx.now + timedelta(seconds=body.ttl_s)
    token = tokens.issue(
        issuer.key,
        kind="enrolment",
        subject=PREFIX + token_id,
        audience=AUDIENCE,
        issuer=issuer.issuer,
        at=tx.now,
        ttl=timedelta(seconds=body.ttl_s),
        zone=body.zone,
        jti=token_id,
    )
    tx.record(AgentInvited(about=f"zone:{body.zone}", zone=body.zone, token=token_id, expires_at=moment(expires)))
    return answers.Invitation(token=token, zone=body.zone, expires_at=expires)


def redeem(  # noqa: PLR0913 - the body, its voucher, and who has a say
    tx: Transaction, body: wire.Enrol, voucher: str, *, issuer: TokenIssuer, notary: Notary, office: Office
) -> wire.Identity:
    """Enrol an agent.  The actor is the bearer of the one-time token, *voucher*; a second use raises `LinkUsed`.

    The agent's id is the token's, so that the signer, which keeps the agent's key, knows by itself whose it is.
    """
    zone = tx.actor.zone
    if zone is None or not tx.actor.ref.startswith(PREFIX):
        raise Unauthenticated("only the bearer of an enrolment token may enrol")
    tx.require(Action.JOB_CLAIM, Resource("zone", zone, zone=zone))
    enrolment = tx.actor.ref.removeprefix(PREFIX)
    tx.lock(tx.actor.ref)
    if tx.scalar(select(Agent.id).where(Agent.enrolment == enrolment)) is not None:
        raise LinkUsed("this enrolment token was used before")
    key = office.enrol(voucher, body.proof)
    row = Agent(
        id=uuid.UUID(enrolment),
        zone=zone,
        name=body.name,
        door=body.door,
        state="active",
        enrolled_at=tx.now,
        enrolment=enrolment,
        key=key,
    )
    tx.add(row)
    tx.record(AgentEnrolled(about=row.ref, zone=zone, token=enrolment, key=key))
    return _identity(row, tx, issuer=issuer, notary=notary)


def renew(tx: Transaction, body: wire.Renew, *, issuer: TokenIssuer, notary: Notary) -> wire.Identity:
    """Renew the acting agent's identity, noting where its door is now; a retired agent gets none."""
    agent = agents.of_actor(tx)
    if agent.door != body.door:
        before, agent.door = agent.door, body.door
        tx.record(AgentMoved(about=agent.ref, zone=agent.zone, before=before, door=body.door))
    return _identity(agent, tx, issuer=issuer, notary=notary)


def _identity(agent: Agent, reader: Reader, *, issuer: TokenIssuer, notary: Notary) -> wire.Identity:
    number = len(notary.trust.links)  # before the document: a rotation between the two is then walked once more
    token, expires = agents.identity_token(agent, at=reader.now, issuer=issuer)
    return wire.Identity(
        agent=agent.ref,
        zone=agent.zone,
        token=token,
        expires_at=expires,
        issuer=notary.issuer,
        instance=notary.instance,
        token_key=tokens.public_pem(issuer.key),
        trusted_root=dict(notary.trusted_root),
        trust=number,
    )
