# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI document as a tester reads it: whatever fits it, from whomever, is answered, and never with a failure.

Schemathesis makes the requests from the document.  Some of them then speak about what is really there, so that they
come past the first look-up, and some of those have one member that nobody should send.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import psycopg
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

from audit.verify_database import verify_database
from gateway import app, composition
from khatim.vocabulary import Role
from tests.strategies import HOSTILE
from tests.support.agents import digest
from tests.support.http import Api, good, problem
from tests.support.people import DANA, person
from tests.support.world import ABROAD, CODE, CONTRACT, DATASET, DEMO, MODEL, PURPOSE, SPEC, VIEW, ZONE
from tests.support.world import Step as Until
from tests.support.world import World, Worlds

Json = dict[str, Any]
EXAMPLES = 5  # of each operation: one as it is, two about what is there, two of those with a hostile member
WRONG: list[Any] = [
    *HOSTILE, None, True, 0, -1, 2**31, 2**63, 10**40, 1e308, [], {}, [[]], [None], {"a": {"b": ["\x00"]}}, "\ud800",
    {"\x00": 1}, {"\ud800": 1}, "9" * 5000, "2026-01-01", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00",
    [{"path": "\x00"}], {"digest": None}, "sha256:" + "0" * 64, "a/b@999999999", "\u0000", "{}",
]  # fmt: skip
INSIDE = ("Traceback", "psycopg", "sqlalchemy", "SELECT ", "pydantic", "/site-packages/")
# What is really there, by the name that bodies and addresses give it.
THERE: Json = {
    "namespace": "oncology", "zone": ZONE, "to_zone": ABROAD, "source": digest("wdbc.csv"), "dataset": DATASET,
    "features": VIEW, "model": MODEL, "version": f"{MODEL}@1", "code_digest": CODE, "purpose": PURPOSE,
    "contract": CONTRACT, "spec": SPEC, "datasets": [DATASET], "digest": digest("wdbc.csv"), "number": 1,
    "because": "a test asks", "transition": "production", "alias": "champion", "role": "validator", "to": "production",
    "index": 1, "fence": 1, "size": 100, "files": [{"path": "m.onnx", "digest": digest("wdbc.csv"), "size": 100}],
}  # fmt: skip
NAMES = (("/v1/datasets/", "wdbc"), ("/v1/features/", "cell-shape"), ("/v1/models/", "malignancy"))
# These would take away what the others speak about.
SPARED = ("revocation", "retirement", "stop")


@dataclass(frozen=True)
class Asked:
    """One request of the document."""

    operation: str
    method: str
    path: str
    query: Json
    headers: dict[str, str]
    content: bytes

    def send(self, api: Api) -> httpx.Response:
        """Send it as whoever *api* is."""
        return api.send(self.method, self.path, self.content, query=self.query, headers=self.headers)


@dataclass
class Scene:
    """A world in which the story has been told, and every request that its document makes."""

    world: World
    document: Json
    asked: list[Asked] = field(default_factory=list)

    def api(self, role: Role) -> Api:
        """Return the API as somebody of *role* sees it."""
        if role is Role.AGENT:
            return self.world.agent.api
        return self.world.as_(person(f"the {role.value}", role))


@contextmanager
def sequencing(world: World) -> Iterator[None]:
    """Let events take their place in the ledger meanwhile."""
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            world.sequence()
            time.sleep(0.05)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def examples(operation: Any) -> list[Any]:
    """Return requests that fit the document, the same each time."""
    found: list[Any] = []

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy())
    def keep(case: Any) -> None:
        found.append(case)

    keep()
    return found


def real(place: str, there: Json, given_value: Json) -> Json:
    """Return *given_value* speaking about what is there, as far as its members' names tell."""
    known = {key: there[key] for key in given_value if key in there}
    if "name" in given_value and not place.endswith(SPARED):
        known["name"] = next((name for prefix, name in (*NAMES, *there["names"]) if place.startswith(prefix)), "none")
    return {**given_value, **known}


