# SPDX-License-Identifier: Apache-2.0
"""HTTP routes of what is decided: ask for work, approve, promote, deploy, monitor, resolve."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Response

from audit.http import Read, SealedRoute, Tx
from governance import (
    aftermath,
    approvals,
    authorisations,
    data_work,
    deployments,
    dossiers,
    evaluations,
    findings,
    lifecycle,
    monitors,
    promotion,
    queries,
    revoking,
    self_attesting,
)
from governance.tables import Authorisation, Deployment, Finding, Job
from khatim.wire import answers, proofs, requests
from khatim.wire import findings as wire_findings
from khatim.wire import revocations as wire_revocations
from policies.facts import Transition
from registry.routes import Cursor, Limit, Pen, Rules

router = APIRouter(prefix="/v1", tags=["governance"], route_class=SealedRoute)
VERSION = "/models/{namespace}/{name}/versions/{number}"


@router.post("/datasets/{namespace}/{name}/versions", status_code=202)
def ingest(tx: Tx, rules: Rules, namespace: str, name: str, body: requests.Ingest) -> answers.Job:
    """Ask for a dataset version of an uploaded file."""
    given = body.model_dump()
    return answers.Job.model_validate(data_work.ingest(tx, namespace, name, **given, rules=rules))


@router.post("/features/{name}/versions", status_code=202)
def materialise(tx: Tx, rules: Rules, name: str, body: requests.Materialise) -> answers.Job:
    """Ask for a feature view version of a dataset version."""
    return answers.Job.model_validate(data_work.materialise(tx, name, **body.model_dump(), rules=rules))


@router.get("/authorisations")
def list_authorisations(reader: Read, cursor: Cursor = "", limit: Limit = 50) -> answers.Page[answers.Authorisation]:
    """List training authorisations, newest first."""
    rows, following = queries.page_of(reader, Authorisation, cursor=cursor, limit=limit)
    return answers.Page(items=[answers.Authorisation.model_validate(row) for row in rows], next=following)


@router.post("/authorisations", status_code=201)
def request_authorisation(tx: Tx, body: requests.Authorisation) -> answers.Authorisation:
    """Ask for a standing training authorisation."""
    return answers.Authorisation.model_validate(authorisations.request(tx, **body.model_dump()))


@router.post("/authorisations/{name}/approval")
def approve_authorisation(tx: Tx, rules: Rules, name: str, body: requests.Reason) -> answers.Authorisation:
    """Approve a standing training authorisation."""
    return answers.Authorisation.model_validate(authorisations.approve(tx, name, because=body.because, rules=rules))


@router.post("/authorisations/{name}/revocation")
def revoke_authorisation(tx: Tx, name: str, body: requests.Reason) -> answers.Authorisation:
    """Take an authorisation back."""
    return answers.Authorisation.model_validate(authorisations.revoke(tx, name, because=body.because))


@router.post("/trainings", status_code=202)
def train(tx: Tx, rules: Rules, body: requests.Train) -> answers.Job:
    """Start a training run inside an authorisation."""
    given = body.model_dump(exclude={"authorisation"})
    return answers.Job.model_validate(authorisations.train(tx, body.authorisation, **given, rules=rules))


@router.post("/models/{namespace}/{name}/versions", status_code=201)
def register(tx: Tx, rules: Rules, namespace: str, name: str, body: requests.Register) -> answers.Version:
    """Register a version whose files stand in a zone already; it is READY when they are scanned."""
    return answers.Version.model_validate(lifecycle.register(tx, namespace, name, body, rules=rules))


@router.post(VERSION + "/revocation")
def revoke(tx: Tx, namespace: str, name: str, number: int, body: requests.Reason) -> answers.Version:
    """Revoke a version; its endpoints stop within seconds."""
    row = lifecycle.revoke(tx, f"{namespace}/{name}@{number}", because=body.because)
    return answers.Version.model_validate(row)


@router.post("/revocations", status_code=201)
def revoke_trust(tx: Tx, rules: Rules, pen: Pen, body: requests.Revoke) -> wire_revocations.Revocation:
    """Revoke a statement, key, identity or artifact; what may not serve any more stops within seconds."""
    return wire_revocations.Revocation.model_validate(revoking.revoke(tx, body, notary=pen, rules=rules))


@router.post("/revocations/preview")
def preview(reader: Read, pen: Pen, body: requests.Revoke) -> wire_revocations.Touched:
    """Say what a revocation would reach; changes nothing."""
    return revoking.told(revoking.preview(reader, body, notary=pen))


@router.post(VERSION + "/evaluations", status_code=202)
def evaluate(tx: Tx, namespace: str, name: str, number: int, body: requests.Evaluate) -> answers.Job:
    """Ask for an evaluation on held-out data."""
    job = evaluations.request(tx, f"{namespace}/{name}@{number}", **body.model_dump())
    return answers.Job.model_validate(job)


@router.get(VERSION + "/evidence")
def evidence(reader: Read, namespace: str, name: str, number: int) -> answers.Page[answers.Evidence]:
    """List the evidence about a version."""
    rows = lifecycle.evidence_of(reader, f"{namespace}/{name}@{number}")
    return answers.Page(items=[answers.Evidence.model_validate(row) for row in rows])


@router.get(VERSION + "/approvals")
def list_approvals(reader: Read, namespace: str, name: str, number: int) -> answers.Page[answers.Approval]:
    """List the approvals of a version, whatever their state."""
    rows = lifecycle.approvals_of(reader, f"{namespace}/{name}@{number}")
    return answers.Page(items=[answers.Approval.model_validate(row) for row in rows])


@router.post(VERSION + "/approvals", status_code=201)
def approve(
    tx: Tx,
    rules: Rules,
    pen: Pen,
    namespace: str,
    name: str,
    number: int,
    body: requests.Approve,
    if_match: Annotated[str, Header(max_length=100)] = "",
) -> answers.Approval:
    """Approve a version in one role; with `If-Match` only if it is what the report of its gate showed."""
    given = {**body.model_dump(), "seen": body.seen or if_match.strip('"')}
    row = approvals.approve(tx, f"{namespace}/{name}@{number}", **given, notary=pen, rules=rules)
    return answers.Approval.model_validate(row)


@router.post(VERSION + "/self-attestations", status_code=201)
def attest(
    tx: Tx, rules: Rules, pen: Pen, namespace: str, name: str, number: int, body: requests.SelfAttest
) -> answers.SelfAttestation:
    """Attest one's own work where nobody else is there (profile solo); it is no approval."""
    row = self_attesting.attest(tx, f"{namespace}/{name}@{number}", body, notary=pen, rules=rules)
    return self_attesting.told(row)


