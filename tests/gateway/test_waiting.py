# SPDX-License-Identifier: Apache-2.0
"""What waits for whom: each sees what they may decide and nothing else; asked once, waited for, told as it changes."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from khatim.vocabulary import Role
from tests.processes.serving import Registry
from tests.support.http import good
from tests.support.people import ADEL, MONA, NOUR, OMAR, PETRA, SAMI, VERA, Person
from tests.support.world import VERSION, World

BECAUSE = {"because": "it is needed"}


def waits(world: World, who: Person) -> list[tuple[str, str]]:
    return [(one["kind"], one["ref"].partition(":")[0]) for one in good(world.as_(who).get("/v1/waiting"))["items"]]


def test_a_version_waits_for_whose_approval_it_lacks_and_for_nobody_else(evaluated: World) -> None:
    for who in (VERA, PETRA, MONA):
        assert waits(evaluated, who) == [("version", "version")]
    for who in (SAMI, ADEL, NOUR, SAMI.also(Role.VALIDATOR)):
        assert waits(evaluated, who) == []
    [item] = good(evaluated.as_(VERA).get("/v1/waiting"))["items"]
    assert item["command"] == "khatim version approve oncology/malignancy@1 --role validator --meaning …"
    good(evaluated.as_(VERA).post(f"{VERSION}/approvals", {"role": "validator", "meaning": "approved"}))

    assert waits(evaluated, VERA) == []
    assert waits(evaluated, PETRA) == [("version", "version")]


def test_what_nobody_answers_in_time_waits_for_who_is_told_then(evaluated: World) -> None:
    [item] = good(evaluated.as_(VERA).get("/v1/waiting"))["items"]
    [evidence] = [
        one for one in good(evaluated.as_(ADEL).get(f"{VERSION}/evidence"))["items"] if one["kind"] == "evaluation"
    ]
    assert datetime.fromisoformat(item["due"]) - datetime.fromisoformat(evidence["at"]) == timedelta(days=14)
    assert good(evaluated.as_(MONA).get("/v1/waiting"))["items"][0]["due"] is None  # nobody is told of who is told
    evaluated.clock.forward(days=15)
    good(evaluated.as_(PETRA).post(f"{VERSION}/approvals", {"role": "privacy-officer", "meaning": "approved"}))
    escalated = [one for one in good(evaluated.as_(MONA).get("/v1/waiting"))["items"] if one["kind"] == "escalation"]

    assert [one["title"] for one in escalated] == ["nobody has answered for oncology/malignancy@1 as validator"]
    assert waits(evaluated, VERA) == [("version", "version")]


def test_requests_wait_for_whoever_may_decide_and_did_not_ask(evaluated: World) -> None:
    good(evaluated.as_(SAMI).post("/v1/authorisations", evaluated.terms()))
    role = {"subject": "person:p-hind", "role": "validator", "days": 30, **BECAUSE}
    good(evaluated.as_(NOUR).post("/v1/access/roles", role))
    good(evaluated.as_(SAMI).post("/v1/access/emergencies", {"role": "validator", "hours": 2, **BECAUSE}))

    assert ("authorisation", "authorisation") in waits(evaluated, PETRA)
    assert waits(evaluated, OMAR) == [("role", "assignment"), ("emergency", "assignment")]
    assert waits(evaluated, NOUR) == [("emergency", "assignment")]
    assert waits(evaluated, SAMI.also(Role.ACCESS_ADMINISTRATOR)) == [("role", "assignment")]


def test_findings_wait_for_their_owner_with_their_day(evaluated: World) -> None:
    body = {"about": "version:oncology/malignancy@1", "severity": "low", "summary": "a note"}
    opened = good(evaluated.as_(VERA).post("/v1/findings", body))
    [item] = good(evaluated.as_(SAMI).get("/v1/waiting"))["items"]

    assert (item["kind"], item["due"]) == ("finding", opened["due_at"])


@pytest.fixture
def served(evaluated: World) -> Iterator[tuple[World, Registry]]:
    registry = Registry(evaluated)
    registry.start()
    try:
        with evaluated.sequencing():
            yield evaluated, registry
    finally:
        registry.stop()


def ask(world: World, registry: Registry, who: Person, **asked: Any) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {world.as_(who).bearer()}"}
    answer: dict[str, Any] = good(httpx.get(registry.url + "/v1/waiting", params=asked, headers=headers, timeout=40))
    return answer


def test_a_long_poll_answers_when_something_changes_and_not_before(served: tuple[World, Registry]) -> None:
    world, registry = served
    mark = ask(world, registry, VERA)["mark"]
    began = time.monotonic()
    assert ask(world, registry, VERA, mark=mark, wait=2)["mark"] == mark
    assert time.monotonic() - began >= 2
    later = threading.Timer(
        1, lambda: world.as_(VERA).post(f"{VERSION}/approvals", {"role": "validator", "meaning": "approved"})
    )
    later.start()
    began = time.monotonic()
    found = ask(world, registry, VERA, mark=mark, wait=20)
    later.join()

    assert (found["items"], found["mark"] != mark) == ([], True)
    assert time.monotonic() - began < 10


def test_events_are_told_as_they_come_and_end_for_who_is_cut_off(served: tuple[World, Registry]) -> None:
    world, registry = served
    headers = {"Authorization": f"Bearer {world.as_(VERA).bearer()}"}
    told: list[dict[str, Any]] = []
    ended = 0.0
    with httpx.stream("GET", registry.url + "/v1/waiting/events", headers=headers, timeout=40) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            if not line.startswith("data: "):
                continue
            told.append(json.loads(line.removeprefix("data: ")))
            if len(told) == 1:
                good(world.as_(VERA).post(f"{VERSION}/approvals", {"role": "validator", "meaning": "approved"}))
            else:
                good(world.as_(NOUR).post(f"/v1/people/{VERA.ref}/suspension", BECAUSE))
                ended = time.monotonic()

    assert [len(one["items"]) for one in told] == [1, 0]
    assert time.monotonic() - ended < 15


def test_strangers_are_refused_before_a_stream_begins(served: tuple[World, Registry]) -> None:
    _, registry = served

    for path in ("/v1/waiting", "/v1/waiting/events"):
        assert httpx.get(registry.url + path, timeout=10).status_code == 401
