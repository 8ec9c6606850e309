# SPDX-License-Identifier: Apache-2.0
"""Models, versions and aliases: created once, registered from what stands in a zone, pointed at by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from khatim.vocabulary import JobKind
from tests.strategies import HOSTILE
from tests.support.agents import digest
from tests.support.agents import file as file_of
from tests.support.http import good, problem
from tests.support.people import ADEL, DANA, MONA, PETRA, SAMI
from tests.support.world import DATASET, MODEL, VERSION, VIEW, ZONE, Step, World, Worlds

ON_MODEL = f"/v1/models/{MODEL}"


def register(*files: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return the body that registers *files*."""
    return {"zone": ZONE, "files": list(files), **more}


def brought(world: World, path: str, role: str = "weights", tags: tuple[str, ...] = ("health.ae",)) -> dict[str, Any]:
    """Bring a made-up file into the zone and return it as a manifest names it."""
    world.place(path, tags=tags)
    return file_of(path, path, role=role)


@pytest.fixture(scope="module")
def untouched(worlds: Worlds) -> Iterator[World]:
    """Yield one world for tests that change nothing."""
    with worlds.at(Step.READY) as opened:
        yield opened


# -- models --


def test_a_model_is_created_and_recorded(world: World) -> None:
    made = good(world.as_(SAMI).post(ON_MODEL, {"description": "finds tumours", "tier": 1}))

    assert (made["namespace"], made["name"], made["tier"]) == ("oncology", "malignancy", 1)
    assert good(world.as_(ADEL).get(ON_MODEL)) == made
    event = world.told()[1]
    assert event["kind"] == "model.created"
    assert event["payload"] == {"tier": 1}


def test_a_model_is_created_once(world: World) -> None:
    good(world.as_(SAMI).post(ON_MODEL))

    problem(world.as_(SAMI).post(ON_MODEL), 409, "already-exists")


def test_a_role_that_registers_nothing_creates_no_model(world: World) -> None:
    problem(world.as_(DANA).post(ON_MODEL), 403, "forbidden")

    assert world.refusals()[0]["resource"] == "model:oncology/malignancy"


@pytest.mark.parametrize("name", ["UPPER", "-a", "a-", "a" * 65, "%20", "%00", "%C3%A4", "'; --"])
def test_a_name_that_names_nothing_is_refused(untouched: World, name: str) -> None:
    answer = untouched.as_(SAMI).post(f"/v1/models/oncology/{name}")

    assert answer.status_code in (404, 422), answer.text
    assert untouched.sql("SELECT count(*) FROM models") == [(1,)]


@pytest.mark.parametrize("tier", [0, 4, "high", None])
def test_a_tier_is_one_of_three(untouched: World, tier: object) -> None:
    body = problem(untouched.as_(SAMI).post(ON_MODEL, {"tier": tier}), 422, "malformed")

    assert body["places"][0]["at"] == "body.tier"


def test_an_unknown_model_is_named(world: World) -> None:
    for path in (ON_MODEL, f"{ON_MODEL}/versions", f"{ON_MODEL}/aliases", VERSION):
        assert "oncology/malignancy" in problem(world.as_(SAMI).get(path), 404, "not-found")["detail"]


def test_models_are_listed_by_name_page_by_page(world: World) -> None:
    for name in ("c", "a", "b"):
        good(world.as_(SAMI).post(f"/v1/models/oncology/{name}"))
    first = good(world.as_(ADEL).get("/v1/models?limit=2"))
    second = good(world.as_(ADEL).get(f"/v1/models?limit=2&cursor={first['next']}"))

    assert [one["name"] for one in first["items"] + second["items"]] == ["a", "b", "c"]
    assert second["next"] is None


def test_a_search_takes_letters_as_they_are(world: World) -> None:
    for name in ("a.b", "a-b", "axb"):
        good(world.as_(SAMI).post(f"/v1/models/oncology/{name}"))

    def found(search: str) -> list[str]:
        return [one["name"] for one in good(world.as_(ADEL).get(f"/v1/models?search={search}"))["items"]]

    assert found("a.b") == ["a.b"]
    assert found("%25") == []
    assert found("a_b") == []
    assert found("ONCOLOGY/A") == ["a-b", "a.b", "axb"]


# -- versions --


def test_a_version_is_registered_pending_and_its_scan_is_asked_for(data: World) -> None:
    model = brought(data, "model.onnx")
    made = good(data.as_(SAMI).post(f"{ON_MODEL}/versions", register(model, parents=[f"dataset:{DATASET}"])))

    assert (made["number"], made["status"], made["stage"]) == (1, "PENDING_REGISTRATION", "none")
    assert made["tags"] == ["health.ae"]
    assert made["files"] == [{**model, "format": "onnx", "verdict": "servable"}]
    assert made["registered_by"] == SAMI.ref
    kinds = data.kinds()
    assert kinds[-3:] == ["model.created", "version.registered", "job.requested"]


