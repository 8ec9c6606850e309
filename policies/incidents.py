# SPDX-License-Identifier: Apache-2.0
"""Incidents as data: what must be done after which kind of incident, under which law, by when (``incidents.yaml``)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from khatim.vocabulary import Certainty, Severity
from policies.zones import STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """One thing that must be done within *hours* of awareness; None where the law says only "at once"."""

    __pydantic_config__ = STRICT

    title: str
    basis: str
    certainty: Certainty
    warn_hours: float
    hours: float | None = None
    regimes: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Refuse a warning that comes too late."""
        if self.warn_hours <= 0 or (self.hours is not None and self.hours < self.warn_hours):
            raise ValueError("hours, warn_hours: more than 0, and the warning before the limit")

    def applies(self, regimes: Collection[str]) -> bool:
        """Whether it is asked in a zone under *regimes*."""
        return not self.regimes or not self.regimes.isdisjoint(regimes)

    def due(self, aware_at: datetime) -> datetime | None:
        """Return when it is overdue, None without a limit."""
        return None if self.hours is None else aware_at + timedelta(hours=self.hours)

    def warned(self, aware_at: datetime) -> datetime:
        """Return when it is told that it is still to be done."""
        return aware_at + timedelta(hours=self.warn_hours)


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentKind:
    """One kind of incident and its duties by id."""

    __pydantic_config__ = STRICT

    title: str
    severity: Severity
    duties: Mapping[str, Duty]

    def __post_init__(self) -> None:
        """Refuse a kind after which nothing is to be done."""
        if not self.duties:
            raise ValueError("duties: name at least one")


@dataclass(frozen=True, slots=True, kw_only=True)
class Incidents:
    """``incidents.yaml`` as read."""

    __pydantic_config__ = STRICT

    kinds: Mapping[str, IncidentKind]

    def duties(self, kind: str, regimes: Collection[str]) -> dict[str, Duty]:
        """Return the duties of *kind* in a zone under *regimes*; raises `KeyError` for a kind that there is not."""
        return {name: one for name, one in self.kinds[kind].duties.items() if one.applies(regimes)}
