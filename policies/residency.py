# SPDX-License-Identifier: Apache-2.0
"""May these bytes be there?  One gate for every movement; the most restrictive rule answers (compliance.md 2).

What is asked: the exporter's regimes and those that travel with the data's tags, each by its row of the matrix, and
every override of a tag.  All must allow.  Unknown zone, tag or cell refuses.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, assert_never

from khatim.errors import NotFound
from khatim.vocabulary import Decision
from policies.transfers import (
    Code,
    Condition,
    Mechanism,
    Movement,
    MovementKind,
    TransferAuthorisation,
    TransferRule,
    TransfersFile,
)
from policies.zones import EXTERNAL, Zone, Zones

NamedRule = tuple[str, TransferRule]

__all__ = ["Movement", "MovementKind", "ResidencyRules", "TransferAuthorisation", "Zone", "Zones", "decide", "weigh"]


class ResidencyRules:
    """Zones, matrix and overrides of one policy bundle; `policy` is its digest, told in every decision."""

    def __init__(self, zones: Zones, transfers: TransfersFile, policy: str = "") -> None:
        """Take the files; raises `ValueError` with the key for rules that name what does not exist or leave a hole."""
        self.zones: Final = zones
        self.transfers: Final = transfers
        self.policy: Final = policy
        self._by_regime: dict[str, list[NamedRule]] = {regime: [] for regime in zones.regimes}
        self._by_tag: dict[str, list[NamedRule]] = {tag: [] for tag in transfers.tags}
        self._always: list[NamedRule] = []
        self._check_names()
        for name, rule in transfers.rules.items():
            if rule.regime is not None:
                self._by_regime[rule.regime].append((name, rule))
            elif not rule.tags:
                self._always.append((name, rule))
            for tag in rule.tags:
                self._by_tag[tag].append((name, rule))
        for regime, row in self._by_regime.items():
            empty = [one for one in sorted(self.columns) if not any(one in (rule.to or {one}) for _, rule in row)]
            if empty:
                raise ValueError(f"rules: regime {regime} says nothing about {', '.join(empty)}")

    def _check_names(self) -> None:
        known = self.transfers
        for name, tag in known.tags.items():
            _must_exist(f"tags.{name}.regimes", "regime", tag.regimes, self.zones.regimes)
        for name, mechanism in known.mechanisms.items():
            _must_exist(f"mechanisms.{name}.flag", "flag", [mechanism.flag], known.flags)
        _must_exist("adequacy", "regime", known.adequacy, self.zones.regimes)
        for name, rule in known.rules.items():
            _must_exist(f"rules.{name}.regime", "regime", [rule.regime], self.zones.regimes)
            _must_exist(f"rules.{name}.tags", "tag", rule.tags, known.tags)
            _must_exist(f"rules.{name}.to", "column", rule.to, self.columns)
            _must_exist(f"rules.{name}.mechanisms", "mechanism", rule.mechanisms, known.mechanisms)

    def zone(self, name: str) -> Zone:
        """Return the zone of that name; raises `NotFound`."""
        zone = self.zones.get(name)
        if zone is None:
            raise NotFound(f"there is no zone {name[:80]!r}", advice="Name a zone of policies/zones.yaml.")
        return zone

    def candidates(self, regimes: frozenset[str], tags: frozenset[str]) -> dict[str, TransferRule]:
        """Return the rules that speak for one of *regimes* or of *tags*, or always, whatever the zones."""
        rows = [self._by_regime[regime] for regime in regimes]
        overrides = [self._by_tag[tag] for tag in tags]
        return {name: rule for row in (*rows, *overrides, self._always) for name, rule in row}

    @property
    def columns(self) -> frozenset[str]:
        """The columns of the matrix: families of zones, and abroad by adequacy."""
        return self.zones.families - {EXTERNAL} | {"ext-adequate", "ext-other"}

    def column(self, regime: str, target: Zone) -> str:
        """Return the column that *target* stands in for an exporter under *regime*."""
        if target.family != EXTERNAL:
            return target.family
        adequacy = self.transfers.adequacy.get(regime)
        return "ext-adequate" if adequacy and target.location in adequacy.locations else "ext-other"


def decide(
    rules: ResidencyRules, movement: Movement, authorisations: Sequence[TransferAuthorisation] = (), *, at: datetime
) -> Decision:
    """Decide whether *movement* may happen at *at*; never raises for facts, an unknown zone or tag is a refusal.

    Of several rules that refuse, the strictest code answers, an override by tag before the matrix; of several that
    allow, likewise.  `weigh` shows them all.
    """
    return weigh(rules, movement, authorisations, at=at)[0]


def weigh(
    rules: ResidencyRules, movement: Movement, authorisations: Sequence[TransferAuthorisation] = (), *, at: datetime
) -> tuple[Decision, ...]:
    """Return what every rule asked says, the one that answers first; never empty."""
    origin, target = rules.zones.get(movement.from_zone), rules.zones.get(movement.to_zone)
    if origin is None or target is None:
        name = movement.from_zone if origin is None else movement.to_zone
        return (
            _closed(rules, "zones/unknown", f"There is no zone {name[:80]!r}.", "Name a zone of policies/zones.yaml."),
        )
    if unknown := sorted(movement.tags - rules.transfers.tags.keys()):
        reason = f"Nobody has said what the data tag {', '.join(unknown)} means."
        return (_closed(rules, "tags/unknown", reason, "Use a tag of policies/transfers.yaml."),)
    scene = _Scene(rules, movement, origin, target, tuple(authorisations), at)
    regimes = scene.regimes()
    asked = {name: rule for name, rule in rules.candidates(regimes, movement.tags).items() if scene.applies(rule)}
    silent = sorted(regimes - {rule.regime for rule in asked.values()})
    if silent or not asked:
        # A hole in the matrix is a refusal.
        reason = f"The matrix says nothing about {', '.join(silent) or 'such data'} to {target.name}."
        return (_closed(rules, "matrix/unlisted", reason, "Ask counsel, then add the cell."),)
    answers = [(rule, scene.answer(name, rule), name) for name, rule in asked.items()]
    # Refusals first, then the strictest code, then overrides before the matrix, then the name: one order, always.
    answers.sort(key=lambda one: (one[1].allowed, -one[0].code.severity, not one[0].is_override, one[2]))
    return tuple(decision for _, decision, _ in answers)


@dataclass(frozen=True, slots=True)
class _Scene:
    """One question with its zones resolved."""

    rules: ResidencyRules
    movement: Movement
    origin: Zone
    target: Zone
    authorisations: tuple[TransferAuthorisation, ...]
    at: datetime

    def regimes(self) -> frozenset[str]:
        """Return the laws asked: the exporter's and those that travel with the data; none for public data."""
        tags = [self.rules.transfers.tags[tag] for tag in self.movement.tags]
        if tags and not any(tag.is_restricted for tag in tags):
            return frozenset()
        return self.origin.regimes.union(*(tag.regimes for tag in tags))

    def applies(self, rule: TransferRule) -> bool:
        """Whether *rule* speaks about this kind of movement between these zones."""
        if rule.kinds and self.movement.kind not in rule.kinds:
            return False
        if rule.to and self.rules.column(rule.regime or "", self.target) not in rule.to:
            return False
        return all(self._holds(condition) for condition in rule.when)

    def _holds(self, condition: Condition) -> bool:
        match condition:
            case Condition.SAME_ZONE:
                return self.origin.name == self.target.name
            case Condition.OTHER_ZONE:
                return self.origin.name != self.target.name
            case Condition.SAME_EMIRATE:
                return self._is_one_emirate()
            case Condition.OTHER_EMIRATE:
                return not self._is_one_emirate()
            case Condition.OUTSIDE_STATE:
                return self.target.location != self.rules.zones.home
            case Condition.AIRGAPPED:
                return self.origin.is_airgapped or self.target.is_airgapped
            case _:
                assert_never(condition)

    def _is_one_emirate(self) -> bool:
        # A zone that does not say its emirate is one emirate with itself only.
        if self.origin.name == self.target.name:
            return True
        return self.origin.emirate is not None and self.origin.emirate == self.target.emirate

    def answer(self, name: str, rule: TransferRule) -> Decision:
        """Return what *rule* says here."""
        if rule.code is Code.ALLOW:
            return self._decision(name, rule, allowed=True, reason=f"{rule.title}.")
        ways = {
            way: mechanism
            for way, mechanism in self.rules.transfers.mechanisms.items()
            if way in rule.mechanisms and (mechanism.flag is None or self.rules.transfers.flags[mechanism.flag].on)
        }
        covering = [
            record
            for record in self.authorisations
            if record.mechanism in ways and not _shortfalls(record, self, rule, ways[record.mechanism])
        ]
        if len(covering) == 1:
            reason = f"{rule.title}: by transfer authorisation {covering[0].ref} ({covering[0].mechanism})."
            return self._decision(name, rule, allowed=True, reason=reason)
        return self._decision(name, rule, allowed=False, reason=self._refusal(rule, ways, covering))

    def _refusal(
        self, rule: TransferRule, ways: dict[str, Mechanism], covering: Sequence[TransferAuthorisation]
    ) -> str:
        where = f"{self.movement.kind.value} from {self.origin.name} to {self.target.name} is refused"
        if covering:
            refs = ", ".join(sorted(record.ref for record in covering))
            # compliance.md 2.5: allowed iff exactly one active authorisation covers; two leave the basis open.
            return f"{rule.title}: {where}; more than one transfer authorisation covers it ({refs})."
        if not ways:
            return f"{rule.title}: {where}."
        near = [
            f"{record.ref} " + ", ".join(_shortfalls(record, self, rule, ways[record.mechanism]))
            for record in self.authorisations
            if record.mechanism in ways and record.to_zone == self.target.name
        ]
        missing = f"no active transfer authorisation by {' or '.join(ways)} covers it"
        nearly = f" ({'; '.join(near)})" if near else ""
        return f"{rule.title}: {where}; {missing}{nearly}."

    def _decision(self, name: str, rule: TransferRule, *, allowed: bool, reason: str) -> Decision:
        advice = ""
        if not allowed:
            advice = rule.advice or (
                f"Record a transfer authorisation by {' or '.join(rule.mechanisms)}."
                if rule.mechanisms
                else "Choose another zone."
            )
        return Decision(
            allowed=allowed,
            rule=name,
            reason=reason,
            legal_basis=rule.basis,
            certainty=rule.certainty,
            advice=advice,
            policy=self.rules.policy,
        )


