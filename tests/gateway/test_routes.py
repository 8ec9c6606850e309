# SPDX-License-Identifier: Apache-2.0
"""Every route as nobody and as each role: what roles.csv says is what HTTP does, and no route is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from audit import entries, events
from audit.tiles import CHECKPOINT
from gateway import app
from khatim.settings import FloodSettings
from khatim.vocabulary import Action, ActorKind, JobKind, Role
from policies.grants import Grant, read_grants
from tests.support.agents import DRIFTED, digest
from tests.support.http import Api, Route, good, problem, routes_of
from tests.support.people import SAMI, person
from tests.support.world import (
    CODE,
    CONTRACT,
    DATASET,
    DEMO,
    MODEL,
    PURPOSE,
    SPEC,
    VERSION,
    VIEW,
    ZONE,
    Step,
    World,
    Worlds,
)

GRANTS = read_grants((Path(__file__).parents[2] / "policies" / "roles.csv").read_text(encoding="utf-8"))
BECAUSE = {"because": "the test says so"}
RULES = {"roles.csv": "p, auditor, *, oncology, version.approve, deny\n"}
READ = Action.READ
A_VERSION = "/v1/models/{namespace}/{name}/versions/{number}"
NOT_FOR_YOU = "is not visible to you"


@dataclass(frozen=True)
class Ask:
    """What a route asks permission for, in which zone, and how to call it: `path` and `body` as format strings.

    `kinds` is who may call at all: some routes are for agents only.
    """

    actions: tuple[Action, ...]
    zone: str = ZONE
    path: str = ""
    body: Any = None
    kinds: frozenset[ActorKind] = frozenset({ActorKind.PERSON, ActorKind.AGENT})


def ask(*actions: Action, zone: str = ZONE, path: str = "", body: Any = None) -> Ask:
    """Return what a route asks for."""
    return Ask(actions, zone, path, body)


def agents_only(*actions: Action, zone: str = "{home}", path: str = "", body: Any = None) -> Ask:
    """Return what a route of agents asks for, in the agent's own zone."""
    return Ask(actions, zone, path, body, frozenset({ActorKind.AGENT}))