@router.get(VERSION + "/self-attestations")
def list_attestations(reader: Read, namespace: str, name: str, number: int) -> answers.Page[answers.SelfAttestation]:
    """List the self-attestations of a version, whatever their state."""
    rows = self_attesting.attestations_of(reader, f"{namespace}/{name}@{number}")
    return answers.Page(items=[self_attesting.told(row) for row in rows])


@router.post(VERSION + "/approvals/{approval}/answers", status_code=201)
def answer_obligation(
    tx: Tx, namespace: str, name: str, number: int, approval: str, body: requests.Answered
) -> answers.Approval:
    """Say how an obligation of a conditional approval was met."""
    path = f"{namespace}/{name}@{number}"
    return answers.Approval.model_validate(approvals.answer(tx, path, approval, **body.model_dump()))


@router.get(VERSION + "/gates/{transition}")
def gate(
    reader: Read,
    rules: Rules,
    pen: Pen,
    response: Response,
    namespace: str,
    name: str,
    number: int,
    transition: Transition,
    zone: str = "",
) -> proofs.GateReport:
    """Say what a transition requires and what of it is met; decides nothing.  Its entity tag goes with an approval."""
    path = f"{namespace}/{name}@{number}"
    found = lifecycle.gate_report(reader, path, transition, zone=zone, notary=pen, rules=rules)
    response.headers["etag"] = f'"{found.binding}"'
    return found


@router.post(VERSION + "/promotions")
def promote(
    tx: Tx, rules: Rules, pen: Pen, namespace: str, name: str, number: int, body: requests.Promote
) -> answers.Version:
    """Move a version to another stage."""
    path = f"{namespace}/{name}@{number}"
    row = promotion.promote(tx, path, body.to, because=body.because, notary=pen, rules=rules)
    return answers.Version.model_validate(row)