def _shortfalls(
    record: TransferAuthorisation, scene: _Scene, rule: TransferRule, mechanism: Mechanism
) -> tuple[str, ...]:
    """Return why *record* does not cover the movement, in words; empty when it does."""
    movement, at = scene.movement, scene.at
    # Coming into a zone under an authorisation is the basis for staying there, so the origin is asked on entry only.
    is_from_here = scene.origin.name in {record.from_zone, scene.target.name}
    checks = (
        (is_from_here and record.to_zone == scene.target.name, "is for other zones"),
        (record.to_location == scene.target.location, f"is for {record.to_location or 'no country'}"),
        (rule.regime is None or rule.regime in record.from_regimes, f"does not name the regime {rule.regime}"),
        (movement.tags <= record.data_tags, "does not cover the data's tags"),
        (record.purpose == movement.purpose, "is for another purpose"),
        (any(_covers(scope, movement.artefact) for scope in record.artefact_scope), "does not cover this artefact"),
        (bool(record.approvals), "is not approved"),
        (bool(record.mechanism_evidence_digest), "has no evidence"),
        (record.valid_from <= at < record.valid_to, "is not valid at this time"),
        (record.revoked_at is None or at < record.revoked_at, "is revoked"),
        (at < record.review_due, "is overdue for review"),
        (mechanism.safeguards <= record.safeguards, f"lacks {', '.join(sorted(mechanism.safeguards))}"),
        *((bool(getattr(record, name)), f"has no {name}") for name in mechanism.requires),
    )
    return tuple(words for holds, words in checks if not holds)


def _covers(scope: str, artefact: str) -> bool:
    return artefact.startswith(scope[:-1]) if scope.endswith("*") else bool(artefact) and scope == artefact


def _closed(rules: ResidencyRules, rule: str, reason: str, advice: str) -> Decision:
    return Decision(allowed=False, rule=rule, reason=reason, advice=advice, policy=rules.policy)


def _must_exist(key: str, noun: str, named: Iterable[str | None], known: Iterable[str]) -> None:
    if missing := sorted(name for name in set(named) - {None, *known} if name):
        raise ValueError(f"{key}: there is no {noun} {', '.join(missing)}")
