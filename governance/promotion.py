# SPDX-License-Identifier: Apache-2.0
"""Moving a version from stage to stage through gates that are data."""

from __future__ import annotations

from audit.transaction import Reader, Transaction
from governance import facts, history
from governance.events import VersionPromoted
from khatim.errors import Conflict, FormatRefused, GateNotSatisfied
from khatim.vocabulary import Action, Assurance, Stage
from policies import gates
from policies.facts import Transition
from policies.loading import PolicyBundle
from policies.outcomes import GateDecision
from policies.requirements import Kind
from registry import lineage, queries
from registry.notary import Notary
from registry.tables import ModelVersion


def promote(  # noqa: PLR0913 - what moves, where to, why, and what decides
    tx: Transaction, path: str, to: Stage, *, because: str, notary: Notary, rules: PolicyBundle
) -> ModelVersion:
    """Move a version to another stage.  Raises `GateNotSatisfied` with everything that is unmet."""
    version = queries.numbered(tx, ModelVersion, path, for_update=True)
    tx.require(Action.VERSION_PROMOTE, version.resource)
    if version.stage == to.value:
        raise Conflict(f"{path} stands in {to.value} already")
    if to is Stage.NONE:
        raise Conflict(f"{path} does not go back to the beginning of its life", advice="Archive it, or go on.")
    decision = require_open(tx, version, Transition(to.value), zone=version.zone, notary=notary, rules=rules)
    if to is Stage.PRODUCTION:
        version.assurance = assurance_of(tx, version, rules=rules)
    before, version.stage = version.stage, to.value
    history.note(tx, version, to.value, because=because, policy=str(rules.digest))
    tx.record(
        VersionPromoted(
            about=version.ref,
            namespace=version.namespace,
            zone=version.zone,
            before=before,
            to=to.value,
            because=because,
            gate=to.value,
            policy=str(rules.digest),
            excepted=[one.as_members() for one in decision.excepted],
            assurance=version.assurance,
        )
    )
    return version


def require_open(  # noqa: PLR0913 - a gate is asked for a version, a transition and a zone, by rules and signatures
    tx: Transaction,
    version: ModelVersion,
    transition: Transition,
    *,
    zone: str,
    notary: Notary,
    rules: PolicyBundle,
    purpose: str = "",
) -> GateDecision:
    """Demand that the gate be open; raises `FormatRefused` when a format bars it, else `GateNotSatisfied`."""
    decision = gate_of(tx, version, transition, zone=zone, notary=notary, rules=rules, purpose=purpose)
    if decision:
        return decision
    kinds = {rules.gates.requirements[rule].kind for rule in decision.rules if rule in rules.gates.requirements}
    cls = FormatRefused if Kind.FORMATS in kinds else GateNotSatisfied
    raise cls(decision.reason, advice=" ".join(decision.advice), **decision.as_members())


def assurance_of(reader: Reader, version: ModelVersion, *, rules: PolicyBundle) -> Assurance:
    """Return on whose word production rests."""
    is_alone = rules.gates.is_self_attested(queries.tier_of(reader, version), _tags(reader, version))
    return Assurance.SELF_ATTESTED if is_alone else Assurance.INDEPENDENT


def seats_required(reader: Reader, version: ModelVersion, *, rules: PolicyBundle) -> list[list[str]]:
    """Return what production requires of this version, one seat an approval: the roles of which one must be held.

    Its runner counts them again.
    """
    tier = queries.tier_of(reader, version)
    asked = rules.gates.between(Transition.PRODUCTION, tier, _tags(reader, version)).values()
    return [
        sorted(role.value for role in one.roles)
        for one in asked
        if one.kind is Kind.APPROVALS
        for _ in range(one.count)
    ]


def _tags(reader: Reader, version: ModelVersion) -> frozenset[str]:
    """Return what the gate reads as well: the version's own tags and those of all that it was made from."""
    return frozenset(version.tags) | lineage.tags_of(lineage.of(reader, version.ref))


def gate_of(  # noqa: PLR0913 - as above
    reader: Reader,
    version: ModelVersion,
    transition: Transition,
    *,
    zone: str,
    notary: Notary,
    rules: PolicyBundle,
    purpose: str = "",
) -> GateDecision:
    """Return what the gate says now, without consequence."""
    known = facts.facts_of(reader, version, zone=zone, notary=notary, rules=rules, purpose=purpose)
    return gates.evaluate(rules.gates, transition, known, reader.now)
