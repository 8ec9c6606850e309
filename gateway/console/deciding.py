# SPDX-License-Identifier: Apache-2.0
"""What can be decided about a version now, by whom, and what it waits for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from audit.transaction import Reader
from gateway.console import evidence, parts
from gateway.console.labels import mark
from gateway.console.wording import because_of, listed, named, words
from governance import approvals
from governance.tables import Approval, Deployment, Evidence
from khatim.vocabulary import Action, Role, Stage, VersionStatus
from policies import gates
from policies.facts import Facts, Transition
from policies.loading import PolicyBundle
from policies.outcomes import Outcome
from policies.requirements import Kind, Requirement
from registry import accounts
from registry.lineage import Node
from registry.tables import ModelVersion

VALID_DAYS = 365
_NEXT = {
    Stage.NONE: Transition.PRODUCTION,
    Stage.STAGING: Transition.PRODUCTION,
    Stage.PRODUCTION: Transition.DEPLOY,
}
_COUNTED = re.compile(r"(\d+) of (\d+) live approvals by .+")
MEANINGS: dict[Role, str] = {
    Role.VALIDATOR: mark("I validated this version independently and approve it"),
    Role.PRIVACY_OFFICER: mark("I assessed the effect on people's privacy and approve this version"),
    Role.MODEL_RISK_APPROVER: mark("I accept the remaining risk of this version"),
}
REVIEWED = mark("I reviewed the evidence and approve this version")


@dataclass(frozen=True)
class Case:
    """What one page is made of."""

    reader: Reader
    rules: PolicyBundle
    version: ModelVersion
    known: Facts
    nodes: list[Node]
    evidence: list[Evidence]
    approvals: list[Approval]
    deployments: list[Deployment]

    @property
    def transition(self) -> Transition | None:
        """What can come next."""
        return _NEXT.get(Stage(self.version.stage))


def gate_of(case: Case) -> parts.Gate | None:
    """Return the gate that comes next, met and unmet in the policy's order."""
    if case.transition is None:
        return None
    decision = gates.evaluate(case.rules.gates, case.transition, case.known, case.reader.now)
    asked = gates.gate_of(case.rules.gates, case.transition, case.known)
    open_ones = (*decision.unmet, *decision.excepted)
    outcomes = [*((one, True) for one in decision.met), *((one, False) for one in open_ones)]
    order = list(asked)
    outcomes.sort(key=lambda pair: order.index(pair[0].rule) if pair[0].rule in asked else -1)
    return parts.Gate(
        Stage(case.version.stage),
        case.transition.value,
        decision.policy,
        tuple(_requirement(one, asked.get(one.rule), is_met=is_met) for one, is_met in outcomes),
    )


def _requirement(outcome: Outcome, asked: Requirement | None, *, is_met: bool) -> parts.Requirement:
    reason: parts.Phrase = outcome.reason
    if asked is not None and (counted := _COUNTED.fullmatch(outcome.reason)):
        roles = listed([named("role", role.value) for role in sorted(asked.roles)])
        reason = words("%(given)s of %(needed)s approvals in force. Who may give it: %(roles)s.",
                       given=counted[1], needed=counted[2], roles=roles)  # fmt: skip
    excused = words("Excused by a waiver until %(day)s.", day=f"{outcome.expires:%Y-%m-%d}") if outcome.expires else ""
    return parts.Requirement(
        outcome.rule, outcome.title, is_met, reason, outcome.advice, outcome.legal_basis, outcome.certainty, excused
    )


def approve_form(case: Case) -> tuple[parts.ApproveForm | None, parts.Phrase]:
    """Return the form, or why there is none; no word to those who have nothing to do with approving."""
    mine = [role for role in sorted(_held(case)) if role in _asked_roles(case)]
    is_open = case.transition is Transition.PRODUCTION and case.version.revoked_because is None
    if not mine or not is_open or not case.reader.may(Action.VERSION_APPROVE, case.version.resource):
        return None, ""
    decisions = {
        role: approvals.may_approve(case.reader, case.version, case.known, role, rules=case.rules) for role in mine
    }
    free = [role for role in mine if decisions[role]]
    binding = gates.binding_of(case.rules.gates, Transition.PRODUCTION, case.known)
    given = {one.role for one in case.known.approvals if _is_mine(one.approver, case) and one.binding == binding
             and one.is_live(case.reader.now)}  # fmt: skip
    if given:
        return None, words("Your approval of exactly these bytes is in force.")
    if not free:
        return None, next(iter(decisions.values())).reason
    if case.version.status != VersionStatus.READY.value:
        return None, words("You may approve once the files are scanned.")
    members = binding.as_members()
    meanings = tuple(dict.fromkeys([MEANINGS[role] for role in free if role in MEANINGS] + [REVIEWED]))
    return parts.ApproveForm(
        roles=tuple(free),
        meanings=meanings,
        days=_days(case, free),
        bound_to=evidence.bindings(members),
        seen=binding.digest,
    ), ""


