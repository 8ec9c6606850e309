# SPDX-License-Identifier: Apache-2.0
"""Who may hold a role on record, for how long, and who may give it: ``assignments.yaml``.  Facts in, answer out."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from khatim.vocabulary import PROGRAM, Actor, Certainty, Decision, Role, matches
from policies.zones import STRICT

PERSON: Final = "person:"
GROUP: Final = "group:"
MAX_HOURS: Final = 24
NEVER_PROGRAMS: Final = frozenset(
    {Role.VALIDATOR, Role.PRIVACY_OFFICER, Role.MODEL_RISK_APPROVER, Role.ACCESS_ADMINISTRATOR, Role.AGENT}
)
"""Roles whose holders decide: no file gives them to a program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakGlass:
    """Which roles may be taken at once and for how many hours; within *review_days* of its end somebody reviews it."""

    __pydantic_config__ = STRICT

    max_hours: Mapping[Role, int] = field(default_factory=dict)
    review_days: int = 3

    def __post_init__(self) -> None:
        """Refuse an emergency without an end, and one that gives the power over access itself."""
        if self.review_days < 1:
            raise ValueError("break_glass.review_days: at least one day")
        if barred := {Role.AGENT, Role.ACCESS_ADMINISTRATOR} & self.max_hours.keys():
            names = ", ".join(sorted(role.value for role in barred))
            raise ValueError(f"break_glass.max_hours: {names} is never taken in an emergency")
        if not all(0 < hours <= MAX_HOURS for hours in self.max_hours.values()):
            raise ValueError(f"break_glass.max_hours: 1 to {MAX_HOURS} hours")


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignments:
    """``assignments.yaml`` as read."""

    __pydantic_config__ = STRICT

    max_days: Mapping[Role, int]
    basis: str
    certainty: Certainty
    advice: str
    ticket: str = ""
    absence_days: int = 0
    review_days: int = 30
    break_glass: BreakGlass = field(default_factory=BreakGlass)
    service_accounts: frozenset[Role] = frozenset()
    policy: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant: agents are enrolled, a day is the least, a pattern must be one."""
        if Role.AGENT in self.max_days:
            raise ValueError("max_days.agent: an agent is enrolled, its role is not assigned")
        if barred := NEVER_PROGRAMS & self.service_accounts:
            names = ", ".join(sorted(role.value for role in barred))
            raise ValueError(f"service_accounts: {names} decides what people decide, never a program")
        if self.review_days < 1:
            raise ValueError("review_days: at least one day")
        if self.absence_days < 0:
            raise ValueError("absence_days: 0 (nobody stands in) or more")
        for role, days in self.max_days.items():
            if days < 1:
                raise ValueError(f"max_days.{role.value}: at least one day")
        try:
            re.compile(self.ticket)
        except re.error as error:
            raise ValueError(f"ticket: not a regular expression: {error}") from error

    def may_ask(self, role: Role, days: int, ticket: str, *, subject: str) -> Decision:
        """Decide whether *role* may be asked for, for *subject* and *days*, under *ticket*."""
        if subject.startswith(PROGRAM) and role not in self.service_accounts:
            return self._no("assignments/program", f"a program does not hold the role {role.value}", _PEOPLE)
        limit = self.max_days.get(role)
        if limit is None:
            return self._no("assignments/role", f"the role {role.value} is not assigned on record")
        if days > limit:
            reason = f"the role {role.value} is held for at most {limit} days at a time, not {days}"
            return self._no("assignments/term", reason, self.advice)
        if self.ticket and not re.fullmatch(self.ticket, ticket):
            reason = f"the request names no ticket of the form {self.ticket}"
            return self._no("assignments/ticket", reason, "Open a ticket and name it: --ticket.")
        return self._yes(f"{role.value} may be held for {days} days.")

    def may_give(self, *, approver: str, asked_by: str, subject: str, groups: Collection[str] = ()) -> Decision:
        """Decide whether *approver*, a member of *groups*, may give what *asked_by* asked for to *subject*."""
        if approver == asked_by:
            return self._no("assignments/requester", "You asked for this role, so you may not give it.", _OTHERS)
        if subject == PERSON + approver or subject in {GROUP + one for one in groups}:
            return self._no("assignments/beneficiary", "Nobody gives a role to themselves.", _OTHERS)
        return self._yes("Neither requester nor beneficiary.")

    def may_stand_in(  # noqa: PLR0913 - who, for whom, as what, how long and where
        self, absent: Actor, subject: str, role: Role, days: int, *, zone: str, namespace: str, at: datetime
    ) -> Decision:
        """Decide whether *subject* may hold *role* in the absence of *absent*, who must hold it there by right."""
        if not subject.startswith(PERSON) or subject == PERSON + absent.ref:
            return self._no("assignments/stand-in", "Another person stands in, not a group and not oneself.")
        if days > self.absence_days:
            reason = f"somebody stands in for at most {self.absence_days} days, not {days}"
            return self._no("assignments/absence", reason, self.advice)
        brought = role in absent.roles and any(_within(namespace, one) for one in absent.places)
        own = (one for one in absent.assignments if one.role is role and not one.stands_in_for and at < one.until)
        if not brought and not any(_within(zone, one.zone) and _within(namespace, one.namespace) for one in own):
            return self._no("assignments/stand-in", f"You do not hold the role {role.value} in all of that yourself.")
        return self._yes("They stand in for who holds it.")

    def may_break_glass(self, role: Role, hours: int) -> Decision:
        """Decide whether *role* may be taken at once for *hours*."""
        limit = self.break_glass.max_hours.get(role)
        if limit is None:
            return self._no("break-glass/role", f"the role {role.value} is not taken in an emergency")
        if hours > limit:
            reason = f"the role {role.value} is taken for at most {limit} hours in an emergency, not {hours}"
            return self._no("break-glass/term", reason, "Ask for fewer hours, and again when they are over.")
        return self._yes(f"{role.value} may be taken for {hours} hours.")

    def may_review(
        self, *, reviewer: str, subject: str, approver: str, groups: Collection[str] = (), is_kept: bool
    ) -> Decision:
        """Decide whether *reviewer* may answer for a role of *subject* that *approver* gave, and keep it."""
        if subject == PERSON + reviewer or subject in {GROUP + one for one in groups}:
            return self._no("reviews/beneficiary", "Nobody reviews a role of their own.", _OTHERS)
        if is_kept and reviewer == approver:
            return self._no("reviews/approver", "You gave this role, so somebody else says that it is needed.", _OTHERS)
        return self._yes("Neither beneficiary nor approver.")

    def end_of(self, role: Role, days: int, at: datetime) -> datetime:
        """Return when a role that is given at *at* for *days* ends, never later than the policy allows now."""
        return at + timedelta(days=min(days, self.max_days.get(role, 0)))

    def _yes(self, reason: str) -> Decision:
        return Decision(allowed=True, rule="assignments/allowed", reason=reason, policy=self.policy)

    def _no(self, rule: str, reason: str, advice: str = "") -> Decision:
        return Decision(
            allowed=False, rule=rule, reason=reason, legal_basis=self.basis, certainty=self.certainty, advice=advice,
            policy=self.policy,
        )  # fmt: skip


def _within(pattern: str, other: str) -> bool:
    """Whether everything that *pattern* means is meant by *other*."""
    return matches(pattern.removesuffix("*"), other) and (other.endswith("*") or not pattern.endswith("*"))


_OTHERS: Final = "Ask another access administrator."
_PEOPLE: Final = "People decide; the roles for programs stand in assignments.yaml (service_accounts)."
