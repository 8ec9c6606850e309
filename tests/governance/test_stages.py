# SPDX-License-Identifier: Apache-2.0
"""The life of a version as a state machine: whatever people do in whatever order, a few sentences predict it."""

from __future__ import annotations

from contextlib import ExitStack

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from khatim.vocabulary import Role
from tests.support.http import good, problem
from tests.support.people import ADEL, APPROVERS, PETRA, SAMI, Person
from tests.support.world import VERSION, Step, World, Worlds

FROM = {"staging": {"none"}, "production": {"none", "staging"}, "archived": {"none", "staging", "production"}}


class Life(RuleBasedStateMachine):
    """One version; what is said about it here must be what the registry says."""

    def __init__(self, worlds: Worlds) -> None:
        """Begin with a version that is scanned and nothing more."""
        super().__init__()
        self._open = ExitStack()
        self.world: World = self._open.enter_context(worlds.at(Step.READY))
        self.stage = "none"
        self.is_evaluated = self.is_revoked = False
        self.approved: set[Role] = set()  # for the newest evidence
        self.passed: list[str] = []

    def teardown(self) -> None:
        """Let the world go."""
        self._open.close()

    def may_pass(self, to: str) -> bool:
        """Whether the gate to *to* is open, in one sentence."""
        if to == "archived":
            return self.stage in FROM[to]
        is_proven = self.is_evaluated and self.approved == {role for _, role in APPROVERS}
        return self.stage in FROM[to] and not self.is_revoked and (to == "staging" or is_proven)

    @rule(to=st.sampled_from(["none", "staging", "production", "archived"]))
    def promote(self, to: str) -> None:
        """Ask for another stage."""
        answer = self.world.as_(SAMI).post(f"{VERSION}/promotions", {"to": to, "because": "because"})
        if to in (self.stage, "none"):
            problem(answer, 409, "conflict")
        elif not self.may_pass(to):
            assert problem(answer, 403, "gate-not-satisfied")["unmet"]
        else:
            assert good(answer)["stage"] == to
            self.stage = to
            self.passed.append(to)

    @rule(who=st.sampled_from(APPROVERS))
    def approve(self, who: tuple[Person, Role]) -> None:
        """Approve in one role."""
        person, role = who
        answer = self.world.as_(person).post(f"{VERSION}/approvals", {"role": role.value, "meaning": "I approve"})
        if role in self.approved:
            problem(answer, 409, "conflict")
        else:
            good(answer)
            self.approved.add(role)

    @rule()
    def approve_own(self) -> None:
        """Let the requester try."""
        body = {"role": "validator", "meaning": "I approve"}
        answer = self.world.as_(SAMI.also(Role.VALIDATOR)).post(f"{VERSION}/approvals", body)
        problem(answer, 403, "separation-of-duties")

    @rule()
    def evaluate(self) -> None:
        """Bring new evidence, which no approval has seen."""
        self.world.evaluate()
        self.is_evaluated, self.approved = True, set()

    @precondition(lambda self: len(self.passed) > 0)
    @rule()
    def revoke(self) -> None:
        """Revoke the version for good."""
        answer = self.world.as_(PETRA).post(f"{VERSION}/revocation", {"because": "because"})
        if self.is_revoked:
            problem(answer, 409, "conflict")
        else:
            good(answer)
            self.is_revoked = True

    @invariant()
    def the_registry_says_the_same(self) -> None:
        """Hold the registry's answer against the sentences."""
        version = good(self.world.as_(ADEL).get(VERSION))
        assert (version["stage"], version["revoked_because"] is not None) == (self.stage, self.is_revoked)
        report = good(self.world.as_(ADEL).get(f"{VERSION}/gates/production"))
        assert report["is_open"] == self.may_pass("production"), report["unmet"]

    @invariant()
    def the_ledger_tells_the_same_life(self) -> None:
        """Hold the recorded promotions against what passed."""
        told = self.world.told()
        promoted = [one["payload"]["to"] for one in told if one["kind"] == "version.promoted"]
        assert promoted == self.passed[len(self.passed) - len(promoted) :]


def test_a_version_lives_as_the_gates_say(worlds: Worlds) -> None:
    class Here(Life):
        def __init__(self) -> None:
            super().__init__(worlds)

    quick = settings(
        max_examples=6, stateful_step_count=12, derandomize=True, database=None, deadline=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(Here, settings=quick)
