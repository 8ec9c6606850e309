# SPDX-License-Identifier: Apache-2.0
"""May this be disposed of?  ``retention.yaml`` by record class and law, and the legal holds that suspend it.

Pure: records, holds and the moment come in, a decision goes out.  A hold answers before any period; of several
minimums the longest answers; a class that nobody has named is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from khatim.vocabulary import Certainty, Decision
from policies.zones import STRICT

ADVICE_HOLD: Final = "Two people can release the hold: khatim hold release."


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordClass:
    """A kind of record that periods are written for."""

    __pydantic_config__ = STRICT

    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionRule:
    """One period with its legal source; for all classes and all laws where it names none."""

    __pydantic_config__ = STRICT

    title: str
    basis: str
    certainty: Certainty
    classes: frozenset[str] = frozenset()
    regimes: frozenset[str] = frozenset()
    minimum_years: int = 0
    maximum_years: int | None = None
    indefinite: bool = False

    def __post_init__(self) -> None:
        """Refuse a rule that says nothing, or that it must be kept for longer than it may."""
        if not (self.indefinite or self.minimum_years or self.maximum_years):
            raise ValueError("minimum_years, maximum_years or indefinite: a rule says one of them")
        if self.maximum_years is not None and (self.indefinite or self.maximum_years < self.minimum_years):
            raise ValueError("maximum_years: less than what it must be kept")


@dataclass(frozen=True, slots=True)
class Record:
    """What is about to go.  *since* is from when its period counts, *until* the end of what it covers."""

    name: str
    record_class: str
    since: datetime
    until: datetime
    regimes: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()
    zones: frozenset[str] = frozenset()
    people: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Hold:
    """A legal hold in force.  An empty member of the scope means any; all that are given must fit."""

    ref: str
    reason: str
    basis: str
    namespace: str = ""
    resource: str = ""
    person: str = ""
    zone: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def covers(self, record: Record) -> bool:
        """Whether any part of *record* is held."""
        scopes = (
            (self.namespace, record.namespaces), (self.resource, record.resources),
            (self.person, record.people), (self.zone, record.zones),
        )  # fmt: skip
        fits = all(not wanted or wanted in having for wanted, having in scopes)
        after = self.until is None or record.since <= self.until
        return fits and after and (self.since is None or self.since <= record.until)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """The periods of an installation."""

    __pydantic_config__ = STRICT

    classes: Mapping[str, RecordClass]
    rules: Mapping[str, RetentionRule]

    def __post_init__(self) -> None:
        """Refuse a rule for a class that does not exist."""
        for name, rule in self.rules.items():
            if missing := sorted(rule.classes - self.classes.keys()):
                raise ValueError(f"rules.{name}.classes: there is no class {', '.join(missing)}")

    def asked(self, record: Record) -> dict[str, RetentionRule]:
        """Return the rules that speak about *record*."""
        return {
            name: rule
            for name, rule in self.rules.items()
            if (not rule.classes or record.record_class in rule.classes)
            and (not rule.regimes or rule.regimes & record.regimes)
        }

    def may_dispose(self, record: Record, holds: Sequence[Hold], at: datetime) -> Decision:
        """Decide whether *record* may go at *at*: no hold covers it, and every minimum has run out."""
        for hold in sorted(holds, key=lambda one: one.ref):
            if hold.covers(record):
                reason = f"{record.name} is under legal hold ({hold.ref}): {hold.reason}"
                return Decision(
                    allowed=False, rule=f"hold/{hold.ref}", reason=reason, legal_basis=hold.basis, advice=ADVICE_HOLD
                )
        if record.record_class not in self.classes:
            reason = f"Nobody has said how long a record of the class {record.record_class[:80]!r} is kept."
            return Decision(allowed=False, rule="retention/unknown", reason=reason, advice="Add it to retention.yaml.")
        found = self.asked(record)
        for name, rule in found.items():
            if rule.indefinite:
                reason = f"{rule.title}: {record.name} is never disposed of."
                return _refused(name, rule, reason, "Nothing disposes of it; ask counsel.")
        ends = {name: years_after(record.until, rule.minimum_years) for name, rule in found.items()}
        name = max(found, key=lambda one: (ends[one], one), default="")
        if name and at < ends[name]:
            day = ends[name].date().isoformat()
            return _refused(name, found[name], f"{found[name].title}: {record.name} until {day}.", f"Wait until {day}.")
        last = found.get(name)
        return Decision(
            allowed=True,
            rule=name or "retention/none",
            reason=f"No obligation to keep {record.name} is left.",
            legal_basis=last.basis if last else "",
            certainty=last.certainty if last else None,
        )

    def overdue(self, record: Record, at: datetime) -> str:
        """Return the rule whose maximum *record* has outlived; empty if none."""
        for name, rule in sorted(self.asked(record).items()):
            if rule.maximum_years is not None and at >= years_after(record.until, rule.maximum_years):
                return name
        return ""


def years_after(at: datetime, years: int) -> datetime:
    """Return the same day *years* later; 29 February becomes 1 March."""
    try:
        return at.replace(year=min(at.year + years, 9999))
    except ValueError:
        return at.replace(year=min(at.year + years, 9999), month=3, day=1)


def _refused(name: str, rule: RetentionRule, reason: str, advice: str) -> Decision:
    return Decision(
        allowed=False, rule=name, reason=reason, legal_basis=rule.basis, certainty=rule.certainty, advice=advice
    )