def test_a_scan_makes_a_version_ready(data: World) -> None:
    good(data.as_(SAMI).post(f"{ON_MODEL}/versions", register(brought(data, "model.onnx"))))
    data.agent.do(JobKind.SCAN)

    assert good(data.as_(SAMI).get(VERSION))["status"] == "READY"
    assert [one["kind"] for one in good(data.as_(SAMI).get(f"{VERSION}/evidence"))["items"]] == ["scan"]


def test_a_version_takes_the_tags_of_its_files_and_parents(data: World) -> None:
    body = register(brought(data, "model.onnx", tags=("public",)), tags=["synthetic"], parents=[f"dataset:{DATASET}"])
    made = good(data.as_(SAMI).post(f"{ON_MODEL}/versions", body))

    assert made["tags"] == ["health.ae", "public", "synthetic"]


def test_versions_count_up_also_when_registered_at_once(data: World) -> None:
    sami = data.as_(SAMI)
    bodies = [register(brought(data, f"{number}.onnx")) for number in range(4)]
    answers = data.together(*[lambda body=body: sami.post(f"{ON_MODEL}/versions", body) for body in bodies])

    assert sorted(good(answer)["number"] for answer in answers) == [1, 2, 3, 4]
    listed = good(sami.get(f"{ON_MODEL}/versions"))["items"]
    assert [one["number"] for one in listed] == [4, 3, 2, 1]


def test_a_pickle_is_recorded_and_no_more(data: World) -> None:
    made = good(data.as_(SAMI).post(f"{ON_MODEL}/versions", register(brought(data, "model.pkl"))))

    assert made["files"][0]["verdict"] == "record-only"
    assert made["files"][0]["format"] == "pickle"


def test_a_format_that_nobody_knows_is_refused_with_advice(data: World) -> None:
    body = problem(
        data.as_(SAMI).post(f"{ON_MODEL}/versions", register(brought(data, "model.exe"))), 403, "format-refused"
    )

    assert "model.exe" in body["detail"]
    assert body["advice"]
    assert data.refusals()[0]["payload"]["error"] == "format-refused"
    assert data.sql("SELECT count(*) FROM models") == [(0,)]


@pytest.mark.parametrize("path", ["../model.onnx", "/model.onnx", "a/../../model.onnx", "a\\model.onnx", "a//m.onnx"])
def test_a_path_that_leaves_the_model_is_refused(untouched: World, path: str) -> None:
    untouched.place("m")
    body = register(file_of(path, "m"))

    problem(untouched.as_(SAMI).post(f"{ON_MODEL}/versions", body), 422, "malformed")


def test_a_file_that_is_not_in_the_zone_is_named(data: World) -> None:
    body = problem(
        data.as_(SAMI).post(f"{ON_MODEL}/versions", register(file_of("model.onnx", "nowhere"))), 404, "not-found"
    )

    assert digest("nowhere") in body["detail"]


def test_a_file_of_another_size_is_refused(data: World) -> None:
    data.place("model.onnx")
    body = problem(
        data.as_(SAMI).post(f"{ON_MODEL}/versions", register(file_of("model.onnx", "model.onnx", size=99))), 422
    )

    assert "100 bytes" in body["detail"]


@pytest.mark.parametrize(
    "parent", ["", "dataset", "dataset:x", "dataset:oncology/wdbc", "model:a/b@1", "dataset:a/b@0"]
)
def test_a_parent_that_cannot_be_read_is_refused(untouched: World, parent: str) -> None:
    model = brought(untouched, "model.onnx")

    problem(untouched.as_(SAMI).post(f"{ON_MODEL}/versions", register(model, parents=[parent])), 422, "malformed")


def test_a_parent_that_is_not_there_is_named(data: World) -> None:
    model = brought(data, "model.onnx")
    body = problem(
        data.as_(SAMI).post(f"{ON_MODEL}/versions", register(model, parents=["dataset:oncology/wdbc@9"])), 404
    )

    assert "oncology/wdbc@9" in body["detail"]


def test_a_base_model_must_be_registered_and_its_tags_are_inherited(ready: World) -> None:
    base = good(ready.as_(SAMI).get(VERSION))["digest"]
    adapter = brought(ready, "adapter.safetensors", role="adapter", tags=("public",))
    made = good(ready.as_(SAMI).post("/v1/models/oncology/tuned/versions", register(adapter, bases=[base])))

    assert made["tags"] == ["health.ae", "public"]
    assert made["bases"] == [base]
    lineage = good(ready.as_(SAMI).get("/v1/models/oncology/tuned/versions/1/lineage"))["items"]
    assert {"version:oncology/malignancy@1", f"dataset:{DATASET}"} <= {node["ref"] for node in lineage}
    unknown = register(adapter, bases=[digest("unknown")])
    problem(ready.as_(SAMI).post("/v1/models/oncology/tuned/versions", unknown), 404, "not-found")


def test_an_agent_registers_nothing_outside_a_job(data: World) -> None:
    model = brought(data, "model.onnx")

    problem(data.agent.api.post(f"{ON_MODEL}/versions", register(model)), 403, "forbidden")


