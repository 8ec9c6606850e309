# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI description is a promise: whatever it allows is answered, never with 5xx, and always as described."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from audit.http import open_transaction
from gateway import app
from khatim.vocabulary import JobKind, Role
from tests.gateway.test_routes import CONSOLE
from tests.support.http import Api, routes_of
from tests.support.people import PAVEL, Person
from tests.support.world import DEMO, Step, World, Worlds

EXAMPLES = 12
EVERYTHING = Person("Everything", frozenset(Role) - {Role.AGENT, Role.AUDITOR})
AUDITOR = Person("Audrey", frozenset({Role.AUDITOR}))
OPERATIONS = (
    "GET /.well-known/openid-configuration", "GET /api/v2/trustBundle", "GET /health", "GET /ledger/checkpoint",
    "GET /ledger/endorsed", "GET /ledger/payload/{digest}", "GET /ledger/tile/{path}", "GET /v1/access/explanation",
    "GET /v1/access/links",
    "GET /v1/access/reviews", "GET /v1/access/reviews/{name}", "GET /v1/access/roles", "GET /v1/access/suspensions",
    "GET /v1/agent/jobs/{name}", "GET /v1/agent/orders", "GET /v1/agent/revocations", "GET /v1/agent/status",
    "GET /v1/agent/trust",
    "GET /v1/agents", "GET /v1/artifacts/{digest}/placements", "GET /v1/authorisations", "GET /v1/datasets",
    "GET /v1/datasets/{namespace}/{name}/versions/{number}", "GET /v1/deployments", "GET /v1/deployments/{name}",
    "GET /v1/erasures", "GET /v1/features", "GET /v1/features/{namespace}/{name}/versions/{number}", "GET /v1/findings",
    "GET /v1/findings/{name}", "GET /v1/holds", "GET /v1/incidents", "GET /v1/incidents/{name}", "GET /v1/jobs",
    "GET /v1/jobs/{name}", "GET /v1/ledger/archives",
    "GET /v1/ledger/entries", "GET /v1/ledger/entries/{index}", "GET /v1/ledger/entries/{index}/receipt",
    "GET /v1/ledger/receipts", "GET /v1/models", "GET /v1/models/{namespace}/{name}",
    "GET /v1/models/{namespace}/{name}/aliases", "GET /v1/models/{namespace}/{name}/aliases/{alias}/history",
    "GET /v1/models/{namespace}/{name}/history", "GET /v1/models/{namespace}/{name}/versions",
    "GET /v1/models/{namespace}/{name}/versions/{number}",
    "GET /v1/models/{namespace}/{name}/versions/{number}/approvals",
    "GET /v1/models/{namespace}/{name}/versions/{number}/dossier",
    "GET /v1/models/{namespace}/{name}/versions/{number}/evidence",
    "GET /v1/models/{namespace}/{name}/versions/{number}/gates/{transition}",
    "GET /v1/models/{namespace}/{name}/versions/{number}/lineage",
    "GET /v1/models/{namespace}/{name}/versions/{number}/self-attestations",
    "GET /v1/models/{namespace}/{name}/versions/{number}/waivers", "GET /v1/policy", "GET /v1/policy/changes",
    "GET /v1/policy/changes/{name}", "GET /v1/policy/overlay", "GET /v1/revocations", "GET /v1/revocations/list",
    "GET /v1/service-accounts", "GET /v1/service-accounts/{name}/tokens",
    "GET /v1/sign-in", "GET /v1/signing", "GET /v1/sinks", "GET /v1/transfers", "GET /v1/waiting",
    "GET /v1/waiting/events",
    "GET /v1/whoami", "GET /v1/zones",
    "POST /api/v1/timestamp", "POST /api/v2/log/entries", "POST /api/v2/signingCert", "POST /v1/access/emergencies",
    "POST /v1/access/emergencies/{name}/confirmation", "POST /v1/access/links",
    "POST /v1/access/links/{name}/approval", "POST /v1/access/links/{name}/release", "POST /v1/access/reviews",
    "POST /v1/access/reviews/{name}/decisions", "POST /v1/access/roles", "POST /v1/access/roles/{name}/approval",
    "POST /v1/access/roles/{name}/revocation", "POST /v1/agent/artifacts", "POST /v1/agent/deployments/{name}/halt",
    "POST /v1/agent/deployments/{name}/pause",
    "POST /v1/agent/enrolment", "POST /v1/agent/identity", "POST /v1/agent/jobs/claim",
    "POST /v1/agent/jobs/{name}/completion", "POST /v1/agent/jobs/{name}/failure",
    "POST /v1/agent/jobs/{name}/heartbeat", "POST /v1/agents/invitations", "POST /v1/agents/{name}/retirement",
    "POST /v1/authorisations", "POST /v1/authorisations/{name}/approval", "POST /v1/authorisations/{name}/revocation",
    "POST /v1/datasets/{namespace}/{name}/versions", "POST /v1/deployments", "POST /v1/deployments/{name}/monitor-runs",
    "POST /v1/deployments/{name}/stop", "POST /v1/downloads", "POST /v1/engagements",
    "POST /v1/erasures/{name}/approval", "POST /v1/features/{name}/versions", "POST /v1/findings",
    "POST /v1/findings/{name}/assignment", "POST /v1/findings/{name}/resolution",
    "POST /v1/holds", "POST /v1/holds/{name}/release", "POST /v1/incidents", "POST /v1/incidents/{name}/closing",
    "POST /v1/incidents/{name}/duties", "POST /v1/jobs/{name}/cancellation",
    "POST /v1/models/{namespace}/{name}", "POST /v1/models/{namespace}/{name}/versions",
    "POST /v1/models/{namespace}/{name}/versions/{number}/approvals",
    "POST /v1/models/{namespace}/{name}/versions/{number}/approvals/{approval}/answers",
    "POST /v1/models/{namespace}/{name}/versions/{number}/approvals/{approval}/withdrawal",
    "POST /v1/models/{namespace}/{name}/versions/{number}/evaluations",
    "POST /v1/models/{namespace}/{name}/versions/{number}/promotions",
    "POST /v1/models/{namespace}/{name}/versions/{number}/revocation",
    "POST /v1/models/{namespace}/{name}/versions/{number}/self-attestations",
    "POST /v1/models/{namespace}/{name}/versions/{number}/waivers", "POST /v1/namespaces/{namespace}/transfers",
    "POST /v1/people/{ref}/erasure", "POST /v1/people/{ref}/identity", "POST /v1/people/{ref}/restoration",
    "POST /v1/people/{ref}/sign-out", "POST /v1/people/{ref}/suspension",
    "POST /v1/policy/changes", "POST /v1/policy/changes/{name}/approval",
    "POST /v1/policy/changes/{name}/withdrawal", "POST /v1/policy/simulation", "POST /v1/revocations",
    "POST /v1/revocations/preview", "POST /v1/revocations/{name}/lifting", "POST /v1/service-accounts",
    "POST /v1/service-accounts/{name}/closure", "POST /v1/service-accounts/{name}/tokens",
    "POST /v1/service-accounts/{name}/tokens/{token}/revocation", "POST /v1/sinks",
    "POST /v1/sinks/{name}/pause", "POST /v1/sinks/{name}/removal", "POST /v1/sinks/{name}/resumption",
    "POST /v1/sinks/{name}/test", "POST /v1/trainings", "POST /v1/transfers/question",
    "POST /v1/transfers/{name}/approval", "POST /v1/transfers/{name}/revocation", "POST /v1/uploads",
    "POST /v1/waivers/{name}/approval", "POST /v1/waivers/{name}/revocation",
    "PUT /v1/models/{namespace}/{name}/aliases/{alias}",
)  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """A world with one of everything, and its description."""

    world: World
    document: dict[str, Any]
    schema: Any
    ids: dict[str, str]

    def caller(self, path: str) -> Api:
        """Return who may call *path*."""
        if path.startswith(("/v1/agent/", "/api/")):
            return self.world.agent.api
        return self.world.as_(AUDITOR if "ledger" in path or "engagements" in path else EVERYTHING)

    def known(self, path: str) -> dict[str, Any]:
        """Return values for the names in *path* that mean something in this world."""
        names = {"namespace": "oncology", "number": 1, "transition": "production", "alias": "champion", "index": 1}
        name = next((value for part, value in self.ids.items() if f"/{part}/{{" in path), "malignancy")
        return {key: value for key, value in {**names, "name": name}.items() if f"{{{key}}}" in path}


