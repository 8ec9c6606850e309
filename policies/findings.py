# SPDX-License-Identifier: Apache-2.0
"""Findings as data: by when they are answered for, and what in the ledger becomes one by itself (``findings.yaml``)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from khatim.vocabulary import Certainty, Severity, matches
from policies.conditions import Hours
from policies.zones import STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One pattern: *count* entries of one person within *minutes*.  Empty *errors*: also what was not refused."""

    __pydantic_config__ = STRICT

    title: str
    kinds: frozenset[str]
    count: int
    minutes: int
    severity: Severity
    errors: frozenset[str] = frozenset()
    outside: Hours | None = None

    def __post_init__(self) -> None:
        """Refuse a signal that nothing, or everything, would give."""
        if not self.kinds or self.count < 1 or self.minutes < 1:
            raise ValueError("kinds, count, minutes: name what, how often and within how long")

    def means(self, entry: Entry) -> bool:
        """Whether one entry counts."""
        is_kind = any(matches(entry.kind, pattern) for pattern in self.kinds)
        is_error = not self.errors or entry.error in self.errors
        return is_kind and is_error and (self.outside is None or not self.outside.contain(entry.at))


@dataclass(frozen=True, slots=True)
class Entry:
    """What a signal looks at of one entry of the ledger; *error* is why it was refused, empty when it was not."""

    index: int
    kind: str
    actor: str
    at: datetime
    error: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """One person gave a signal: by how many entries, from which to which."""

    signal: str
    actor: str
    count: int
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsettled:
    """Which refusals of a movement are questions: by rule, or because the law behind one is so uncertain."""

    __pydantic_config__ = STRICT

    rules: frozenset[str] = frozenset()
    certainties: frozenset[Certainty] = frozenset()
    severity: Severity = Severity.MEDIUM

    def means(self, rule: str | None, certainty: str | None) -> bool:
        """Whether a refusal by *rule* of that certainty asks somebody to decide."""
        return rule in self.rules or certainty in {one.value for one in self.certainties}


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingRules:
    """``findings.yaml`` as read."""

    __pydantic_config__ = STRICT

    due_days: Mapping[Severity, int]
    basis: str
    certainty: Certainty
    advice: str
    signals: Mapping[str, Signal]
    unsettled: Unsettled = field(default_factory=Unsettled)

    def __post_init__(self) -> None:
        """Refuse a severity without an end."""
        if missing := [one.value for one in Severity if self.due_days.get(one, 0) < 1]:
            raise ValueError(f"due_days: at least one day for {', '.join(missing)}")

    def due(self, severity: Severity, opened_at: datetime) -> datetime:
        """Return when a finding is overdue for which nobody named a day."""
        return opened_at + timedelta(days=self.due_days[severity])

    @property
    def longest(self) -> timedelta:
        """How far back the signals look."""
        return timedelta(minutes=max((one.minutes for one in self.signals.values()), default=0))

    def seen(self, entries: Iterable[Entry], told: Mapping[tuple[str, str], int], at: datetime) -> list[Seen]:
        """Return the signals in *entries* at *at*; *told* is the last index that was told of each signal and person."""
        found = []
        known = list(entries)
        for name, signal in self.signals.items():
            since = at - timedelta(minutes=signal.minutes)
            by_actor: dict[str, list[int]] = defaultdict(list)
            for entry in known:
                is_new = entry.index > told.get((name, entry.actor), -1)
                if entry.at > since and is_new and signal.means(entry):
                    by_actor[entry.actor].append(entry.index)
            found += [
                Seen(name, actor, len(indexes), min(indexes), max(indexes))
                for actor, indexes in sorted(by_actor.items())
                if len(indexes) >= signal.count
            ]
        return found
