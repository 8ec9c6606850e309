# SPDX-License-Identifier: Apache-2.0
"""What judging a version finds: checks with reason and advice, whom each claim rests on, then and now."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from khatim.vocabulary import Basis
from khatim.wire import answers, proofs

if TYPE_CHECKING:
    from registry.signing.revocation import Standing
    from registry.signing.verification import VerifiedStatement


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: whether it holds at the moment asked about, and if not why and what to do."""

    about: str
    holds: bool
    why: str = ""
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Signed:
    """One statement: what kind, by whom, when, whether it holds, and whom it rests on.

    *check* is about the moment asked for; *now* says why it does not hold any more, empty while it does.
    """

    kind: str
    identity: str
    signed_at: datetime
    check: Check
    verified: VerifiedStatement | None = None
    standing: Standing | None = None
    bases: tuple[Basis, ...] = (Basis.DECLARED,)
    rests: str = Basis.DECLARED.value
    now: str = ""


@dataclass(frozen=True, slots=True)
class Station:
    """One thing on the way from the model to the raw file."""

    node: proofs.Node
    statements: tuple[Signed, ...]
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class Consent:
    """One approval, and whether it is about exactly this version, this data and this evidence."""

    approval: answers.Approval
    checks: tuple[Check, ...]
    is_expired: bool
    is_given: bool = True
    bases: tuple[Basis, ...] = (Basis.DECLARED,)
    rests: str = Basis.DECLARED.value

    @property
    def counts(self) -> bool:
        """Whether it counts at the moment asked for: signed, bound, active, given and not expired."""
        is_live = self.is_given and not self.is_expired
        return self.approval.state == "active" and is_live and all(one.holds for one in self.checks)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was found.  `faults` are claims that do not hold *at*; a suspended approval is no fault but a state.

    *revocations* tells which signed list decided; *fallen* are sentences about what held *at* and does not hold now.
    """

    dossier: proofs.Dossier
    instance: str
    at: datetime
    stations: tuple[Station, ...]
    consents: tuple[Consent, ...]
    evidence: tuple[tuple[Check, tuple[Basis, ...]], ...] = field(default=())
    general: tuple[Check, ...] = field(default=())
    revocations: str = ""

    @property
    def faults(self) -> tuple[Check, ...]:
        """Return everything that does not hold, with where it was found."""
        found: list[Check] = []
        for station in self.stations:
            where = station.node.ref
            found += _at(where, (one.check for one in station.statements))
            found += _at(where, station.checks)
        for consent in self.consents:
            found += _at(f"the approval as {consent.approval.role}", consent.checks)
        found += _at("evidence", (check for check, _ in self.evidence))
        found += [one for one in self.general if not one.holds]
        return tuple(found)

    @property
    def fallen(self) -> tuple[str, ...]:
        """Return what held then and does not hold now."""
        return tuple(
            f"{station.node.ref}: {one.now}"
            for station in self.stations
            for one in station.statements
            if one.now and one.check.holds
        )


def _at(where: str, checks: Iterable[Check]) -> list[Check]:
    return [
        Check(f"{where}: {one.about}", holds=False, why=one.why, advice=one.advice) for one in checks if not one.holds
    ]