ON_MODEL = f"/v1/models/{MODEL}"
UPLOAD = {"zone": ZONE, "digest": digest("new"), "size": 1, "tags": ["health.ae"]}
TRAINING = {
    "authorisation": "{authorisation}", "features": VIEW, "model": MODEL, "purpose": PURPOSE, "code_digest": CODE,
}  # fmt: skip
TERMS = {
    "namespace": "oncology", "datasets": [DATASET], "purpose": PURPOSE, "code_digest": CODE, "zone": ZONE,
    "budget_runs": 1, "ends_at": "2099-01-01T00:00:00+04:00",
}  # fmt: skip
REVOKE = {"kind": "artifact", "target": digest("revoked"), **BECAUSE}
HOLD = {
    "namespace": "cardiology", "legal_basis": "litigation 7", "review_due": "2099-01-01T00:00:00+04:00", **BECAUSE
}  # fmt: skip
SINK = {
    "name": "siem", "zone": ZONE, "format": "ecs", "transport": "file", "target": {"file": "siem.log"}, **BECAUSE
}  # fmt: skip
TRANSFER = {
    "from_zone": "ae-onshore", "to_zone": "ext-de", "mechanism": "PDPL-23-CONTRACT", "purpose": PURPOSE,
    "evidence_digest": digest("contract"), "tags": ["personal"], "scope": ["artifact:*"],
    "valid_to": "2099-01-01T00:00:00+04:00",
    "details": {"importer_party": "party:vendor", "legal_basis_locator": "register/17"},
}  # fmt: skip
WAIVER = {
    "rule": "production/health-discrimination", "days": 10, "because": "the new cohort is small",
    "control": "every answer is read by a doctor",
}  # fmt: skip
ROLE = {"subject": "person:p-new", "role": "validator", "days": 30, **BECAUSE}
REGISTER = {"zone": ZONE, "files": [{"path": "m.onnx", "digest": digest("wdbc.csv"), "size": 100}]}
# Everything that is mounted and asks for a permission.  A list without actions shows everybody what they may see.
ROUTES: dict[str, Ask] = {
    "GET /v1/ledger/entries": ask(Action.LEDGER_READ, zone=""),
    "GET /v1/ledger/entries/{index}": ask(Action.LEDGER_READ, zone="", path="/v1/ledger/entries/0"),
    "GET /v1/ledger/receipts": ask(Action.LEDGER_READ, zone="", path="/v1/ledger/receipts?event={opening}"),
    "GET /v1/ledger/entries/{index}/receipt": ask(Action.LEDGER_READ, zone="", path="/v1/ledger/entries/0/receipt"),
    f"GET /ledger/{CHECKPOINT}": ask(Action.LEDGER_READ, zone=""),
    "GET /v1/ledger/archives": ask(Action.LEDGER_READ, zone=""),
    "GET /ledger/endorsed": ask(Action.LEDGER_READ, zone=""),
    "GET /ledger/tile/{path:path}": ask(Action.LEDGER_READ, zone="", path="/ledger/tile/0/000.p/1"),
    "GET /ledger/payload/{digest}": ask(Action.LEDGER_READ, zone="", path=f"/ledger/payload/{digest('none')}"),
    "GET /v1/datasets": ask(),
    "GET /v1/datasets/{namespace}/{name}/versions/{number}": ask(READ, path="/v1/datasets/oncology/wdbc/versions/1"),
    "POST /v1/datasets/{namespace}/{name}/versions": ask(
        Action.DATASET_INGEST,
        path="/v1/datasets/oncology/wdbc/versions",
        body={"zone": ZONE, "source": digest("wdbc.csv"), "contract": CONTRACT},
    ),
    "GET /v1/features": ask(),
    "GET /v1/features/{namespace}/{name}/versions/{number}": ask(
        READ, path="/v1/features/oncology/cell-shape/versions/1"
    ),
    "POST /v1/features/{name}/versions": ask(
        READ, Action.FEATURES_MATERIALISE, path="/v1/features/new/versions", body={"dataset": DATASET, "spec": SPEC}
    ),
    "GET /v1/models": ask(),
    "POST /v1/models/{namespace}/{name}": ask(
        Action.VERSION_REGISTER, zone="", path="/v1/models/oncology/new", body={}
    ),
    "GET /v1/models/{namespace}/{name}": ask(READ, zone="", path=ON_MODEL),
    "GET /v1/models/{namespace}/{name}/versions": ask(path=f"{ON_MODEL}/versions"),
    "POST /v1/models/{namespace}/{name}/versions": ask(
        Action.VERSION_REGISTER, path=f"{ON_MODEL}/versions", body=REGISTER
    ),
    f"GET {A_VERSION}": ask(READ, path=VERSION),
    f"GET {A_VERSION}/lineage": ask(READ, path=f"{VERSION}/lineage"),
    "GET /v1/models/{namespace}/{name}/aliases": ask(READ, zone="", path=f"{ON_MODEL}/aliases"),
    "PUT /v1/models/{namespace}/{name}/aliases/{alias}": ask(
        READ, Action.ALIAS_SET, path=f"{ON_MODEL}/aliases/candidate", body={"number": 1}
    ),
    "GET /v1/models/{namespace}/{name}/aliases/{alias}/history": ask(
        READ, zone="", path=f"{ON_MODEL}/aliases/candidate/history"
    ),
    "GET /v1/models/{namespace}/{name}/history": ask(READ, zone="", path=f"{ON_MODEL}/history"),
    "GET /v1/authorisations": ask(),
    "POST /v1/authorisations": ask(Action.AUTHORISATION_REQUEST, READ, body=TERMS),
    "POST /v1/authorisations/{name}/approval": ask(
        READ, Action.AUTHORISATION_APPROVE, path="/v1/authorisations/{authorisation}/approval", body=BECAUSE
    ),
    "POST /v1/authorisations/{name}/revocation": ask(
        READ, Action.AUTHORISATION_REVOKE, path="/v1/authorisations/{other_authorisation}/revocation", body=BECAUSE
    ),
    "GET /v1/transfers": ask(),
    "POST /v1/namespaces/{namespace}/transfers": ask(
        Action.TRANSFER_REQUEST, zone="ae-onshore", path="/v1/namespaces/oncology/transfers", body=TRANSFER
    ),
    "POST /v1/transfers/{name}/approval": ask(
        READ, Action.TRANSFER_APPROVE, zone="ae-onshore", path="/v1/transfers/{transfer}/approval", body=BECAUSE
    ),
    "POST /v1/transfers/{name}/revocation": ask(
        READ, Action.TRANSFER_REVOKE, zone="ae-onshore", path="/v1/transfers/{other_transfer}/revocation", body=BECAUSE
    ),
    "POST /v1/transfers/question": ask(
        READ, body={"kind": "download", "from_zone": ZONE, "to_zone": ZONE, "tags": ["health.ae"]}
    ),
    "GET /v1/artifacts/{digest}/placements": ask(READ, path=f"/v1/artifacts/{digest('wdbc.csv')}/placements"),
    "POST /v1/trainings": ask(READ, Action.TRAINING_REQUEST, body=TRAINING),
    f"POST {A_VERSION}/revocation": ask(READ, Action.VERSION_REVOKE, path=f"{VERSION}/revocation", body=BECAUSE),
    f"POST {A_VERSION}/evaluations": ask(READ, Action.VERSION_EVALUATE, path=f"{VERSION}/evaluations", body={}),
    f"GET {A_VERSION}/evidence": ask(READ, path=f"{VERSION}/evidence"),
    f"GET {A_VERSION}/approvals": ask(READ, path=f"{VERSION}/approvals"),
    f"POST {A_VERSION}/approvals": ask(
        READ, Action.VERSION_APPROVE, path=f"{VERSION}/approvals", body={"role": "{role}", "meaning": "I approve"}
    ),
    f"GET {A_VERSION}/gates/{{transition}}": ask(READ, path=f"{VERSION}/gates/production"),
    f"GET {A_VERSION}/waivers": ask(READ, path=f"{VERSION}/waivers"),
    f"POST {A_VERSION}/waivers": ask(READ, Action.WAIVER_REQUEST, path=f"{VERSION}/waivers", body=WAIVER),
    "POST /v1/waivers/{name}/approval": ask(
        READ, Action.WAIVER_APPROVE, path="/v1/waivers/{waiver}/approval", body=BECAUSE
    ),
    "POST /v1/waivers/{name}/revocation": ask(
        READ, Action.WAIVER_REVOKE, path="/v1/waivers/{other_waiver}/revocation", body=BECAUSE
    ),
    f"GET {A_VERSION}/self-attestations": ask(READ, path=f"{VERSION}/self-attestations"),
    f"POST {A_VERSION}/self-attestations": ask(
        READ, Action.VERSION_PROMOTE, path=f"{VERSION}/self-attestations", body={"checked": [], "meaning": "all of it"}
    ),
    f"POST {A_VERSION}/approvals/{{approval}}/answers": ask(
        READ, Action.VERSION_PROMOTE, path=f"{VERSION}/approvals/none/answers", body={"number": 1, "said": "it is done"}
    ),
    f"POST {A_VERSION}/approvals/{{approval}}/withdrawal": ask(
        READ, Action.VERSION_APPROVE, path=f"{VERSION}/approvals/none/withdrawal", body=BECAUSE
    ),
    f"POST {A_VERSION}/promotions": ask(
        READ, Action.VERSION_PROMOTE, path=f"{VERSION}/promotions", body={"to": "production", **BECAUSE}
    ),
    f"GET {A_VERSION}/dossier": ask(READ, path=f"{VERSION}/dossier"),
    "GET /v1/deployments": ask(),
    "GET /v1/deployments/{name}": ask(READ, path="/v1/deployments/{deployment}"),
    "POST /v1/deployments": ask(READ, Action.DEPLOYMENT_REQUEST, body={"version": f"{MODEL}@1", "zone": ZONE}),
    "POST /v1/deployments/{name}/stop": ask(
        READ, Action.DEPLOYMENT_STOP, path="/v1/deployments/{deployment}/stop", body=BECAUSE
    ),
    "POST /v1/deployments/{name}/monitor-runs": ask(
        READ, Action.MONITOR_RUN, path="/v1/deployments/{deployment}/monitor-runs"
    ),
    "GET /v1/findings": ask(),
    "GET /v1/findings/{name}": ask(READ, path="/v1/findings/{finding}"),
    "GET /v1/waiting": ask(),
    "GET /v1/waiting/events": ask(path="/v1/waiting/events?for_s=0"),
    "POST /v1/findings": ask(
        READ,
        Action.FINDING_OPEN,
        body={"about": "version:oncology/malignancy@1", "severity": "low", "summary": "a note"},
    ),
    "POST /v1/findings/{name}/assignment": ask(
        READ, Action.FINDING_ASSIGN, path="/v1/findings/{finding}/assignment", body={"owner": "p-sami", **BECAUSE}
    ),
    "POST /v1/findings/{name}/resolution": ask(
        READ, Action.FINDING_RESOLVE, path="/v1/findings/{finding}/resolution", body=BECAUSE
    ),
    "GET /v1/incidents": ask(),
    "GET /v1/incidents/{name}": ask(READ, path="/v1/incidents/{incident}"),
    "POST /v1/incidents": ask(
        READ, Action.INCIDENT_OPEN, body={"about": f"version:{MODEL}@1", "kind": "security", "summary": "a key is lost"}
    ),
    "POST /v1/incidents/{name}/duties": ask(
        READ, Action.INCIDENT_ANSWER, path="/v1/incidents/{incident}/duties", body={"duty": "lessons", "said": "done"}
    ),
    "POST /v1/incidents/{name}/closing": ask(
        READ, Action.INCIDENT_CLOSE, path="/v1/incidents/{incident}/closing", body=BECAUSE
    ),
    "GET /v1/jobs": ask(),
    "GET /v1/jobs/{name}": ask(READ, path="/v1/jobs/{job}"),
    "POST /v1/jobs/{name}/cancellation": ask(READ, Action.JOB_CANCEL, path="/v1/jobs/{job}/cancellation", body=BECAUSE),
    "POST /v1/uploads": ask(Action.ARTIFACT_UPLOAD, body=UPLOAD),
    "POST /v1/downloads": ask(
        Action.ARTIFACT_DOWNLOAD, body={"zone": ZONE, "digest": digest("wdbc.csv"), "to_zone": ZONE}
    ),
    "GET /v1/revocations": ask(READ, zone=""),
    "GET /v1/revocations/list": ask(READ, zone=""),
    "POST /v1/revocations": ask(Action.REVOCATION_RECORD, zone="", body=REVOKE),
    "POST /v1/revocations/preview": ask(Action.REVOCATION_RECORD, zone="", body=REVOKE),
    "POST /v1/revocations/{name}/lifting": ask(
        Action.REVOCATION_LIFT, zone="", path="/v1/revocations/{revocation}/lifting", body=BECAUSE
    ),
    "GET /v1/holds": ask(Action.LEDGER_READ, zone=""),
    "POST /v1/holds": ask(Action.HOLD_PLACE, zone="", body=HOLD),
    "POST /v1/holds/{name}/release": ask(Action.HOLD_RELEASE, zone="", path="/v1/holds/{hold}/release", body=BECAUSE),
    "POST /v1/people/{ref}/identity": ask(
        READ, Action.PERSON_IDENTIFY, zone="", path="/v1/people/{person}/identity", body=BECAUSE
    ),
    "POST /v1/people/{ref}/erasure": ask(
        Action.PERSON_ERASE,
        zone="",
        path="/v1/people/{person}/erasure",
        body={"legal_basis": "PDPL Art 15", "because": "they asked"},
    ),
    "GET /v1/erasures": ask(Action.PERSON_ERASE, zone=""),
    "POST /v1/erasures/{name}/approval": ask(Action.PERSON_ERASE, zone="", path="/v1/erasures/{erasure}/approval"),
    "GET /v1/access/roles": ask(),
    "POST /v1/access/roles": ask(Action.ROLE_REQUEST, zone="", body=ROLE),
    "POST /v1/access/emergencies": ask(
        Action.ROLE_BREAK_GLASS, zone="", body={"role": "validator", "hours": 2, **BECAUSE}
    ),
    "POST /v1/access/emergencies/{name}/confirmation": ask(
        READ,
        Action.ROLE_CONFIRM_EMERGENCY,
        zone="",
        path="/v1/access/emergencies/{given}/confirmation",
        body=BECAUSE,
    ),
    "POST /v1/access/roles/{name}/approval": ask(
        READ, Action.ROLE_APPROVE, zone="", path="/v1/access/roles/{given}/approval", body=BECAUSE
    ),
    "POST /v1/access/roles/{name}/revocation": ask(
        READ, Action.ROLE_REVOKE, zone="", path="/v1/access/roles/{other_given}/revocation", body=BECAUSE
    ),
    "GET /v1/access/links": ask(),
    "POST /v1/access/links": ask(
        Action.PERSON_LINK, zone="", body={"account": "p-{role}-1", "person": "p-{role}-2", **BECAUSE}
    ),
    "POST /v1/access/links/{name}/approval": ask(
        READ, Action.PERSON_LINK, zone="", path="/v1/access/links/{link}/approval", body=BECAUSE
    ),
    "POST /v1/access/links/{name}/release": ask(
        READ, Action.PERSON_LINK, zone="", path="/v1/access/links/{other_link}/release", body=BECAUSE
    ),
    "GET /v1/service-accounts": ask(),
    "POST /v1/service-accounts": ask(
        Action.SERVICE_ACCOUNT_MANAGE, zone="", body={"name": "ci-{role}", "sponsor": "{known}", "purpose": "to test"}
    ),
    "POST /v1/service-accounts/{name}/closure": ask(
        READ, Action.SERVICE_ACCOUNT_MANAGE, zone="", path="/v1/service-accounts/old/closure", body=BECAUSE
    ),
    "GET /v1/service-accounts/{name}/tokens": ask(READ, zone="", path="/v1/service-accounts/ci/tokens"),
    "POST /v1/service-accounts/{name}/tokens": ask(
        READ, Action.SERVICE_ACCOUNT_MANAGE, zone="", path="/v1/service-accounts/ci/tokens", body={"days": 1}
    ),
    "POST /v1/service-accounts/{name}/tokens/{token}/revocation": ask(
        READ,
        Action.SERVICE_ACCOUNT_MANAGE,
        zone="",
        path="/v1/service-accounts/ci/tokens/{service_token}/revocation",
        body=BECAUSE,
    ),
    "GET /v1/access/suspensions": ask(),
    "POST /v1/people/{ref}/suspension": ask(
        READ, Action.PERSON_SUSPEND, zone="", path="/v1/people/p-leaver/suspension", body=BECAUSE
    ),
    "POST /v1/people/{ref}/sign-out": ask(
        Action.PERSON_SUSPEND, zone="", path="/v1/people/p-leaver/sign-out", body=BECAUSE
    ),
    "POST /v1/people/{ref}/restoration": ask(
        READ, Action.PERSON_SUSPEND, zone="", path="/v1/people/p-gone/restoration", body=BECAUSE
    ),
    "GET /v1/access/reviews": ask(),
    "POST /v1/access/reviews": ask(Action.REVIEW_OPEN, zone="", body=BECAUSE),
    "GET /v1/access/reviews/{name}": ask(READ, zone="", path="/v1/access/reviews/{review}"),
    "POST /v1/access/reviews/{name}/decisions": ask(
        READ,
        Action.REVIEW_DECIDE,
        zone="",
        path="/v1/access/reviews/{review}/decisions",
        body={"assignment": "{kept}", "decision": "keep", **BECAUSE},
    ),
    "GET /v1/access/explanation": ask(
        Action.ACCESS_EXPLAIN,
        path=f"/v1/access/explanation?person=p-x&action=read&resource=version:oncology/malignancy@1&zone={ZONE}",
    ),
    "GET /v1/policy/overlay": ask(READ, zone=""),
    "POST /v1/policy/simulation": ask(READ, zone="", body={"files": {}, "limit": 1}),
    "GET /v1/policy/changes": ask(),
    "GET /v1/policy/changes/{name}": ask(READ, zone="", path="/v1/policy/changes/{change}"),
    "POST /v1/policy/changes": ask(Action.POLICY_PROPOSE, zone="", body={"files": RULES, **BECAUSE}),
    "POST /v1/policy/changes/{name}/approval": ask(
        READ, Action.POLICY_APPROVE, zone="", path="/v1/policy/changes/{change}/approval", body=BECAUSE
    ),
    "POST /v1/policy/changes/{name}/withdrawal": ask(
        READ, Action.POLICY_WITHDRAW, zone="", path="/v1/policy/changes/{other_change}/withdrawal", body=BECAUSE
    ),
    "GET /v1/sinks": ask(Action.LEDGER_READ, zone=""),
    "POST /v1/sinks": ask(Action.STREAM_MANAGE, body={**SINK, "name": "siem-new"}),
    "POST /v1/sinks/{name}/pause": ask(Action.STREAM_MANAGE, path="/v1/sinks/siem/pause", body=BECAUSE),
    "POST /v1/sinks/{name}/resumption": ask(Action.STREAM_MANAGE, path="/v1/sinks/siem/resumption", body=BECAUSE),
    "POST /v1/sinks/{name}/test": ask(Action.STREAM_MANAGE, path="/v1/sinks/siem/test"),
    "POST /v1/sinks/{name}/removal": ask(Action.STREAM_MANAGE, path="/v1/sinks/siem-old/removal", body=BECAUSE),
    "GET /v1/agents": ask(),
    "POST /v1/agents/invitations": ask(Action.AGENT_INVITE, body={"zone": ZONE}),
    "POST /v1/agents/{name}/retirement": ask(
        Action.AGENT_RETIRE, path="/v1/agents/{other_agent}/retirement", body=BECAUSE
    ),
    "POST /v1/agent/identity": agents_only(body={"door": "http://127.0.0.1:9"}),
    "POST /v1/agent/jobs/claim": agents_only(Action.JOB_CLAIM),
    "POST /v1/agent/jobs/{name}/heartbeat": agents_only(
        Action.JOB_REPORT, zone=ZONE, path="/v1/agent/jobs/{job}/heartbeat", body={"fence": 99}
    ),
    "POST /v1/agent/jobs/{name}/completion": agents_only(
        Action.JOB_REPORT,
        zone=ZONE,
        path="/v1/agent/jobs/{job}/completion",
        body={"fence": 99, "outcome": {"kind": "monitor", "results": [], "captured": 0}},
    ),
    "POST /v1/agent/jobs/{name}/failure": agents_only(
        Action.JOB_REPORT, zone=ZONE, path="/v1/agent/jobs/{job}/failure", body={"fence": 99, "error": "it broke"}
    ),
    "POST /v1/agent/artifacts": agents_only(
        Action.JOB_REPORT, body={"digest": digest("wdbc.csv"), "size": 100, "ticket": "{ticket}"}
    ),
    "GET /v1/agent/orders": agents_only(Action.JOB_CLAIM),
    "GET /v1/agent/revocations": agents_only(Action.JOB_CLAIM),
    "GET /v1/agent/trust": agents_only(Action.JOB_CLAIM),
    "GET /v1/agent/status": agents_only(Action.JOB_CLAIM),
    "POST /v1/agent/deployments/{name}/pause": agents_only(
        Action.JOB_REPORT,
        zone=ZONE,
        path="/v1/agent/deployments/{deployment}/pause",
        body={"since": "2026-11-23T12:00:00Z", **BECAUSE},
    ),
    "POST /v1/agent/deployments/{name}/halt": agents_only(
        Action.JOB_REPORT, zone=ZONE, path="/v1/agent/deployments/{deployment}/halt", body={"number": 1, **BECAUSE}
    ),
    "GET /v1/agent/jobs/{name}": ask(READ, path="/v1/agent/jobs/{job}"),
    "GET /v1/whoami": ask(),
    "GET /v1/zones": ask(READ, zone=""),
    "GET /v1/policy": ask(READ, zone=""),
    "GET /v1/signing": ask(READ, zone=""),
    "POST /v1/engagements": ask(
        READ, Action.ENGAGEMENT_EXPORT, path="/v1/engagements?namespace=oncology&name=malignancy&number=1"
    ),
}
# For the bearer of a one-time token only; for the token of an allowed issuer, or an agent's with a proof by its key.
OWN_TOKEN = {"POST /v1/agent/enrolment", "POST /api/v2/signingCert"}
PUBLIC = {
    "GET /health",
    "GET /api/v2/trustBundle",
    "GET /.well-known/openid-configuration",
    "POST /api/v1/timestamp",
    "POST /api/v2/log/entries",
    "GET /",
    "GET /console",
    "GET /console/static/{path:path}",
    "GET /sign-in",
    "POST /sign-in",
    "GET /sign-in/begin",
    "GET /sign-in/callback",
    "POST /sign-in/back-channel-logout",
    "GET /v1/sign-in",
}
CONSOLE = ("/console/", "/sign-out")