def test_a_version_is_revoked_once_by_somebody_who_may(ready: World) -> None:
    because = {"because": "the training data was wrong"}
    problem(ready.as_(SAMI).post(f"{VERSION}/revocation", because), 403, "forbidden")
    revoked = good(ready.as_(PETRA).post(f"{VERSION}/revocation", because))

    assert revoked["revoked_because"] == "the training data was wrong"
    assert [event["kind"] for event in ready.told()] == ["person.known", "version.refused", "version.revoked"][1:]
    problem(ready.as_(MONA).post(f"{VERSION}/revocation", because), 409, "conflict")


# -- aliases --


def test_an_alias_moves_and_says_from_where(ready: World) -> None:
    good(ready.as_(SAMI).post("/v1/trainings", ready.training()))
    ready.agent.do(JobKind.TRAIN)
    ready.told()
    good(ready.as_(SAMI).put(f"{ON_MODEL}/aliases/candidate", {"number": 1}))
    good(ready.as_(SAMI).put(f"{ON_MODEL}/aliases/candidate", {"number": 2}))

    assert [event["payload"] for event in ready.told()] == [{"number": 1}, {"before": 1, "number": 2}]
    [alias] = good(ready.as_(ADEL).get(f"{ON_MODEL}/aliases"))["items"]
    assert (alias["alias"], alias["number"], alias["set_by"]) == ("candidate", 2, SAMI.ref)


@pytest.mark.parametrize("alias", ["latest", "v1", "v007"])
def test_a_reserved_alias_is_refused(untouched: World, alias: str) -> None:
    problem(untouched.as_(SAMI).put(f"{ON_MODEL}/aliases/{alias}", {"number": 1}), 409, "conflict")


def test_an_alias_of_a_version_that_is_not_there_is_refused(ready: World) -> None:
    problem(ready.as_(SAMI).put(f"{ON_MODEL}/aliases/candidate", {"number": 2}), 404, "not-found")
    for number in (10**10, 10**19, 10**30):
        answer = ready.as_(SAMI).put(f"{ON_MODEL}/aliases/candidate", {"number": number})
        assert answer.status_code in (404, 422), answer.text
    problem(ready.as_(SAMI).put(f"{ON_MODEL}/aliases/candidate", {"number": 0}), 422, "malformed")


def test_two_who_set_the_same_alias_at_once_both_get_an_answer(ready: World) -> None:
    sami = ready.as_(SAMI)
    answers = ready.together(*[lambda: sami.put(f"{ON_MODEL}/aliases/candidate", {"number": 1})] * 4)

    assert {answer.status_code for answer in answers} <= {200, 409}
    assert ready.sql("SELECT count(*) FROM aliases") == [(1,)]


def test_an_auditor_moves_no_alias(ready: World) -> None:
    problem(ready.as_(ADEL).put(f"{ON_MODEL}/aliases/candidate", {"number": 1}), 403, "forbidden")


# -- reading --


def test_the_lineage_goes_from_the_version_to_the_raw_file(ready: World) -> None:
    nodes = good(ready.as_(ADEL).get(f"{VERSION}/lineage"))["items"]
    refs = [node["ref"] for node in nodes]

    assert refs[0] == f"version:{MODEL}@1"
    assert {f"features:{VIEW}", f"dataset:{DATASET}", f"artifact:{digest('wdbc.csv')}"} <= set(refs)
    assert [len(node["statements"]) for node in nodes if node["kind"] != "artifact"] == [3, 1, 1]


@pytest.mark.parametrize("number", ["0", "-1", "01x", "1.5", "99999999999999999999999999"])
def test_a_number_that_is_no_version_is_refused(untouched: World, number: str) -> None:
    answer = untouched.as_(SAMI).get(f"{ON_MODEL}/versions/{number}")

    assert answer.status_code in (404, 422), answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models?cursor=x", "/v1/models?cursor=%C3%A4", "/v1/models?cursor=W10", "/v1/models?cursor=WzEsMl0",
        "/v1/models?cursor=W3t9LHt9XQ", "/v1/models?cursor=W251bGwsbnVsbF0", "/v1/models?limit=0",
        "/v1/models?limit=201", "/v1/models?search=%00", "/v1/datasets?cursor=WyJhIiwiYiIsImMiXQ",
        "/v1/jobs?cursor=WzFd", "/v1/jobs?cursor=WyJ4Il0", "/v1/findings?cursor=W251bGxd",
    ],
)  # fmt: skip
def test_a_cursor_or_filter_that_is_not_ours_is_refused(untouched: World, path: str) -> None:
    body = problem(untouched.as_(SAMI).get(path), 422, "malformed")

    assert "psycopg" not in str(body)


@pytest.mark.parametrize(
    "name", [name for name in HOSTILE if "/" not in name and name not in ("", ".", "..", "\ud800")]
)
def test_a_hostile_name_finds_nothing_and_breaks_nothing(untouched: World, name: str) -> None:
    quoted = "".join(f"%{byte:02X}" for byte in name.encode())
    for path in (f"/v1/models/oncology/{quoted}", f"/v1/models/{quoted}/x/versions/1", f"/v1/jobs/{quoted}"):
        assert untouched.as_(SAMI).get(path).status_code in (404, 422), path
