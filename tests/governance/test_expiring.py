# SPDX-License-Identifier: Apache-2.0
"""Endpoints whose approvals end: warned of in time, renewed by approving again, else treated as was agreed."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from policies.runtime import RuntimeEvent
from registry.signing import endpoint_status
from tests.support.http import good
from tests.support.people import ADEL, MONA
from tests.support.world import VERSION, World


def deployment(world: World) -> dict[str, Any]:
    found: dict[str, Any] = good(world.as_(ADEL).get(f"/v1/deployments/{world.memory.deployment}"))
    return found


def payloads(world: World, kind: str) -> list[dict[str, Any]]:
    return [one["payload"] for one in world.told() if one["kind"] == kind]


def test_a_deployment_carries_what_was_agreed_and_until_when_it_is_approved(serving: World) -> None:
    found = deployment(serving)
    approvals = good(serving.as_(ADEL).get(f"{VERSION}/approvals"))["items"]

    assert found["approved_until"] == min(one["expires_at"] for one in approvals)
    assert found["runtime"]["unreachable"]["hours"] == 24
    assert found["runtime"].keys() == {event.value for event in RuntimeEvent}


def test_the_agent_is_handed_the_same_signed_and_anew_when_it_changes(serving: World) -> None:
    notary = serving.parts.notary
    first = good(serving.agent.api.get("/v1/agent/status"))
    said = endpoint_status.read(first["bundle"], notary.root, instance=notary.instance, zone=serving.agent.zone)
    found = deployment(serving)

    entry = said.endpoints[found["id"]]
    assert (entry.state, entry.runtime) == ("serving", found["runtime"])
    assert entry.approved_until == datetime.fromisoformat(found["approved_until"])
    assert good(serving.agent.api.get("/v1/agent/orders"))["status"] == first["mark"]
    assert good(serving.agent.api.get("/v1/agent/status")) == first
    serving.clock.forward(minutes=5)
    later = good(serving.agent.api.get("/v1/agent/status"))
    assert (later["mark"], later["bundle"] != first["bundle"]) == (first["mark"], True)
    serving.sql("UPDATE deployments SET state = 'suspended'")
    assert good(serving.agent.api.get("/v1/agent/orders"))["status"] != first["mark"]


def test_no_status_of_the_future_is_handed_out_when_the_clock_was_set_back(serving: World) -> None:
    notary, renewed = serving.parts.notary, endpoint_status.RENEWED_S
    serving.clock.forward(seconds=renewed - serving.clock().timestamp() % renewed + 100)
    good(serving.agent.api.get("/v1/agent/status"))
    serving.clock.forward(seconds=-60)

    bundle = good(serving.agent.api.get("/v1/agent/status"))["bundle"]
    issued = endpoint_status.read(bundle, notary.root, instance=notary.instance, zone=serving.agent.zone).issued_at
    assert issued <= serving.clock()


def test_who_serves_is_warned_of_three_times_and_no_more(serving: World) -> None:
    ends = datetime.fromisoformat(deployment(serving)["approved_until"])
    told = []
    for days in (31, 29, 20, 6, 2, 0.5, 0.1):
        serving.clock.forward(seconds=(ends - timedelta(days=days) - serving.clock()).total_seconds())
        serving.sweep()
        told += [(days, one["days"]) for one in payloads(serving, "deployment.expiring")]

    assert told == [(29, 30), (6, 7), (0.5, 1)]
    assert deployment(serving)["state"] == "serving"


def test_whoever_approves_again_renews_what_serves(serving: World) -> None:
    before = deployment(serving)["approved_until"]
    serving.clock.forward(days=340)
    serving.sweep()
    serving.evaluate()
    serving.told()
    serving.approve()
    after = deployment(serving)["approved_until"]

    assert after > before
    assert [one["until"] for one in payloads(serving, "deployment.renewed")] == [after]
    serving.clock.forward(days=40)
    serving.sweep()
    assert deployment(serving)["state"] == "serving"


def test_after_the_end_there_is_a_finding_and_grace_then_it_stops(serving: World) -> None:
    ends = datetime.fromisoformat(deployment(serving)["approved_until"])
    serving.clock.forward(seconds=(ends - serving.clock()).total_seconds() + 1)
    serving.sweep()
    listed = good(serving.as_(ADEL).get("/v1/findings"))["items"]
    [finding] = [one for one in listed if one["about"].startswith("deployment:")]

    assert (finding["kind"], finding["consequence"], finding["state"]) == ("approval-expired", "warn", "open")
    assert deployment(serving)["state"] == "serving"
    serving.clock.forward(days=13)
    assert serving.sweep() == 0
    assert deployment(serving)["state"] == "serving"
    serving.clock.forward(days=1)
    serving.sweep()
    assert (deployment(serving)["state"], deployment(serving)["finding_id"]) == ("suspended", finding["id"])


def test_who_resolves_the_finding_without_a_new_approval_brings_nothing_back(serving: World) -> None:
    serving.clock.forward(days=400)
    serving.sweep()
    serving.sweep()
    assert deployment(serving)["state"] == "suspended"
    for one in good(serving.as_(MONA).get("/v1/findings"))["items"]:
        good(serving.as_(MONA).post(f"/v1/findings/{one['id']}/resolution", {"because": "we will see"}))
    serving.sweep()

    assert deployment(serving)["state"] == "suspended"


def test_at_the_highest_tier_the_end_is_the_end(serving: World) -> None:
    terms = serving.parts.rules.runtime.terms(1).as_members()
    # As if it had been deployed at that tier: the terms of the deployment decide, whatever the policy says now.
    serving.sql("UPDATE deployments SET runtime = %s::jsonb, tier = 1", json.dumps(terms))
    serving.clock.forward(days=366)
    serving.sweep()

    assert deployment(serving)["state"] == "suspended"