@dataclass(frozen=True)
class Caller:
    """Somebody who calls: with which roles, of which kind, at home in which zone."""

    name: str
    api: Api
    roles: frozenset[Role]
    kind: ActorKind = ActorKind.PERSON
    home: str = "*"


@dataclass
class Scene:
    """A world in which everything there is to ask about exists, and what it is called."""

    world: World
    names: dict[str, str] = field(default_factory=dict)

    def callers(self) -> Iterator[Caller]:
        """Yield somebody for each role, agents of two zones, and a person without any role."""
        for role in Role:
            if role is not Role.AGENT:
                who = person(f"the {role.value}", role)
                yield Caller(role.value, self.world.as_(who), who.roles)
        agent = frozenset({Role.AGENT})
        yield Caller("agent", self.world.agent.api, agent, ActorKind.AGENT, ZONE)
        elsewhere = self.world.agent_of(self.names["agent_elsewhere"], "ext-de")
        yield Caller("agent elsewhere", elsewhere.api, agent, ActorKind.AGENT, "ext-de")

    def call(self, caller: Caller, route: str, asked: Ask) -> httpx.Response:
        """Call *route* as *caller*."""
        method, _, mounted = route.partition(" ")
        role = next(iter(caller.roles)).value if caller.kind is ActorKind.PERSON else "validator"
        names = {**self.names, "role": role}
        return caller.api.call(method, filled(asked.path or mounted, names), filled(asked.body, names))


