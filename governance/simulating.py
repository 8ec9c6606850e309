# SPDX-License-Identifier: Apache-2.0
"""What other rules would change, before anybody puts them in force: nothing of it is an attempt, nothing is recorded.

Versions are judged as if their approvals had been given under the other rules: that approvals are void under any other
rules is told once, and would otherwise hide what the rules themselves change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlalchemy import select

from audit.transaction import Reader
from governance import facts, policy_changes
from khatim.vocabulary import Action, Resource, Stage, VersionStatus
from policies import gates, simulation
from policies.facts import Binding, Facts, Transition
from policies.loading import PolicyBundle
from registry.notary import Notary
from registry.tables import ModelVersion

ASKED = (Transition.STAGING, Transition.PRODUCTION, Transition.DEPLOY)


@dataclass(frozen=True, slots=True)
class GateChange:
    """One gate of one version that would be open or closed differently, or for other reasons."""

    version: str
    transition: str
    before: bool
    after: bool
    newly_unmet: tuple[str, ...]
    newly_met: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Simulation:
    """Everything that would be decided differently; `versions` of the newest were judged, `left_out` were not."""

    before: str
    after: str
    files: tuple[str, ...]
    access: list[simulation.AccessChange]
    movements: list[simulation.MovementChange]
    runtime: list[simulation.RuntimeChange]
    gates: list[GateChange]
    versions: int
    left_out: int
    approvals_void: int
    doors_shut: list[str]


def simulate(
    reader: Reader, files: Mapping[str, str], *, limit: int, notary: Notary, rules: PolicyBundle
) -> Simulation:
    """Return what would change if *files* were the overlay; raises `Malformed` for files that cannot be read.

    The *limit* newest versions that are ready, not archived and visible to the caller are judged.
    """
    reader.require(Action.READ, Resource("policy", "bundle"))
    other = policy_changes.read(files)
    query = select(ModelVersion).where(
        ModelVersion.stage != Stage.ARCHIVED.value, ModelVersion.status == VersionStatus.READY.value
    )
    rows = [
        row
        for row in reader.scalars(query.order_by(ModelVersion.id.desc()))
        if reader.may(Action.READ, row.resource)
    ]  # fmt: skip
    found: list[GateChange] = []
    is_other = other.digest != rules.digest
    for row in rows[:limit] if is_other else ():
        found.extend(_gate_changes(reader, row, other, notary, rules))
    return Simulation(
        before=str(rules.digest),
        after=str(other.digest),
        files=simulation.files_changed(rules, other),
        access=simulation.access_changes(rules, other),
        movements=simulation.movement_changes(rules, other, at=reader.now),
        runtime=simulation.runtime_changes(rules, other),
        gates=found,
        versions=min(limit, len(rows)),
        left_out=max(0, len(rows) - limit),
        approvals_void=policy_changes.approvals_bound_to(reader, str(rules.digest)) if is_other else 0,
        doors_shut=simulation.doors_shut(other),
    )


def _gate_changes(
    reader: Reader, version: ModelVersion, other: PolicyBundle, notary: Notary, rules: PolicyBundle
) -> list[GateChange]:
    known = facts.facts_of(reader, version, zone=version.zone, notary=notary, rules=rules)
    under = _under(reader, version, known, rules, other)
    found = []
    for transition in ASKED:
        was = gates.evaluate(rules.gates, transition, known, reader.now)
        would = gates.evaluate(other.gates, transition, under, reader.now)
        unmet, unmet_then = {one.rule for one in was.unmet}, {one.rule for one in would.unmet}
        if unmet != unmet_then:
            found.append(
                GateChange(
                    version.path, transition.value, bool(was), bool(would), tuple(sorted(unmet_then - unmet)),
                    tuple(sorted(unmet - unmet_then)),
                )
            )  # fmt: skip
    return found


def _under(reader: Reader, version: ModelVersion, known: Facts, rules: PolicyBundle, other: PolicyBundle) -> Facts:
    """Return the facts as they would be under *other*, were every approval and waiver that counts given anew."""
    anew = replace(
        known,
        policy=other.digest,
        files=facts.files_of(version, other),
        residency=facts.residency_of(reader, version, zone=known.zone, rules=other),
    )

    def bound(one: Binding) -> Binding:
        is_counting = one == gates.binding_of(rules.gates, one.transition, known)
        return gates.binding_of(other.gates, one.transition, anew) if is_counting else one

    return replace(
        anew,
        approvals=tuple(replace(one, binding=bound(one.binding)) for one in known.approvals),
        waivers=tuple(replace(one, binding=bound(one.binding)) for one in known.waivers),
    )
