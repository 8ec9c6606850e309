# SPDX-License-Identifier: Apache-2.0
"""Who may hold a role on record, for how long, and who may give it: ``assignments.yaml``.  Facts in, answer out."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from khatim.vocabulary import Certainty, Decision, Role
from policies.zones import STRICT

PERSON: Final = "person:"
GROUP: Final = "group:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignments:
    """``assignments.yaml`` as read."""

    __pydantic_config__ = STRICT

    max_days: Mapping[Role, int]
    basis: str
    certainty: Certainty
    advice: str
    ticket: str = ""
    review_days: int = 30
    policy: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant: agents are enrolled, a day is the least, a pattern must be one."""
        if Role.AGENT in self.max_days:
            raise ValueError("max_days.agent: an agent is enrolled, its role is not assigned")
        if self.review_days < 1:
            raise ValueError("review_days: at least one day")
        for role, days in self.max_days.items():
            if days < 1:
                raise ValueError(f"max_days.{role.value}: at least one day")
        try:
            re.compile(self.ticket)
        except re.error as error:
            raise ValueError(f"ticket: not a regular expression: {error}") from error

    def may_ask(self, role: Role, days: int, ticket: str) -> Decision:
        """Decide whether *role* may be asked for, for *days*, under *ticket*."""
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


_OTHERS: Final = "Ask another access administrator."