def filled(value: Any, names: dict[str, str]) -> Any:
    """Return *value* with every ``{name}`` replaced."""
    if isinstance(value, str):
        for name, text in names.items():
            value = value.replace("{" + name + "}", text)
        return value
    if isinstance(value, dict):
        return {key: filled(one, names) for key, one in value.items()}
    return [filled(one, names) for one in value] if isinstance(value, list) else value


def granted(caller: Caller, action: Action, zone: str) -> bool:
    """Whether the rows of roles.csv allow it, read here without Casbin."""

    def speaks(grant: Grant) -> bool:
        prefix, star, _ = grant.action.partition("*")
        matches = action.value.startswith(prefix) if star else action.value == grant.action
        return matches and grant.role in {role.value for role in caller.roles}

    effects = {grant.effect for grant in GRANTS if speaks(grant)}
    is_at_home = caller.home in ("*", zone.replace("{home}", caller.home))
    return effects == {"allow"} and is_at_home


def is_denied(answer: httpx.Response) -> bool:
    """Whether the answer says that the caller may not, or may not even see it."""
    if answer.status_code == 403:
        return str(answer.json()["type"]).endswith("/forbidden")  # another refusal comes after the permission
    return answer.status_code == 404 and NOT_FOR_YOU in answer.json()["detail"]


