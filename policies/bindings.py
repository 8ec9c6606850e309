# SPDX-License-Identifier: Apache-2.0
"""What a gate asks of a version, and what an approval of it is bound to."""

from __future__ import annotations

from policies.facts import Binding, Evidence, Facts, Transition
from policies.requirements import TIERS, Gates, Kind, Requirement


def gate_of(gates: Gates, transition: Transition, facts: Facts) -> dict[str, Requirement]:
    """Return the requirements asked of *facts* for *transition* by rule id; none without an assessed tier."""
    if facts.tier is None or facts.tier not in TIERS:
        return {}
    return gates.between(transition, facts.tier, facts.tags | facts.inherited_tags)


def binding_of(gates: Gates, transition: Transition, facts: Facts) -> Binding:
    """Return what an approval of *facts* for *transition* is about; the approving verb signs exactly this."""
    kinds = {one.evidence for one in gate_of(gates, transition, facts).values() if one.kind is Kind.EVIDENCE}
    newest = (newest_evidence(facts, kind) for kind in kinds)
    return Binding(
        transition=transition,
        version=facts.digest,
        datasets=facts.datasets,
        evidence=frozenset(one.digest for one in newest if one is not None),
        policy=facts.policy,
        zone=facts.zone,
        tier=facts.tier,
    )


def newest_evidence(facts: Facts, kind: str) -> Evidence | None:
    """Return the newest signed evidence of *kind* about exactly this version: a later failure outweighs a pass."""
    found = [one for one in facts.evidence if one.kind == kind and one.subject == facts.digest and one.is_signed]
    return max(found, key=lambda one: (one.at, one.digest), default=None)
