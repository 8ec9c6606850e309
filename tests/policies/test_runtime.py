# SPDX-License-Identifier: Apache-2.0
"""Runtime policy: the shipped defaults, the demo's overlay, and times that run out."""

from __future__ import annotations

from datetime import timedelta

import pytest

from policies.loading import DEMO, PolicyBundle, load_runtime
from policies.runtime import Effect, EventPolicy, Reaction, Response, RuntimeEvent, RuntimePolicy
from tests.policies.examples import NOW


def effect(
    policy: RuntimePolicy,
    event: RuntimeEvent,
    tier: int | None,
    hours: float = 0,
    *,
    has_fallback: bool = False,
    is_airgapped: bool = False,
) -> Effect:
    at = NOW + timedelta(hours=hours)
    return policy.effect(event, tier, since=NOW, at=at, has_fallback=has_fallback, is_airgapped=is_airgapped)


def test_drift_falls_back_and_leaves_the_rest_to_a_person(bundle: PolicyBundle) -> None:
    with_older = effect(bundle.runtime, RuntimeEvent.DRIFT, 2, has_fallback=True)
    alone = effect(bundle.runtime, RuntimeEvent.DRIFT, 2)

    assert with_older.do is Reaction.FALL_BACK
    assert alone.do is Reaction.WARN
    assert alone.is_serving
    assert all(one.finding and one.alert for one in (with_older, alone))


@pytest.mark.parametrize("has_fallback", [True, False])
@pytest.mark.parametrize("tier", [1, 2, 3])
def test_in_the_demo_drift_suspends(*, has_fallback: bool, tier: int) -> None:
    found = effect(load_runtime(overlay=DEMO), RuntimeEvent.DRIFT, tier, has_fallback=has_fallback)

    assert found.do is Reaction.SUSPEND
    assert found.finding
    assert not found.is_serving


def test_the_demo_changes_drift_and_nothing_else(bundle: PolicyBundle) -> None:
    demo = load_runtime(overlay=DEMO)

    changed = {event for event in RuntimeEvent if demo.events[event] != bundle.runtime.events[event]}
    assert changed == {RuntimeEvent.DRIFT}


@pytest.mark.parametrize(
    ("event", "tier", "hours", "is_airgapped", "expected"),
    [
        (RuntimeEvent.REVOKED, 3, 0, False, Reaction.STOP),
        (RuntimeEvent.SUSPENDED, 2, 0, False, Reaction.STOP),
        (RuntimeEvent.EXPIRED, 2, 14 * 24 - 0.01, False, Reaction.WARN),
        (RuntimeEvent.EXPIRED, 2, 14 * 24, False, Reaction.STOP),
        (RuntimeEvent.EXPIRED, 1, 0, False, Reaction.STOP),
        (RuntimeEvent.UNREACHABLE, 2, 23.9, False, Reaction.WARN),
        (RuntimeEvent.UNREACHABLE, 2, 24, False, Reaction.STOP),
        (RuntimeEvent.UNREACHABLE, 1, 3.9, False, Reaction.WARN),
        (RuntimeEvent.UNREACHABLE, 1, 4, False, Reaction.STOP),
        (RuntimeEvent.UNREACHABLE, 1, 719, True, Reaction.WARN),
        (RuntimeEvent.UNREACHABLE, 1, 720, True, Reaction.STOP),
        (RuntimeEvent.UNREACHABLE, 2, -0.1, False, Reaction.STOP),
        (RuntimeEvent.CLOCK_UNCERTAIN, 2, 1, False, Reaction.STOP),
    ],
)
def test_the_shipped_defaults(
    bundle: PolicyBundle,
    event: RuntimeEvent,
    tier: int,
    hours: float,
    is_airgapped: bool,
    expected: Reaction,
) -> None:
    assert effect(bundle.runtime, event, tier, hours, is_airgapped=is_airgapped).do is expected


def test_a_suspended_version_gives_way_to_the_last_approved_one(bundle: PolicyBundle) -> None:
    assert effect(bundle.runtime, RuntimeEvent.SUSPENDED, 1, has_fallback=True).do is Reaction.FALL_BACK


def test_who_serves_on_borrowed_time_knows_until_when(bundle: PolicyBundle) -> None:
    assert effect(bundle.runtime, RuntimeEvent.UNREACHABLE, 2, 1).until == NOW + timedelta(hours=24)
    assert effect(bundle.runtime, RuntimeEvent.UNREACHABLE, 2, 25).until is None


@pytest.mark.parametrize("event", RuntimeEvent)
@pytest.mark.parametrize("tier", [None, 0, 4])
def test_an_unknown_tier_stops(bundle: PolicyBundle, event: RuntimeEvent, tier: int | None) -> None:
    assert effect(bundle.runtime, event, tier, has_fallback=True).do is Reaction.STOP


def test_the_agent_gets_the_same_answers_as_data(bundle: PolicyBundle) -> None:
    members = bundle.runtime.terms(1).as_members()

    assert members.keys() == {event.value for event in RuntimeEvent}
    assert members["unreachable"] == {
        "do": "serve-until",
        "otherwise": "stop",
        "hours": 4,
        "finding": False,
        "alert": True,
    }
    assert bundle.runtime.policy == str(bundle.digest)


def test_a_policy_that_is_silent_or_open_ended_is_refused() -> None:
    stop = Response(do=Reaction.STOP)
    with pytest.raises(ValueError, match="revoked"):
        RuntimePolicy(events={RuntimeEvent.DRIFT: EventPolicy(title="drift", default=stop)})
    with pytest.raises(ValueError, match="hours"):
        Response(do=Reaction.SERVE_UNTIL)
    with pytest.raises(ValueError, match="hours"):
        Response(do=Reaction.STOP, hours=1)
    with pytest.raises(ValueError, match="otherwise"):
        Response(do=Reaction.FALL_BACK, otherwise=Reaction.FALL_BACK)
    strange = {event: EventPolicy(title="x", default=stop, by_tier={7: stop}) for event in RuntimeEvent}
    with pytest.raises(ValueError, match="by_tier"):
        RuntimePolicy(events=strange)