@pytest.fixture(scope="module")
def scene(worlds: Worlds) -> Iterator[Scene]:
    """Yield a world that has one of everything, with its ledger in order."""
    with worlds.at(Step.SERVING, DEMO) as world:
        deployment = world.memory.deployment
        world.as_(PAVEL).post(f"/v1/deployments/{deployment}/monitor-runs")
        job = world.agent.claim_a(JobKind.MONITOR)
        world.agent.complete(job, {"kind": "monitor", **world.agent.monitored(job, is_drift=True)})
        other = world.enrol()
        document: dict[str, Any] = app.create(world.parts).openapi()
        ids = {
            "datasets": "wdbc",
            "features": "cell-shape",
            "deployments": deployment,
            "findings": str(world.sql("SELECT id FROM findings")[0][0]),
            "jobs": job["id"],
            "authorisations": world.memory.authorisation,
            "agents": other.ref.removeprefix("agent:"),
        }
        with world.sequencing():
            yield Scene(world, document, schemathesis.openapi.from_dict(document), ids)


def test_every_operation_is_tried(scene: Scene) -> None:
    described = {f"{method.upper()} {path}" for path, methods in scene.document["paths"].items() for method in methods}

    assert described == set(OPERATIONS)


def test_every_route_that_a_program_may_call_is_described(scene: Scene) -> None:
    mounted = {
        f"{route.method} {route.path.replace(':path', '')}"
        for route in routes_of(app.create(scene.world.parts))
        if not route.path.startswith((*CONSOLE, "/sign-in")) and route.path not in {"/", "/console"}
    }

    assert mounted == set(OPERATIONS)