def opening(world: World) -> str:
    """Return the reference of the event that opened the ledger."""
    return events.reference(
        entries.body_of(bytes(world.sql('SELECT entry FROM ledger_entries WHERE "index" = 0')[0][0]), 0)
    )


@pytest.fixture(scope="module")
def scene(worlds: Worlds) -> Iterator[Scene]:
    """Yield a world that has one of everything."""
    # Every refusal is looked at here, so that none may be counted instead of told.
    with worlds.at(Step.SERVING, DEMO, zone=ZONE, floods=FloodSettings(recorded=10_000)) as world:
        deployment = world.memory.deployment
        pavel = world.as_(person("Pavel", Role.PLATFORM_ENGINEER))
        assert pavel.post(f"/v1/deployments/{deployment}/monitor-runs").status_code == 202
        drift = {"results": [{"engine": "scipy", "is_drift": True, "drifted": DRIFTED}]}
        world.agent.do(JobKind.MONITOR, **drift)
        finding = world.sql("SELECT id FROM findings")[0][0]
        elsewhere, other = world.enrol("ext-de"), world.enrol()
        authorisation = world.authorise()
        ticket = world.as_(SAMI).post("/v1/uploads", {**UPLOAD, "digest": digest("wdbc.csv"), "size": 100}).json()
        body = {"zone": ZONE, "source": digest("wdbc.csv"), "contract": CONTRACT}
        dana = world.as_(person("Dana", Role.DATA_ENGINEER))
        job = dana.post("/v1/datasets/oncology/other/versions", body).json()["id"]
        asking = world.as_(SAMI)
        transfer, other_transfer = (
            asking.post("/v1/namespaces/oncology/transfers", TRANSFER).json()["id"] for _ in range(2)
        )
        mona = world.as_(person("Mona", Role.MODEL_RISK_APPROVER))
        petra = world.as_(person("Petra", Role.PRIVACY_OFFICER))
        revoked = good(mona.post("/v1/revocations", {**REVOKE, "target": digest("lifted")}))["id"]
        hold = good(petra.post("/v1/holds", HOLD))["id"]
        forgotten = good(world.as_(person("Faris", Role.VALIDATOR)).get("/v1/whoami"))["ref"]
        erasure = good(
            petra.post(f"/v1/people/{forgotten}/erasure", {"legal_basis": "PDPL Art 15", "because": "they asked"})
        )["id"]
        pavel = world.as_(person("Pavel", Role.PLATFORM_ENGINEER))
        for name in ("siem", "siem-old"):
            good(pavel.post("/v1/sinks", {**SINK, "name": name}))
        waiver, other_waiver = (
            good(asking.post(f"{VERSION}/waivers", {**WAIVER, "rule": rule}))["id"]
            for rule in ("production/evaluated", "production/no-findings")
        )
        nour = world.as_(person("Nour", Role.ACCESS_ADMINISTRATOR))
        given, other_given = (
            good(nour.post("/v1/access/roles", {**ROLE, "subject": who}))["id"] for who in ("person:p-y", "group:z")
        )
        good(nour.post("/v1/people/p-gone/suspension", BECAUSE))
        kept = good(nour.post("/v1/access/roles", {**ROLE, "subject": "group:kept"}))["id"]
        omar = world.as_(person("Omar", Role.ACCESS_ADMINISTRATOR))
        good(omar.post(f"/v1/access/roles/{kept}/approval", BECAUSE))
        review = good(omar.post("/v1/access/reviews", BECAUSE))["id"]
        change, other_change = (
            good(pavel.post("/v1/policy/changes", {"files": RULES, **BECAUSE}))["id"] for _ in range(2)
        )
        link, other_link = (
            good(nour.post("/v1/access/links", {"account": "p-old", "person": name, **BECAUSE}))["id"]
            for name in ("p-1", "p-2")
        )
        known = good(world.as_(person("Known", Role.VALIDATOR)).get("/v1/whoami"))["ref"]
        for name in ("ci", "old"):
            good(nour.post("/v1/service-accounts", {"name": name, "sponsor": known, "purpose": "to test"}))
        service_token = good(nour.post("/v1/service-accounts/ci/tokens", {}))["id"]
        happened = {"about": f"version:{MODEL}@1", "kind": "security", "summary": "a key is lost"}
        incident = good(petra.post("/v1/incidents", happened))["id"]
        names = {
            "incident": incident,
            "known": known,
            "service_token": service_token,
            "link": link,
            "other_link": other_link,
            "change": change,
            "other_change": other_change,
            "given": given,
            "kept": kept,
            "review": review,
            "other_given": other_given,
            "waiver": waiver,
            "other_waiver": other_waiver,
            "revocation": revoked,
            "hold": hold,
            "person": forgotten,
            "erasure": erasure,
            "transfer": transfer,
            "other_transfer": other_transfer,
            "authorisation": world.memory.authorisation,
            "other_authorisation": authorisation,
            "deployment": deployment,
            "finding": str(finding),
            "agent_elsewhere": elsewhere.ref,
            "other_agent": other.ref.removeprefix("agent:"),
            "ticket": ticket["token"],
            "job": job,
        }
        world.sequence()
        names["opening"] = opening(world)
        with world.sequencing():
            yield Scene(world, names)