def _held(case: Case) -> frozenset[Role]:
    return case.reader.actor.roles_for(case.version.resource, case.reader.now)


def _is_mine(approver: str, case: Case) -> bool:
    return approver == _me(case)


def _me(case: Case) -> str:
    return accounts.naturals(case.reader)(case.reader.actor.ref)


def _asked_roles(case: Case) -> frozenset[Role]:
    asked = gates.gate_of(case.rules.gates, Transition.PRODUCTION, case.known).values()
    return frozenset(role for one in asked if one.kind is Kind.APPROVALS for role in one.roles)


def _days(case: Case, roles: list[Role]) -> int:
    """Return how long an approval will hold: the shortest that the gate allows for these roles."""
    asked = gates.gate_of(case.rules.gates, Transition.PRODUCTION, case.known).values()
    limits = [one.max_validity_days for one in asked if one.kind is Kind.APPROVALS and one.roles & frozenset(roles)]
    return int(min((limit for limit in limits if limit is not None), default=VALID_DAYS))


def promote_to(case: Case) -> Stage | None:
    """Return the stage that this person may ask to promote the version to; the gate is asked when they do."""
    may = case.reader.may(Action.VERSION_PROMOTE, case.version.resource)
    is_next = case.transition is Transition.PRODUCTION and case.version.revoked_because is None
    return Stage.PRODUCTION if may and is_next and case.version.status == VersionStatus.READY.value else None


def step(case: Case, gate: parts.Gate | None, approve: parts.ApproveForm | None) -> parts.NextStep:
    """Say in one sentence what waits, and for whom."""
    if gate is None:
        settled = _stopped(case) or parts.NextStep("done", words("This version is archived."))
    else:
        settled = _stopped(case) or _settled(case) or _open_step(case, gate, approve)
    return settled


def _stopped(case: Case) -> parts.NextStep | None:
    """Return what stopped the version, if anything did."""
    if case.version.revoked_because is not None:
        return parts.NextStep("stopped", words("This version is revoked for good."), words("Register a new version."))
    if case.version.status == VersionStatus.FAILED.value:
        advice = words("Correct them and register a new version.")
        return parts.NextStep("stopped", words("Its files did not pass the scan."), advice)
    suspended = next((row for row in case.approvals if row.state == "suspended"), None)
    if suspended is not None:
        text = words("Its approvals are suspended until the finding is resolved.")
        return parts.NextStep("stopped", text, because_of(suspended.state_because))
    return None


def _settled(case: Case) -> parts.NextStep | None:
    """Return what needs no person: the scan that runs, or that the version is in production."""
    if case.version.status == VersionStatus.PENDING.value:
        return parts.NextStep("wait", words("The zone's agent scans the files."))
    if case.transition is not Transition.DEPLOY:
        return None
    if any(row.state == "serving" for row in case.deployments):
        return parts.NextStep("done", words("It is in production and serves."))
    return parts.NextStep("done", words("It is in production; no endpoint serves it yet."))


def _open_step(case: Case, gate: parts.Gate, approve: parts.ApproveForm | None) -> parts.NextStep:
    """Return what a person must do before the version is in production."""
    if approve is not None:
        roles = listed([named("role", role.value) for role in approve.roles])
        text = words("Your approval is asked for, in the role: %(roles)s.", roles=roles)
        return parts.NextStep("act", text, words("What it will be bound to stands on this page."))
    unmet = [one for one in gate.requirements if not one.is_met and not one.excused]
    if unmet:
        return parts.NextStep("wait", words("Not all requirements for production are met."), unmet[0].text)
    if promote_to(case) is not None:
        return parts.NextStep("act", words("All requirements are met: you may promote it to production."))
    return parts.NextStep("wait", words("All requirements are met; somebody who may promote it must do so."))
