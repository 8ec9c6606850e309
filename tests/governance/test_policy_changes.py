# SPDX-License-Identifier: Apache-2.0
"""Policy changes: proposed by one, put in force by another, applied only if signed, simulated before."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from gateway import policy_keeping
from khatim.errors import SignatureInvalid
from registry.signing import statements
from tests.support.http import good, problem
from tests.support.people import ADEL, MONA, PAVEL, PETRA, SAMI, VERA, Person
from tests.support.world import VERSION, ZONE, World

CHANGES = "/v1/policy/changes"
BECAUSE = {"because": "the committee decided so on Monday"}
ROW = "p, data-scientist, *, *, version.approve, allow\n"
FILES = {"roles.csv": ROW}
STRICTER = {
    "gates.yaml": """requirements:
  production/privacy-officer:
    max_validity_days: 30
  production/second-opinion:
    tiers: [1, 2]
"""
}


@pytest.fixture
def world(approved: World) -> Iterator[World]:
    """Yield a world with approvals, whose data folder applies no change before or after."""
    folder = approved.parts.settings.data / policy_keeping.FOLDER
    approved.follow()
    approved.told()
    yield approved
    shutil.rmtree(folder, ignore_errors=True)


def proposed(world: World, files: dict[str, str] | None = None, by: Person = PAVEL) -> str:
    return str(good(world.as_(by).post(CHANGES, {"files": FILES if files is None else files, **BECAUSE}))["id"])


def activated(world: World, files: dict[str, str] | None = None) -> str:
    name = proposed(world, files)
    good(world.as_(MONA).post(f"{CHANGES}/{name}/approval", BECAUSE))
    assert world.follow()
    return name


def gate(world: World, transition: str = "production") -> Any:
    return good(world.as_(SAMI).get(f"{VERSION}/gates/{transition}"))


def test_rules_that_somebody_else_put_in_force_decide_from_then_on(world: World) -> None:
    asked = f"/v1/access/explanation?action=version.approve&resource=version:oncology/malignancy@1&zone={ZONE}"
    before = good(world.as_(SAMI).get(asked))
    name = proposed(world)
    assert not world.follow(), "nothing changes by a proposal"
    row = good(world.as_(MONA).post(f"{CHANGES}/{name}/approval", BECAUSE))
    assert world.follow()
    assert not world.follow(), "it is loaded once"
    after = good(world.as_(SAMI).get(asked))

    assert (before["allowed"], after["allowed"]) == (False, True)
    assert after["rule"].endswith("roles.csv:1")
    assert after["policy"] == row["digest"] != before["policy"]
    overlay = good(world.as_(SAMI).get("/v1/policy/overlay"))
    assert overlay == {"digest": row["digest"], "change": name, "files": FILES}
    assert policy_keeping.loaded(world.parts.settings).digest == world.parts.rules.digest, "other processes follow"


def test_every_step_stands_in_the_ledger_and_the_activation_is_signed(world: World) -> None:
    name = activated(world)
    other = proposed(world, {})
    good(world.as_(PETRA).post(f"{CHANGES}/{other}/withdrawal", BECAUSE))
    told = [one for one in world.told() if one["kind"].startswith("policy.")]

    assert [(one["kind"], one["actor"]) for one in told] == [
        ("policy.proposed", PAVEL.ref), ("policy.activated", MONA.ref), ("policy.loaded", "service:khatim"),
        ("policy.proposed", PAVEL.ref), ("policy.withdrawn", PETRA.ref),
    ]  # fmt: skip
    activation = told[1]["payload"]
    assert activation["approvals"] == 3, "so many approvals are void by it"
    assert (told[2]["payload"]["digest"], told[2]["payload"]["change"]) == (activation["digest"], name)
    assert told[2]["payload"]["replaces"] == activation["replaces"]
    [[bundle]] = world.sql("SELECT bundle FROM statements WHERE predicate_type = %s", statements.POLICY)
    verified = world.parts.notary.check(bundle, statements.POLICY, [])
    assert verified.speaker == world.parts.notary.person(MONA.ref)
    assert verified.predicate["policy"] == activation["digest"]


def test_whoever_proposed_does_not_put_in_force(world: World) -> None:
    name = proposed(world, by=MONA)

    problem(world.as_(MONA).post(f"{CHANGES}/{name}/approval", BECAUSE), 403, "separation-of-duties")
    problem(world.as_(PAVEL).post(f"{CHANGES}/{name}/approval", BECAUSE), 403, "forbidden")
    problem(world.as_(SAMI).post(CHANGES, {"files": FILES, **BECAUSE}), 403, "forbidden")
    problem(world.as_(ADEL).post(f"{CHANGES}/{name}/withdrawal", BECAUSE), 403, "forbidden")
    good(world.as_(PETRA).post(f"{CHANGES}/{name}/approval", BECAUSE))


def test_a_proposal_made_against_other_rules_is_void(world: World) -> None:
    first, second = proposed(world), proposed(world, STRICTER)
    good(world.as_(MONA).post(f"{CHANGES}/{first}/approval", BECAUSE))

    # The worker has not loaded the first yet: what it knows is not what is in force.
    problem(world.as_(PETRA).post(f"{CHANGES}/{second}/approval", BECAUSE), 409, "conflict")
    world.follow()
    problem(world.as_(PETRA).post(f"{CHANGES}/{second}/approval", BECAUSE), 409, "conflict")
    problem(world.as_(PETRA).post(f"{CHANGES}/{first}/approval", BECAUSE), 409, "conflict")
    problem(world.as_(PETRA).post(f"{CHANGES}/{first}/withdrawal", BECAUSE), 409, "conflict")


def test_the_next_change_supersedes_and_the_empty_overlay_brings_the_shipped_rules_back(world: World) -> None:
    first = activated(world)
    second = activated(world, STRICTER)
    assert activated(world, {"gates.yaml": "# as shipped\n"})

    rows = {one["id"]: one for one in good(world.as_(ADEL).get(CHANGES))["items"]}
    assert (rows[first]["state"], rows[second]["state"]) == ("superseded", "superseded")
    assert rows[second]["ended_by"] == MONA.ref
    assert [one["state"] for one in rows.values()].count("active") == 1


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"gates.yaml": "requirements:\n  x/y:\n    kind: nonsense\n"}, "gates.yaml:"),
        ({"roles.csv": "p, nobody-known, *, *, read, allow\n"}, "roles.csv:1"),
        ({"zones.yaml": "- a list\n"}, "zones.yaml:1"),
        ({"notes.yaml": "x: 1\n"}, "an overlay may hold"),
    ],
)
def test_rules_that_cannot_be_read_are_told_by_file_and_line(world: World, files: dict[str, str], words: str) -> None:
    for where, more in ((CHANGES, BECAUSE), ("/v1/policy/simulation", {})):
        told = problem(world.as_(PAVEL).post(where, {"files": files, **more}), 422, "malformed")
        assert words in told["detail"]


def test_rules_in_force_and_rules_that_lock_everybody_out_are_not_proposed(world: World) -> None:
    same = world.as_(PAVEL).post(CHANGES, {"files": {"roles.csv": "# nothing\n"}, **BECAUSE})
    problem(same, 409, "conflict")
    shut = "".join(
        f"p, {role}, *, *, policy.approve, deny\n" for role in ("privacy-officer", "model-risk-approver")
    )  # fmt: skip
    told = problem(world.as_(PAVEL).post(CHANGES, {"files": {"roles.csv": shut}, **BECAUSE}), 422, "malformed")
    assert "policy.approve" in told["detail"]


def test_a_row_changed_in_the_database_is_not_applied(world: World) -> None:
    name = proposed(world)
    good(world.as_(MONA).post(f"{CHANGES}/{name}/approval", BECAUSE))
    world.sql(
        "UPDATE policy_changes SET files = %s WHERE id = %s",
        json.dumps({"roles.csv": "p, auditor, *, *, read, deny\n"}), name,
    )  # fmt: skip
    with pytest.raises(SignatureInvalid, match="something else than its approver signed"):
        world.follow()
    good(world.as_(ADEL).get(VERSION))


def test_a_change_put_in_force_by_hand_is_not_applied(world: World) -> None:
    name = proposed(world)
    [[statement]] = world.sql("SELECT id FROM statements WHERE predicate_type = %s LIMIT 1", statements.APPROVAL)
    world.sql(
        "UPDATE policy_changes SET state = 'active', approved_by = %s, approved_at = now(), statement_id = %s "
        "WHERE id = %s", MONA.ref, statement, name,
    )  # fmt: skip
    with pytest.raises(SignatureInvalid):
        world.follow()


def test_texts_changed_in_the_folder_are_written_anew(world: World) -> None:
    name = activated(world)
    file = world.parts.settings.data / policy_keeping.FOLDER / name / "overlay" / "roles.csv"
    file.write_text("p, auditor, *, *, read, deny\n")
    world.app.state.keeper._change = None  # as a worker that starts
    world.follow()

    assert file.read_text() == ROW
    assert world.parts.rules.overlay == FILES


def test_a_simulation_tells_what_would_change_and_changes_nothing(world: World) -> None:
    before = gate(world)
    found = good(world.as_(VERA).post("/v1/policy/simulation", {"files": {**STRICTER, **FILES}}))

    assert found["files"] == ["gates.yaml", "roles.csv"]
    assert found["approvals_void"] == 3
    [access] = found["access"]
    assert (access["role"], access["action"], access["before"], access["after"]) == (
        "data-scientist", "version.approve", "no", "yes",
    )  # fmt: skip
    [production] = [one for one in found["gates"] if one["transition"] == "production"]
    assert (production["before"], production["after"]) == (True, False)
    assert production["newly_unmet"] == ["production/second-opinion"]
    assert found["doors_shut"] == found["movements"] == found["runtime"] == []
    assert gate(world) == before
    assert world.told() == []
    nothing = good(world.as_(VERA).post("/v1/policy/simulation", {"files": {}}))
    assert (nothing["before"], nothing["gates"], nothing["approvals_void"]) == (nothing["after"], [], 0)


def test_other_rules_void_the_approvals_that_were_given(world: World) -> None:
    assert gate(world)["is_open"]
    activated(world, STRICTER)
    told = gate(world)
    assert not told["is_open"]
    assert {"production/validator", "production/privacy-officer"} <= {one["rule"] for one in told["unmet"]}
