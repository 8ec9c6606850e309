# SPDX-License-Identifier: Apache-2.0
"""What a gate answers: each requirement met, unmet, or excepted by a waiver until a day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from khatim.vocabulary import Certainty
from policies.facts import Transition


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one requirement says: met, or why not and what to do."""

    rule: str
    title: str
    reason: str = ""
    legal_basis: str = ""
    certainty: Certainty | None = None
    advice: str = ""
    waiver: str = ""
    expires: datetime | None = None

    def as_members(self) -> dict[str, str]:
        """Return JSON members; empty ones are left out."""
        pairs = {
            "rule": self.rule,
            "title": self.title,
            "reason": self.reason,
            "legal_basis": self.legal_basis,
            "certainty": self.certainty.value if self.certainty else "",
            "advice": self.advice,
            "waiver": self.waiver,
            "expires": self.expires.isoformat() if self.expires else "",
        }
        return {key: value for key, value in pairs.items() if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class GateDecision:
    """The answer of a gate.  True when open; `unmet` is missing, `excepted` excused by a waiver, never met."""

    transition: Transition
    met: tuple[Outcome, ...]
    unmet: tuple[Outcome, ...]
    policy: str
    excepted: tuple[Outcome, ...] = ()

    def __bool__(self) -> bool:
        """Return whether the gate is open: something was asked and nothing is unmet."""
        return bool(self.met) and not self.unmet

    @property
    def rules(self) -> tuple[str, ...]:
        """The rule ids that are unmet."""
        return tuple(one.rule for one in self.unmet)

    @property
    def advice(self) -> tuple[str, ...]:
        """What to do about each unmet requirement, without repetition."""
        return tuple(dict.fromkeys(one.advice for one in self.unmet if one.advice))

    @property
    def reason(self) -> str:
        """One sentence for people."""
        if self and self.excepted:
            excused = ", ".join(f"{one.rule} until {one.expires:%Y-%m-%d}" for one in self.excepted)
            return f"{len(self.met)} requirements for {self.transition.value} are met; excused by waiver: {excused}."
        if self:
            return f"All {len(self.met)} requirements for {self.transition.value} are met."
        return f"Not met for {self.transition.value}: {'; '.join(one.reason for one in self.unmet)}."

    def as_members(self) -> dict[str, Any]:
        """Return problem+json extension members and event fields."""
        return {
            "transition": self.transition.value,
            "policy": self.policy,
            "met": [one.rule for one in self.met],
            "excepted": [one.as_members() for one in self.excepted],
            "unmet": [one.as_members() for one in self.unmet],
        }