@pytest.fixture(scope="module")
def mounted(scene: Scene) -> list[Route]:
    """Return every route of the application."""
    return routes_of(app.create(scene.world.parts))


def test_every_route_stands_in_the_table(mounted: list[Route]) -> None:
    there = {str(route) for route in mounted if not route.path.startswith(CONSOLE)} | {
        str(route) for route in mounted if str(route) in PUBLIC
    }

    assert there == set(ROUTES) | OWN_TOKEN | PUBLIC


def test_nobody_gets_anything_but_what_is_public(scene: Scene, mounted: list[Route]) -> None:
    scene.world.told()
    refused = [route for route in mounted if str(route) not in PUBLIC]
    for route in refused:
        path = filled(ROUTES[str(route)].path if str(route) in ROUTES else "", scene.names) or route.path
        answer = scene.world.nobody().call(route.method, path, {} if route.method != "GET" else None)
        problem(answer, 401)
        assert answer.headers["www-authenticate"] == "Bearer"

    assert len(refused) > 60
    assert scene.world.told() == []


@pytest.mark.parametrize("token", ["nonsense", "a.b.c", "eyJhbGciOiJub25lIn0.e30."])
def test_a_token_that_does_not_hold_opens_nothing(scene: Scene, mounted: list[Route], token: str) -> None:
    api = scene.world.bearer(token)
    for route in mounted:
        if str(route) in ROUTES:
            path = filled(ROUTES[str(route)].path, scene.names) or route.path
            problem(api.call(route.method, path, {} if route.method != "GET" else None), 401, "unauthenticated")