def test_every_operation_says_what_it_does_and_has_a_name_of_its_own(scene: Scene) -> None:
    operations = [one for methods in scene.document["paths"].values() for one in methods.values()]

    assert all(one["description"].endswith(".") for one in operations)
    assert len({one["operationId"] for one in operations}) == len(operations)


def test_every_operation_that_writes_takes_an_idempotency_key(scene: Scene) -> None:
    for route in routes_of(app.create(scene.world.parts)):
        if open_transaction in route.calls and route.in_schema:
            operation = scene.document["paths"][route.path][route.method.lower()]
            assert "idempotency-key" in {one["name"] for one in operation.get("parameters", [])}, str(route)


def strategy(scene: Scene, method: str, path: str) -> st.SearchStrategy[Case[Any]]:
    """Return cases of an operation: as described, against it, and with names that mean something."""
    operation = scene.schema[path][method]
    known = scene.known(path)
    good = operation.as_strategy(GenerationMode.POSITIVE)
    told = operation.as_strategy(GenerationMode.POSITIVE, path_parameters=known) if known else good
    has_input = bool(operation.body or operation.query or operation.path_parameters)
    bad = operation.as_strategy(GenerationMode.NEGATIVE) if has_input else good
    cases: st.SearchStrategy[Case[Any]] = st.one_of(told, good, bad)
    return cases


def send(api: Api, case: Case[Any]) -> httpx.Response:
    """Send a case as *api*'s caller."""
    given_ = case.as_transport_kwargs(base_url="http://127.0.0.1")
    headers = {key: value for key, value in given_.pop("headers").items() if _is_sendable(key, value)}
    token = api._token() if api._token else ""
    headers |= {"Authorization": f"Bearer {token}"}
    body = {key: given_[key] for key in ("json", "data", "files") if given_.get(key) is not None}
    if isinstance(body.get("data"), bytes | str):
        body["content"] = body.pop("data")
    # A stream is asked to end at once: here nobody reads it as it comes.
    params = {"for_s": 0} if case.path.endswith("/events") else given_.get("params")
    return api.http.request(given_["method"], given_["url"], params=params, headers=headers, **body)


def _is_sendable(key: str, value: Any) -> bool:
    return key.lower() not in ("authorization", "cookie") and str(value).isascii() and str(value).isprintable()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_whatever_is_sent_is_answered_as_described(scene: Scene, operation: str) -> None:
    method, _, path = operation.partition(" ")
    api = scene.caller(path)

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy(scene, method, path))
    def tried(case: Case[Any]) -> None:
        answer = send(api, case)
        assert answer.status_code < 500, f"{answer.request.url} {answer.request.content[:2000]!r}: {answer.text[:500]}"
        checks = [
            not_a_server_error,
            status_code_conformance,
            content_type_conformance,
            response_schema_conformance,
        ]
        case.validate_response(answer, checks=checks)

    tried()
