# SPDX-License-Identifier: Apache-2.0
"""Agents: enrolled with a one-time token, holding a short-lived identity bound to one zone."""

from __future__ import annotations

import hmac
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import ColumnElement, Text, cast, literal, select
from sqlalchemy.dialects.postgresql import insert

from audit.events import moment
from audit.transaction import Reader, Transaction
from governance import deployments, stapling
from governance import queries as governed
from governance.tables import Deployment
from khatim import tokens
from khatim.errors import Conflict, Forbidden, NotFound, Unauthenticated
from khatim.vocabulary import Action, Actor, ActorKind, Resource, Role
from khatim.wire import answers
from khatim.wire import revocations as wire_revocations
from khatim.wire import work as wire
from registry import revocations, standing
from registry.notary import Notary
from runners.events import AgentRetired, EndpointHalted, EndpointPaused
from runners.tables import Agent, Presence

IDENTITY_TTL = timedelta(minutes=15)
AWAY = timedelta(days=30)
"""For how long after its identity ended an agent comes back by its own key: as long as the longest rule of
`policies/runtime.yaml` lets an endpoint go on without a registry."""
AUDIENCE = "khatim"


@dataclass(frozen=True)
class TokenIssuer:
    """Signs the tokens of this installation.  Built once by the composition root."""

    key: Ed25519PrivateKey
    instance: str

    @property
    def issuer(self) -> str:
        """Return the issuer that stands in every token."""
        return f"https://{self.instance}"


def identity_token(agent: Agent, *, at: datetime, issuer: TokenIssuer) -> tuple[str, datetime]:
    """Issue the agent's identity for the next minutes."""
    token = tokens.issue(
        issuer.key,
        kind="agent",
        subject=f"agent:{agent.id}",
        audience=AUDIENCE,
        issuer=issuer.issuer,
        at=at,
        ttl=IDENTITY_TTL,
        zone=agent.zone,
    )
    return token, at + IDENTITY_TTL


def actor_for(agent_ref: str, zone: str) -> Actor:
    """Return the actor that an agent's token stands for."""
    return Actor(agent_ref, ActorKind.AGENT, frozenset({Role.AGENT}), zone)


def of_actor(reader: Reader) -> Agent:
    """Return the agent that acts; raises `Forbidden` for people and for an agent that was retired."""
    zone = reader.actor.zone or ""
    reader.require(Action.JOB_CLAIM, Resource("zone", zone, zone=zone))
    agent = _named(reader, reader.actor.ref.removeprefix("agent:"))
    if agent is None or agent.state != "active" or agent.zone != zone:
        raise Forbidden("this agent may not work any more", advice="Enrol it again with a new token.")
    return agent


def require_key(agent: Agent, fingerprint: str) -> None:
    """Raise `Unauthenticated` unless *fingerprint* is of the key that the agent enrolled with."""
    if not agent.key or not hmac.compare_digest(agent.key, fingerprint):
        raise Unauthenticated(
            "the proof is by another key than this agent's", advice="Enrol it anew: khatim agent invite."
        )


def _named(reader: Reader, name: str, *, for_update: bool = False) -> Agent | None:
    try:
        query = select(Agent).where(Agent.id == uuid.UUID(name))
    except ValueError:
        return None
    found: Agent | None = reader.scalar(query.with_for_update() if for_update else query)
    return found


def listed(reader: Reader) -> list[answers.Agent]:
    """Return the agents that the actor may see, newest first, with when each was last heard of."""
    query = select(Agent, Presence.seen_at).join(Presence, Presence.agent == _ref_of_agent(), isouter=True)
    rows = reader.rows(query.order_by(Agent.id.desc()))
    return [
        answers.Agent.model_validate(agent).model_copy(update={"seen_at": seen_at})
        for agent, seen_at in rows
        if reader.may(Action.READ, agent.resource)
    ]


def known(reader: Reader, ids: Iterable[uuid.UUID]) -> dict[str, Agent]:
    """Return agents by reference, for pages that name who acted; the caller has asked to read what they acted upon."""
    return {row.ref: row for row in reader.scalars(select(Agent).where(Agent.id.in_(ids)))}


def _ref_of_agent() -> ColumnElement[str]:
    return literal("agent:") + cast(Agent.id, Text)