def requests(operation: Any, there: Json) -> Iterator[Asked]:
    """Yield the requests to one operation."""
    chance = random.Random(operation.label)
    for number, case in enumerate(examples(operation)):
        body = case.body if isinstance(case.body, dict) else None
        if number > 0:
            case.path_parameters = real(case.path, there, dict(case.path_parameters or {}))
            body = real(case.path, there, body) if body is not None else None
        if number > 2:
            if body:
                member = chance.choice(sorted(body))
                body = {**body, member: chance.choice(WRONG)}
            elif case.query:
                case.query = {**case.query, chance.choice(sorted(case.query)): chance.choice(HOSTILE[:-3])}
        has_body = isinstance(case.body, dict | list | str | int | float | bool | None)
        content = json.dumps(case.body if body is None else body).encode() if has_body else b""
        query = {key: value for key, value in dict(case.query or {}).items() if value is not None}
        query = {
            key: value.encode("utf-8", "replace") if isinstance(value, str) else value for key, value in query.items()
        }
        own = {key: value for key, value in (case.headers or {}).items() if key.lower() == "idempotency-key"}
        yield Asked(operation.label, case.method, case.formatted_path, query, own, content)


@pytest.fixture(scope="module")
def scene(worlds: Worlds) -> Iterator[Scene]:
    """Yield a world where everything is, with its ledger at work."""
    with worlds.at(Until.SERVING, DEMO) as world:
        document = app.create(world.parts).openapi()
        world.authorise()
        ingest = {"zone": ZONE, "source": digest("wdbc.csv"), "contract": CONTRACT}
        job = good(world.as_(DANA).post("/v1/datasets/oncology/other/versions", ingest))["id"]
        names = (
            ("/v1/jobs/", job), ("/v1/agent/jobs/", job), ("/v1/deployments/", world.memory.deployment),
            ("/v1/authorisations/", world.memory.authorisation),
        )  # fmt: skip
        there = {**THERE, "authorisation": world.memory.authorisation, "names": names}
        operations = [one.ok() for one in schemathesis.openapi.from_dict(document).get_all_operations()]
        asked = [one for operation in operations for one in requests(operation, there)]
        world.sequence()
        with sequencing(world):
            yield Scene(world, document, asked)


@pytest.mark.parametrize("role", Role)
def test_whatever_fits_the_document_is_answered_and_never_with_a_failure(scene: Scene, role: Role) -> None:
    api = scene.api(role)
    wrong = []
    tally = []
    for asked in scene.asked:
        answer = asked.send(api)
        tally.append(answer.status_code)
        if answer.status_code >= 500:
            wrong.append(f"{asked}: {answer.status_code} {answer.text[:200]}")
        elif answer.status_code >= 400 and not asked.path.startswith("/api/"):
            problem(answer, answer.status_code)
            assert not any(word in answer.text for word in INSIDE), answer.text

    print(role, __import__('collections').Counter(tally))
    assert wrong == []
    assert len(scene.asked) > 200


def test_nobody_is_answered_with_a_failure_either(scene: Scene) -> None:
    for asked in scene.asked:
        assert asked.send(scene.world.nobody()).status_code < 500


def test_the_ledger_holds_after_all_of_it(scene: Scene) -> None:
    world = scene.world
    world.sequence()
    verifier = composition.ledger_signer(world.parts.settings, world.parts.instance).verifier
    with psycopg.connect(world.url("khatim_service")) as connection:
        report = verify_database(connection, verifier)

    assert report.size > 500
    assert [kind for kind in report.kinds if kind.endswith(".refused")]


def operations_of(document: Json) -> Iterator[tuple[str, Json]]:
    """Yield each operation with its label."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_every_operation_says_what_it_does_and_has_a_name_of_its_own(scene: Scene) -> None:
    operations = dict(operations_of(scene.document))

    assert len({one["operationId"] for one in operations.values()}) == len(operations)
    assert [label for label, one in operations.items() if not one.get("description") or not one.get("tags")] == []


def test_no_request_takes_members_that_the_document_does_not_name(scene: Scene) -> None:
    schemas = scene.document["components"]["schemas"]
    for label, operation in operations_of(scene.document):
        content = operation.get("requestBody", {}).get("content", {})
        for told in content.values():
            name = told["schema"].get("$ref", "").rpartition("/")[2]
            if name and label.split()[1].startswith("/v1/"):
                assert schemas[name].get("additionalProperties") is False, label
