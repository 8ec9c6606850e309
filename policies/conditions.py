# SPDX-License-Identifier: Apache-2.0
"""When a grant speaks: conditions by name, over tags, stage, alias, time and the strength of a sign-in.

A condition may hold, fail, or stay unknown because a fact is not there.  An unknown one opens nothing and closes
everything: a row that allows needs it to hold, a row that denies needs it to fail before it is silent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from policies.zones import STRICT


class Weekday(StrEnum):
    """A day of the week, Monday first as in ISO 8601."""

    MONDAY = "mon"
    TUESDAY = "tue"
    WEDNESDAY = "wed"
    THURSDAY = "thu"
    FRIDAY = "fri"
    SATURDAY = "sat"
    SUNDAY = "sun"


_WEEK: Final = tuple(Weekday)


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What is known of one question besides who asks for what.  None: not known; *at* is aware."""

    tags: frozenset[str] = frozenset()
    stage: str | None = None
    alias: str | None = None
    at: datetime | None = None
    strength: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """Some hours of some days, as the clocks of *timezone* (IANA) show them; *until* itself is outside."""

    __pydantic_config__ = STRICT

    since: time
    until: time
    timezone: str
    weekdays: frozenset[Weekday] = frozenset(_WEEK)

    def __post_init__(self) -> None:
        """Refuse hours that nobody could be in, and a time zone that does not exist."""
        if not self.since < self.until:
            raise ValueError("since, until: the hours of a day begin before they end; write two conditions for a night")
        if not self.weekdays:
            raise ValueError("weekdays: name at least one day")
        try:
            ZoneInfo(self.timezone)
        except (KeyError, ValueError, OSError) as wrong:
            raise ValueError(f"timezone: there is no time zone {self.timezone!r}") from wrong

    def contain(self, at: datetime) -> bool:
        """Whether *at* lies in these hours."""
        there = at.astimezone(ZoneInfo(self.timezone))
        return _WEEK[there.weekday()] in self.weekdays and self.since <= there.time() < self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What must be so, all of it; what is left out does not matter.  *negate* turns the whole around."""

    __pydantic_config__ = STRICT

    title: str
    any_tag: frozenset[str] = frozenset()
    stages: frozenset[str] = frozenset()
    aliases: frozenset[str] = frozenset()
    hours: Hours | None = None
    strength: int | None = None
    negate: bool = False

    def __post_init__(self) -> None:
        """Refuse a condition that asks nothing: it would always hold."""
        if not (self.any_tag or self.stages or self.aliases or self.hours or self.strength is not None):
            raise ValueError("a condition asks for any_tag, stages, aliases, hours or strength")

    def holds(self, now: Circumstances) -> bool | None:
        """Return whether it holds, or None when a fact that it asks for is not known."""
        answers = list(self._answers(now))
        whole = False if False in answers else None if None in answers else True
        return whole if whole is None or not self.negate else not whole

    def _answers(self, now: Circumstances) -> list[bool | None]:
        asked: list[bool | None] = []
        if self.any_tag:
            asked.append(not self.any_tag.isdisjoint(now.tags))
        if self.stages:
            asked.append(None if now.stage is None else now.stage in self.stages)
        if self.aliases:
            asked.append(None if now.alias is None else now.alias in self.aliases)
        if self.hours:
            asked.append(None if now.at is None else self.hours.contain(now.at))
        if self.strength is not None:
            asked.append(None if now.strength is None else now.strength >= self.strength)
        return asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """``conditions.yaml`` as read."""

    __pydantic_config__ = STRICT

    conditions: Mapping[str, Condition] = field(default_factory=dict)

    def holding(self, now: Circumstances) -> frozenset[str]:
        """Return the names of the conditions that hold."""
        return frozenset(name for name, one in self.conditions.items() if one.holds(now) is True)

    def failing(self, now: Circumstances) -> frozenset[str]:
        """Return the names of the conditions that certainly do not hold."""
        return frozenset(name for name, one in self.conditions.items() if one.holds(now) is False)
