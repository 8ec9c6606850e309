# SPDX-License-Identifier: Apache-2.0
"""HTTP routes of agents: enrol, claim, renew, complete; and of people who ask for tickets and invite agents."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from audit.http import Read, SealedRoute, Tx, part
from governance import queries
from governance.tables import Job
from khatim.wire import answers, requests
from khatim.wire import revocations as wire_revocations
from khatim.wire import work as wire
from registry.routes import Pen, Rules
from registry.signing.office import Office
from runners import agents, completion, enrolment, jobs, tickets
from runners.agents import TokenIssuer

Issuer = Annotated[TokenIssuer, Depends(part(TokenIssuer))]
Desk = Annotated[Office, Depends(part(Office))]
router = APIRouter(prefix="/v1", tags=["runners"], route_class=SealedRoute)


def bearer(request: Request) -> str:
    """Return the token of the caller, who was identified by it already."""
    return request.headers.get("authorization", "").partition(" ")[2].strip()


Voucher = Annotated[str, Depends(bearer)]


@router.post("/uploads", status_code=201)
def upload(tx: Tx, rules: Rules, issuer: Issuer, body: requests.Upload) -> answers.Ticket:
    """Ask for a ticket to bring bytes into a zone, through that zone's door."""
    return tickets.upload(tx, body, issuer=issuer, rules=rules)


@router.post("/downloads", status_code=201)
def download(tx: Tx, rules: Rules, issuer: Issuer, body: requests.Download) -> answers.Ticket:
    """Ask for a ticket to take bytes out of a zone's store."""
    return tickets.download(tx, body, issuer=issuer, rules=rules)


@router.get("/agents")
def list_agents(reader: Read) -> answers.Page[answers.Agent]:
    """List agents."""
    return answers.Page(items=agents.listed(reader))


@router.post("/agents/invitations", status_code=201)
def invite(tx: Tx, rules: Rules, issuer: Issuer, body: requests.Invite) -> answers.Invitation:
    """Make a one-time enrolment token for a zone."""
    return enrolment.invite(tx, body, issuer=issuer, rules=rules)


@router.post("/agents/{name}/retirement")
def retire(tx: Tx, name: str, body: requests.Reason) -> answers.Agent:
    """Retire an agent."""
    return answers.Agent.model_validate(agents.retire(tx, name, because=body.because))


@router.post("/agent/enrolment", status_code=201)
def enrol(tx: Tx, issuer: Issuer, pen: Pen, desk: Desk, voucher: Voucher, body: wire.Enrol) -> wire.Identity:
    """Redeem a one-time token; the bearer of the token is the caller."""
    return enrolment.redeem(tx, body, voucher, issuer=issuer, notary=pen, office=desk)


@router.post("/agent/identity")
def renew(tx: Tx, issuer: Issuer, pen: Pen, body: wire.Renew) -> wire.Identity:
    """Renew an agent's identity while the present one holds."""
    return enrolment.renew(tx, body, issuer=issuer, notary=pen)


@router.post("/agent/jobs/claim")
def claim(tx: Tx, issuer: Issuer) -> wire.Work | None:
    """Claim the next job of the agent's zone; null when nothing waits."""
    return jobs.claim(tx, issuer=issuer)


@router.post("/agent/jobs/{name}/heartbeat")
def heartbeat(tx: Tx, name: str, body: wire.Heartbeat) -> wire.Lease:
    """Renew a lease."""
    return jobs.heartbeat(tx, name, body.fence)


@router.post("/agent/jobs/{name}/completion")
def complete(tx: Tx, rules: Rules, pen: Pen, name: str, body: wire.Complete) -> answers.Job:
    """Complete a job with its outcome."""
    return answers.Job.model_validate(completion.complete(tx, name, body, notary=pen, rules=rules))


@router.post("/agent/jobs/{name}/failure")
def fail(tx: Tx, name: str, body: wire.Failed) -> answers.Job:
    """Say that a job could not be done."""
    return answers.Job.model_validate(jobs.fail(tx, name, body))


@router.post("/agent/artifacts", status_code=201)
def placed(tx: Tx, issuer: Issuer, body: wire.Placed) -> answers.Placement:
    """Report that the zone's store holds a blob that came through its door."""
    return answers.Placement.model_validate(tickets.placed(tx, body, issuer=issuer))


@router.get("/agent/orders")
def orders(reader: Read, pen: Pen) -> wire.Orders:
    """Return what every endpoint of the agent's zone must do now."""
    return agents.orders(reader, pen)


@router.get("/agent/trust")
def trust(reader: Read, pen: Pen, after: Annotated[int, Query(ge=0, le=1_000_000)] = 0) -> wire.TrustSteps:
    """Return the signed steps from the trusted root with that number to the present one."""
    return agents.trust_for(reader, pen, after)


@router.get("/agent/revocations")
def revocations(reader: Read, pen: Pen) -> wire_revocations.SignedList:
    """Return the signed list of revocations to an agent."""
    return agents.revocations_for(reader, pen)


@router.post("/agent/deployments/{name}/halt")
def halt(tx: Tx, name: str, body: wire.Halted) -> answers.Deployment:
    """Say that the agent took an endpoint down by itself because of a revocation."""
    return answers.Deployment.model_validate(agents.halted(tx, name, body))


@router.get("/agent/status")
def status(reader: Read, pen: Pen) -> wire.SignedStatus:
    """Return the signed status of the zone's endpoints."""
    return agents.status_for(reader, pen)


@router.post("/agent/deployments/{name}/pause")
def pause(tx: Tx, name: str, body: wire.Paused) -> answers.Deployment:
    """Say that an endpoint did not answer for a time, by what was agreed for it."""
    return answers.Deployment.model_validate(agents.paused(tx, name, body))


@router.get("/agent/jobs/{name}")
def job_of(reader: Read, name: str) -> answers.Job:
    """Return one job as its agent sees it."""
    return answers.Job.model_validate(queries.identified(reader, Job, name))