def retire(tx: Transaction, name: str, *, because: str) -> Agent:
    """Retire an agent: its identity is refused from now on, its leases run out."""
    agent = _named(tx, name, for_update=True)
    if agent is None:
        raise NotFound(f"there is no agent {name[:80]!r}")
    tx.require(Action.AGENT_RETIRE, agent.resource)
    if agent.state != "active":
        raise Conflict("the agent is retired already")
    agent.state = "retired"
    tx.record(AgentRetired(about=agent.ref, zone=agent.zone, because=because))
    return agent


def note_presence(tx: Transaction) -> None:
    """Note that the acting agent was heard of."""
    row = insert(Presence).values(agent=tx.actor.ref, seen_at=tx.now)
    tx.execute(row.on_conflict_do_update(index_elements=["agent"], set_={"seen_at": row.excluded.seen_at}))


def door_of(reader: Reader, zone: str) -> str:
    """Return the address of the zone's door: of the newest active agent.  Raises `NotFound` when there is none."""
    query = (
        select(Agent.door)
        .where(Agent.zone == zone, Agent.state == "active")
        .order_by(Agent.enrolled_at.desc())
        .limit(1)
    )
    door: str | None = reader.scalar(query)
    if door is None:
        raise NotFound(
            f"no agent is enrolled in zone {zone}", advice="Enrol one: khatim agent invite, khatim agent run."
        )
    return door


def halted(tx: Transaction, name: str, body: wire.Halted) -> Deployment:
    """Take in that the acting agent took an endpoint of its zone down, because of what it read in the signed list."""
    agent = of_actor(tx)
    row = governed.identified(tx, Deployment, name, for_update=True)
    tx.require(Action.JOB_REPORT, row.resource)
    deployments.halt(tx, row, because=body.because)
    tx.record(
        EndpointHalted(
            about=row.ref,
            namespace=row.namespace,
            zone=row.zone,
            agent=agent.ref,
            because=body.because,
            number=body.number,
        )
    )
    return row


def orders(reader: Reader, notary: Notary) -> wire.Orders:
    """Return what every endpoint of the acting agent's zone must do now."""
    agent = of_actor(reader)
    endpoints = [
        wire.EndpointOrder(
            deployment=str(row.id),
            version=row.version_ref,
            state=row.state,
            because=row.because,
            finding=str(row.finding_id or ""),
        )
        for row in governed.deployments_in(reader, agent.zone)
    ]
    return wire.Orders(
        at=reader.now,
        endpoints=endpoints,
        trust=len(notary.trust.links),
        revocations=standing.number_of(reader),
        status=stapling.mark_of(stapling.listed(reader, agent.zone)),
    )


def status_for(reader: Reader, notary: Notary) -> wire.SignedStatus:
    """Return the signed status of the acting agent's zone, which it goes on by when the registry is away."""
    agent = of_actor(reader)
    mark, bundle = stapling.signed(reader, notary, agent.zone)
    return wire.SignedStatus(mark=mark, bundle=bundle)


def paused(tx: Transaction, name: str, body: wire.Paused) -> Deployment:
    """Take in that an endpoint of the acting agent's zone did not answer, by what was agreed for it."""
    agent = of_actor(tx)
    row = governed.identified(tx, Deployment, name)
    tx.require(Action.JOB_REPORT, row.resource)
    tx.record(
        EndpointPaused(
            about=row.ref, namespace=row.namespace, zone=row.zone, agent=agent.ref, because=body.because,
            since=moment(body.since), until=moment(body.until) if body.until else "",
        )
    )  # fmt: skip
    return row


def trust_for(reader: Reader, notary: Notary, after: int) -> wire.TrustSteps:
    """Return the steps from the trusted root number *after* to the present one."""
    of_actor(reader)
    links = notary.trust.links
    return wire.TrustSteps(number=len(links), links=list(links[after:]))


def revocations_for(reader: Reader, notary: Notary) -> wire_revocations.SignedList:
    """Return the signed list to an agent, whether or not it may still work: it must stop what is revoked."""
    of_actor(reader)
    return wire_revocations.SignedList(number=standing.number_of(reader), bundle=revocations.signed(reader, notary))