@router.get(VERSION + "/dossier")
def dossier(reader: Read, pen: Pen, namespace: str, name: str, number: int) -> proofs.Dossier:
    """Return everything needed to judge a version offline."""
    return dossiers.dossier_of(reader, f"{namespace}/{name}@{number}", notary=pen)


@router.get("/deployments")
def list_deployments(reader: Read, cursor: Cursor = "", limit: Limit = 50) -> answers.Page[answers.Deployment]:
    """List deployments, newest first."""
    rows, following = queries.page_of(reader, Deployment, cursor=cursor, limit=limit)
    return answers.Page(items=[answers.Deployment.model_validate(row) for row in rows], next=following)


@router.get("/deployments/{name}")
def deployment(reader: Read, name: str) -> answers.Deployment:
    """Return one deployment."""
    return answers.Deployment.model_validate(queries.identified(reader, Deployment, name))


@router.post("/deployments", status_code=202)
def deploy(tx: Tx, rules: Rules, pen: Pen, body: requests.Deploy) -> answers.Deployment:
    """Ask that a version serve in a zone."""
    row = deployments.request(tx, body.version, zone=body.zone, purpose=body.purpose, notary=pen, rules=rules)
    return answers.Deployment.model_validate(row)


@router.post("/deployments/{name}/stop")
def stop(tx: Tx, name: str, body: requests.Reason) -> answers.Deployment:
    """Stop a deployment."""
    return answers.Deployment.model_validate(deployments.stop(tx, name, because=body.because))


@router.post("/deployments/{name}/monitor-runs", status_code=202)
def monitor(tx: Tx, name: str) -> answers.Job:
    """Ask for a comparison of captured inputs with the reference."""
    return answers.Job.model_validate(monitors.request(tx, name))


@router.get("/findings")
def list_findings(reader: Read, cursor: Cursor = "", limit: Limit = 50) -> answers.Page[wire_findings.Finding]:
    """List findings, newest first."""
    rows, following = queries.page_of(reader, Finding, cursor=cursor, limit=limit)
    return answers.Page(items=[wire_findings.Finding.model_validate(row) for row in rows], next=following)


@router.get("/findings/{name}")
def finding(reader: Read, name: str) -> wire_findings.Finding:
    """Return one finding."""
    return wire_findings.Finding.model_validate(queries.identified(reader, Finding, name))


@router.post("/findings", status_code=201)
def open_finding(tx: Tx, rules: Rules, body: wire_findings.OpenFinding) -> wire_findings.Finding:
    """Open a finding about a version or a deployment."""
    return wire_findings.Finding.model_validate(findings.report(tx, body, rules=rules.findings))


@router.post("/findings/{name}/assignment")
def assign(tx: Tx, name: str, body: wire_findings.AssignFinding) -> wire_findings.Finding:
    """Let somebody answer for a finding, by a day."""
    return wire_findings.Finding.model_validate(findings.assign(tx, name, body))


@router.post("/findings/{name}/resolution")
def resolve(tx: Tx, name: str, body: requests.Reason) -> wire_findings.Finding:
    """Resolve a finding."""
    return wire_findings.Finding.model_validate(findings.resolve(tx, name, because=body.because))


@router.get("/jobs")
def list_jobs(reader: Read, cursor: Cursor = "", limit: Limit = 50) -> answers.Page[answers.Job]:
    """List jobs, newest first."""
    rows, following = queries.page_of(reader, Job, cursor=cursor, limit=limit)
    return answers.Page(items=[answers.Job.model_validate(row) for row in rows], next=following)


@router.get("/jobs/{name}")
def job(reader: Read, name: str) -> answers.Job:
    """Return one job."""
    return answers.Job.model_validate(queries.identified(reader, Job, name))


@router.post("/jobs/{name}/cancellation")
def cancel(tx: Tx, name: str, body: requests.Reason) -> answers.Job:
    """Cancel a job that has not ended."""
    return answers.Job.model_validate(aftermath.cancel(tx, name, because=body.because))