def test_what_is_public_answers_nobody(scene: Scene) -> None:
    nobody = scene.world.nobody()

    assert nobody.get("/health").json() == {"status": "ok", "disk": "room", "signer": "in this process"}
    assert nobody.get("/api/v2/trustBundle").status_code == 200
    assert nobody.get("/v1/openapi.json").status_code == 200
    assert nobody.get("/sign-in").status_code == 200
    assert nobody.get("/console").headers["location"] == "/console/models"


@pytest.mark.parametrize("route", ROUTES)
def test_each_role_gets_what_the_table_of_roles_says(scene: Scene, route: str) -> None:
    asked = ROUTES[route]
    wrong: list[str] = []
    for caller in scene.callers():
        may = caller.kind in asked.kinds and all(granted(caller, one, asked.zone) for one in asked.actions)
        answer = scene.call(caller, route, asked)
        assert answer.status_code < 500, f"{caller.name}: {answer.text}"
        assert answer.status_code != 401, f"{caller.name}: {answer.text}"
        if is_denied(answer) == may:
            wrong.append(f"{caller.name}: {answer.status_code} {answer.text[:300]}")

    assert wrong == []


@pytest.mark.parametrize("route", ROUTES)
def test_a_person_without_a_role_gets_nothing(scene: Scene, route: str) -> None:
    caller = Caller("nobody in particular", scene.world.as_(person("Stranger")), frozenset({Role.VALIDATOR}))
    answer = scene.call(caller, route, ROUTES[route])
    if ROUTES[route].actions or not answer.is_success:
        problem(answer, 404, "not-found")
    elif route == "GET /v1/whoami":
        assert good(answer)["roles"] == []
    elif route == "GET /v1/waiting/events":
        assert '"items":[]' in answer.text.replace(" ", "")
    else:
        assert good(answer)["items"] == []


