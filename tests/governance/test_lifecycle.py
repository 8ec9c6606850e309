# SPDX-License-Identifier: Apache-2.0
"""A served version over its whole life: whatever people do and however time passes, what answers is what was agreed.

The agent is the shipped one's judgement (`runners.zone.staples`) over what the registry really signs; the oracle is a
handful of sentences about approvals, findings, revocation and the time since the registry was last heard.
"""

from __future__ import annotations

from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from khatim.vocabulary import Role
from khatim.wire import work
from runners.zone.staples import Staples
from tests.support.http import good, problem
from tests.support.people import ADEL, APPROVERS, MONA, NOUR, OMAR, PETRA, SAMI, VERA, Person, person
from tests.support.world import MODEL, VERSION, ZONE, Step, World, Worlds

GRACE, ALONE = timedelta(days=14), timedelta(hours=24)  # policies/runtime.yaml for tier 2
ABOUT = f"version:{MODEL}@1"
HIND, RASHID = person("Hind"), person("Rashid")
OTHER = person("Sami-2", Role.VALIDATOR)


class Life(RuleBasedStateMachine):
    """One version that serves, its agent, and a registry that may be away."""

    def __init__(self, worlds: Worlds) -> None:
        """Begin with a version that serves and an agent that has just heard of it."""
        super().__init__()
        self._open = ExitStack()
        self.world: World = self._open.enter_context(worlds.at(Step.SERVING))
        self._folder = Path(self._open.enter_context(TemporaryDirectory()))
        self.spec = good(self.world.as_(ADEL).get(f"/v1/deployments/{self.name}"))["runtime"]
        self.until = datetime.fromisoformat(
            good(self.world.as_(ADEL).get(f"/v1/deployments/{self.name}"))["approved_until"]
        )
        self.is_revoked = False
        self.suspending: set[str] = set()
        self.is_linked = False
        self.is_ordered = True  # what the agent was last told
        self.heard = self.world.clock()
        self.agent = self._agent()
        self.hear()

    def teardown(self) -> None:
        """Let the world go."""
        self._open.close()

    @property
    def name(self) -> str:
        """The deployment."""
        return self.world.memory.deployment

    def _agent(self) -> Staples:
        """Start the agent's judgement, as after a boot of its host."""
        booted, notary = self.world.clock(), self.world.parts.notary
        return Staples(
            self._folder, lambda: notary.root, instance=notary.instance, zone=ZONE, wall=self.world.clock,
            passed=lambda: (self.world.clock() - booted) / timedelta(seconds=1),
        )  # fmt: skip

    # -- what happens --

    @rule()
    def hear(self) -> None:
        """Let the agent hear its registry."""
        orders = work.Orders.model_validate(good(self.world.agent.api.get("/v1/agent/orders")))
        self.agent.hear(orders.at)
        self.agent.take(work.SignedStatus.model_validate(good(self.world.agent.api.get("/v1/agent/status"))))
        self.is_ordered = any(one.deployment == self.name and one.state == "serving" for one in orders.endpoints)
        self.heard = self.world.clock()

    @rule()
    def reboot(self) -> None:
        """Switch the agent's host off and on, without its registry."""
        self.agent = self._agent()
        self.is_ordered = self.agent.was_serving(self.name)

    @rule(hours=st.sampled_from([1, 12, 25, 24 * 8, 24 * 100]))
    def wait(self, hours: int) -> None:
        """Let time pass; the agent keeps it, the registry ends what has run out."""
        for _ in range(2):
            self.world.clock.forward(hours=hours / 2)
            self.agent.remember()
        self.world.sweep()
        self.world.sweep()

    @rule()
    def approve_again(self) -> None:
        """Let everybody approve anew, as a renewal asks."""
        answers = [
            self.world.as_(person).post(f"{VERSION}/approvals", {"role": role.value, "meaning": "again"})
            for person, role in APPROVERS
        ]
        for answer in answers:
            assert answer.status_code in (201, 409), answer.text
        self._renewed()

    @rule()
    def somebody_stands_in(self) -> None:
        """Let a colleague approve in the absence of the validator."""
        self._lend(VERA, HIND)
        answer = self.world.as_(HIND).post(f"{VERSION}/approvals", {"role": "validator", "meaning": "in her place"})
        assert answer.status_code in (201, 409), answer.text
        self._renewed()

    @rule()
    def the_requester_lends_it(self) -> None:
        """Let whoever made it have somebody approve in their absence."""
        self._lend(SAMI.also(Role.VALIDATOR), RASHID)
        answer = self.world.as_(RASHID).post(f"{VERSION}/approvals", {"role": "validator", "meaning": "for them"})
        problem(answer, 403, "separation-of-duties")

    @rule()
    def the_requester_comes_under_another_name(self) -> None:
        """Let whoever made it approve under another account of theirs."""
        because = {"because": "the same passport"}
        if not self.is_linked:
            body = {"account": SAMI.ref, "person": OTHER.ref, **because}
            name = good(self.world.as_(NOUR).post("/v1/access/links", body))["id"]
            good(self.world.as_(OMAR).post(f"/v1/access/links/{name}/approval", because))
            self.is_linked = True
        answer = self.world.as_(OTHER).post(f"{VERSION}/approvals", {"role": "validator", "meaning": "another name"})
        problem(answer, 403, "separation-of-duties")

    def _lend(self, absent: Person, to: Person) -> None:
        body = {
            "subject": f"person:{to.ref}", "role": "validator", "days": 1, "because": "away", "in_my_absence": True
        }  # fmt: skip
        name = good(self.world.as_(absent).post("/v1/access/roles", body))["id"]
        good(self.world.as_(OMAR).post(f"/v1/access/roles/{name}/approval", {"because": "away"}))
        self.world.clock.forward(seconds=3)

    def _renewed(self) -> None:
        found = good(self.world.as_(ADEL).get(f"{VERSION}/approvals"))["items"]
        newest = {role.value: max(_end(one) for one in found if one["role"] == role.value) for _, role in APPROVERS}
        self.until = max(self.until, min(newest.values()))

    @rule()
    def the_requester_tries(self) -> None:
        """Let whoever made it approve, in a role taken by breaking the glass."""
        body = {"role": "validator", "hours": 1, "because": "nobody is here"}
        asked = self.world.as_(SAMI).post("/v1/access/emergencies", body)
        if asked.status_code == 201:
            path = f"/v1/access/emergencies/{asked.json()['id']}/confirmation"
            good(self.world.as_(MONA).post(path, {"because": "nobody is here"}))
            self.world.clock.forward(seconds=3)
        answer = self.world.as_(SAMI.also(Role.VALIDATOR)).post(
            f"{VERSION}/approvals", {"role": "validator", "meaning": "mine"}
        )
        problem(answer, 403, "separation-of-duties")

    @rule(who=st.sampled_from([VERA, PETRA]))
    def suspend(self, who: Person) -> None:
        """Open a finding that takes the approvals out."""
        body = {"about": ABOUT, "severity": "high", "summary": "something is wrong", "suspend": True}
        self.suspending.add(good(self.world.as_(who).post("/v1/findings", body))["id"])

    @rule()
    def resolve(self) -> None:
        """Resolve every finding that suspends."""
        for name in sorted(self.suspending):
            good(self.world.as_(MONA).post(f"/v1/findings/{name}/resolution", {"because": "it is right again"}))
        self.suspending.clear()
        self.world.sweep()

    @rule(dice=st.integers(min_value=0, max_value=3))
    def revoke(self, dice: int) -> None:
        """Revoke it for good, now and then."""
        if dice == 0 and not self.is_revoked:
            good(self.world.as_(PETRA).post(f"{VERSION}/revocation", {"because": "the data was wrong"}))
            self.is_revoked = True

    # -- what must be so --

    @invariant()
    def the_registry_lets_serve_what_is_approved_or_in_its_grace(self) -> None:
        """Hold the deployment against the sentences."""
        row = good(self.world.as_(ADEL).get(f"/v1/deployments/{self.name}"))
        if row["state"] == "serving":
            assert not self.is_revoked
            assert not self.suspending
            assert self.world.clock() < self.until + GRACE + timedelta(hours=1)
        if self.is_revoked:
            assert row["state"] == "stopped"

    @invariant()
    def what_answers_is_what_was_agreed(self) -> None:
        """Hold the agent's answer against the time since it heard its registry and the end of the approvals."""
        answers = self.is_ordered and not self.agent.why_silent(self.name, self.spec)
        now, told = self.world.clock(), self._told()
        if answers:
            assert now - self.heard < ALONE + timedelta(minutes=1), "it outlived its staple"
            assert told is not None, "nothing signed says that it may"
            assert now < told + GRACE, "it outlived the grace of its approvals"
        elif self.is_ordered and told is not None:
            assert now - self.heard >= ALONE - timedelta(minutes=6) or now >= told + GRACE, "it fell silent too early"

    @invariant()
    def nobody_stands_on_both_sides(self) -> None:
        """Look at every approval that was ever given."""
        for one in good(self.world.as_(ADEL).get(f"{VERSION}/approvals"))["items"]:
            assert {one["approver"], one["stands_in_for"]}.isdisjoint({SAMI.ref, OTHER.ref, self.world.memory.agent}), (
                one
            )

    def _told(self) -> datetime | None:
        """Return until when the approvals stand, by what the agent was signed."""
        status: Any = self.agent._status
        entry = status.endpoints.get(self.name) if status else None
        return entry.approved_until if entry else None


def _end(approval: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(approval["expires_at"])


def test_what_answers_is_what_was_agreed_over_a_whole_life(worlds: Worlds) -> None:
    class Here(Life):
        def __init__(self) -> None:
            super().__init__(worlds)

    quick = settings(
        max_examples=10, stateful_step_count=20, derandomize=True, database=None, deadline=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(Here, settings=quick)
