# SPDX-License-Identifier: Apache-2.0
"""Self-attestation: where there is nobody else (profile solo), what one person says of their own work, and signs.

It is no approval: nobody independent looked, and everything that rests on it says so.
"""

from __future__ import annotations

from datetime import timedelta

from audit.events import moment
from audit.transaction import Reader, Transaction
from governance import deployments, facts, queries
from governance.events import VersionAttested
from governance.tables import SELF, Approval
from khatim.errors import GateNotSatisfied, Malformed
from khatim.vocabulary import Action
from khatim.wire import answers, requests
from policies import gates, voices
from policies.facts import Transition
from policies.loading import PolicyBundle
from policies.requirements import Kind
from registry import queries as registered
from registry.notary import Notary
from registry.signing import statements
from registry.tables import ModelVersion


def attest(tx: Transaction, path: str, body: requests.SelfAttest, *, notary: Notary, rules: PolicyBundle) -> Approval:
    """Say of a version that every item of the checklist was looked at; the version is marked accordingly.

    Raises `GateNotSatisfied` where the profile knows no self-attestation, or not for such a version, and `Malformed`
    for an item that was not looked at.
    """
    version = registered.numbered(tx, ModelVersion, path, for_update=True)
    tx.require(Action.VERSION_PROMOTE, version.resource)
    known = facts.facts_of(tx, version, zone=version.zone, notary=notary, rules=rules)
    asked = gates.gate_of(rules.gates, Transition.PRODUCTION, known)
    slots = {rule: one for rule, one in asked.items() if one.kind is Kind.SELF_ATTESTED}
    if not slots:
        raise GateNotSatisfied(
            f"the profile {rules.gates.profile} asks for approvals by other people",
            advice="Ask a colleague who had no hand in it.", rule="self-attestation/profile",
        )  # fmt: skip
    if words := voices.never_alone(known):
        raise GateNotSatisfied(
            words,
            advice="Invite people who had no hand in it, and take the profile small.",
            rule="self-attestation/never",
        )
    checklist = {name: text for one in slots.values() for name, text in one.checklist.items()}
    if left := sorted(checklist.keys() - set(body.checked)):
        raise Malformed(
            f"not looked at: {', '.join(left)}",
            advice=" ".join(f"{name}: {checklist[name]}." for name in left), left=left,
        )  # fmt: skip
    limits = [one.max_validity_days for one in slots.values() if one.max_validity_days is not None]
    row = Approval(
        id=tx.new_id(),
        about=version.ref,
        role=SELF,
        approver=tx.actor.ref,
        meaning=body.meaning,
        comment="",
        binding=gates.binding_of(rules.gates, Transition.PRODUCTION, known).as_members(),
        approved_at=tx.now,
        expires_at=tx.now + timedelta(days=min([body.valid_days, *limits])),
        state="active",
        state_because="",
        checklist=checklist,
    )
    who = notary.person(tx.actor.ref)
    said = notary.attest(tx, version.ref, who, statements.SELF_ATTESTATION, version.subjects, facts.attested(row))
    row.statement_id = said.id
    tx.add(row)
    tx.record(
        VersionAttested(
            about=version.ref, namespace=version.namespace, zone=version.zone, checklist=checklist,
            binding=row.binding, expires_at=moment(row.expires_at), statement=str(said.id),
        )
    )  # fmt: skip
    deployments.renew(tx, version, notary=notary, rules=rules)
    return row


def attestations_of(reader: Reader, path: str) -> list[Approval]:
    """Return the self-attestations of a version that the actor may read, oldest first."""
    return queries.attestations_of(reader, registered.numbered(reader, ModelVersion, path).ref)


def told(row: Approval) -> answers.SelfAttestation:
    """Return a self-attestation as it goes out."""
    return answers.SelfAttestation(
        id=row.id, about=row.about, attester=row.approver, meaning=row.meaning, checklist=row.checklist,
        binding=row.binding, attested_at=row.approved_at, expires_at=row.expires_at, state=row.state,
        state_because=row.state_because,
    )  # fmt: skip