def test_every_denial_is_recorded_with_what_was_asked(scene: Scene) -> None:
    scene.world.told()
    dana = scene.world.as_(person("the data-engineer", Role.DATA_ENGINEER))
    expected = []
    for route, asked in ROUTES.items():
        if asked.actions and asked.actions[-1] not in (READ, Action.DATASET_INGEST, Action.FEATURES_MATERIALISE):
            answer = scene.call(Caller("", dana, frozenset({Role.DATA_ENGINEER})), route, asked)
            if is_denied(answer):
                expected.append(answer.json()["type"].rpartition("/")[2])
    refusals = scene.world.refusals()

    assert len(expected) > 25
    assert [event["payload"]["error"] for event in refusals] == expected
    assert all(event["payload"]["action"] for event in refusals)
    assert all(event["payload"]["members"]["rule"] for event in refusals)
    assert all(event["resource"] != "request:unknown" for event in refusals)


def test_the_bearer_of_a_one_time_token_enrols_and_does_nothing_else(scene: Scene) -> None:
    api = scene.world.bearer(scene.world.invite())
    for route, asked in ROUTES.items():
        method, _, path = route.partition(" ")
        problem(api.call(method, filled(asked.path or path, scene.names), {}), 401, "unauthenticated")


def test_a_retired_agent_gets_nothing_from_that_moment_on(scene: Scene) -> None:
    agent = scene.world.enrol()
    pavel = scene.world.as_(person("Pavel", Role.PLATFORM_ENGINEER))
    assert pavel.post(f"/v1/agents/{agent.ref.removeprefix('agent:')}/retirement", BECAUSE).status_code == 200
    caller = Caller("retired", agent.api, frozenset({Role.AGENT}), ActorKind.AGENT, ZONE)
    for route, asked in ROUTES.items():
        problem(scene.call(caller, route, asked), 403, "forbidden")
