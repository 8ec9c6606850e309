# SPDX-License-Identifier: Apache-2.0
"""Zones as data: where bytes can be, under which laws.  ``zones.yaml`` says which, this module answers for a name.

A zone is not a law: `location` (where bytes rest or are read), `regimes` (laws that bind whoever runs the zone) and the
data tags of an artefact are three attributes (compliance.md 2.1).  An unknown name is no zone, never a guess.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from khatim.vocabulary import Certainty, is_name

# pydantic reads this when `policies.loading` decodes an entry: a key that we do not know is a mistake, not a comment.
STRICT: Final = {"extra": "forbid"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Regime:
    """A body of law: what it is called, where it stands and how well that was checked."""

    __pydantic_config__ = STRICT

    title: str
    basis: str
    certainty: Certainty
    url: str = ""
    notes: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneEntry:
    """A zone as ``zones.yaml`` writes it; the key is its name."""

    __pydantic_config__ = STRICT

    title: str
    family: str
    location: str
    regimes: tuple[str, ...]
    parent: str | None = None
    emirate: str | None = None
    notes: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suffix:
    """What an ending of a zone's name adds to the zone before it."""

    __pydantic_config__ = STRICT

    title: str
    adds: tuple[str, ...] = ()
    is_airgapped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """How zones without an entry come from their name."""

    __pydantic_config__ = STRICT

    prefix: str
    home: str
    otherwise: str
    countries: frozenset[str]
    regimes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    suffixes: Mapping[str, Suffix] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ZonesFile:
    """``zones.yaml`` as read."""

    __pydantic_config__ = STRICT

    regimes: Mapping[str, Regime]
    zones: Mapping[str, ZoneEntry]
    derived: Derived


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """One zone, named or derived."""

    name: str
    title: str
    family: str  # its column in the transfer matrix; "ext" abroad
    location: str  # ISO 3166-1 alpha-2
    regimes: frozenset[str]
    parent: str | None = None
    emirate: str | None = None
    is_airgapped: bool = False


EXTERNAL: Final = "ext"


class Zones:
    """All zones of a policy bundle.  Iterates over the named ones; `get` also answers for derived names."""

    def __init__(self, entries: ZonesFile) -> None:
        """Take the file; raises `ValueError` with the key for an entry that contradicts itself."""
        self.regimes: Final = entries.regimes
        self._derived = entries.derived
        self._named: dict[str, Zone] = {}
        for name, entry in entries.zones.items():
            zone = Zone(
                name=name,
                title=entry.title,
                family=entry.family,
                location=entry.location,
                regimes=frozenset(entry.regimes),
                parent=entry.parent,
                emirate=entry.emirate,
            )
            self._check(zone, f"zones.{name}")
            if entry.parent is not None and entry.parent not in entries.zones:
                raise ValueError(f"zones.{name}.parent: there is no zone {entry.parent!r}")
            self._named[name] = zone
        known = {entries.derived.otherwise, *entries.derived.regimes}
        known.update(*(suffix.adds for suffix in entries.derived.suffixes.values()))
        if unknown := known - entries.regimes.keys():
            raise ValueError(f"derived: there is no regime {', '.join(sorted(unknown))}")

    def _check(self, zone: Zone, key: str) -> None:
        if zone.location not in self._derived.countries:
            raise ValueError(f"{key}.location: {zone.location!r} is not a country of derived.countries")
        if not zone.regimes:
            raise ValueError(f"{key}.regimes: a zone without a law is a zone without rules; name at least one")
        if unknown := zone.regimes - self.regimes.keys():
            raise ValueError(f"{key}.regimes: there is no regime {', '.join(sorted(unknown))}")

    def __iter__(self) -> Iterator[Zone]:
        return iter(self._named.values())

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def get(self, name: str) -> Zone | None:
        """Return the zone of that name, or None: an unknown zone is refused everywhere, never guessed."""
        if name in self._named:
            return self._named[name]
        if not is_name(name):
            return None
        base, _, ending = name.rpartition("-")
        suffix = self._derived.suffixes.get(ending)
        if suffix is not None:
            return self._with(suffix, name, self.get(base))
        return self._abroad(name)

    def family_members(self, family: str) -> tuple[Zone, ...]:
        """Return the named zones of one column of the matrix."""
        return tuple(zone for zone in self if zone.family == family)

    @property
    def home(self) -> str:
        """The country that "the State" means."""
        return self._derived.home

    @property
    def families(self) -> frozenset[str]:
        """The columns that zones can stand in."""
        return frozenset(zone.family for zone in self) | {EXTERNAL}

    def _with(self, suffix: Suffix, name: str, base: Zone | None) -> Zone | None:
        if base is None or base.family == EXTERNAL:
            return None
        return Zone(
            name=name,
            title=f"{base.title}, {suffix.title}",
            family=base.family,
            location=base.location,
            regimes=base.regimes | frozenset(suffix.adds),
            parent=base.name,
            emirate=base.emirate,
            is_airgapped=base.is_airgapped or suffix.is_airgapped,
        )

    def _abroad(self, name: str) -> Zone | None:
        code = name.removeprefix(self._derived.prefix)
        country = code.upper()
        if code == name or code != country.lower() or country not in self._derived.countries - {self._derived.home}:
            return None
        laws = [law for law, countries in self._derived.regimes.items() if country in countries]
        return Zone(
            name=name,
            title=f"Abroad: {country}",
            family=EXTERNAL,
            location=country,
            regimes=frozenset(laws or [self._derived.otherwise]),
        )
