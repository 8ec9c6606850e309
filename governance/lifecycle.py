# SPDX-License-Identifier: Apache-2.0
"""The life of a version as its owners see it: brought in, scanned, shown with its evidence, revoked."""

from __future__ import annotations

from audit.transaction import Reader, Transaction
from governance import deployments, facts, history, queries, work
from governance.history_tables import REVOKED
from governance.tables import Approval, Evidence, Job
from khatim.errors import FormatRefused, Malformed
from khatim.vocabulary import Action, JobKind, Resource
from khatim.wire import proofs, requests
from policies import gates
from policies.facts import Transition, Verdict
from policies.loading import PolicyBundle
from policies.residency import MovementKind
from registry import artifacts, manifests, versions
from registry import queries as registered
from registry.naming import Path, checked
from registry.notary import Notary
from registry.tables import DatasetVersion, FeatureViewVersion, ModelVersion


def register(
    tx: Transaction, namespace: str, name: str, body: requests.Register, *, rules: PolicyBundle
) -> ModelVersion:
    """Register files that stand in a zone already, and ask that they be scanned.

    Tags are those given and those of every file, parent and base: what something was made from marks it.
    Raises `FormatRefused` for a format that may not even be recorded.
    """
    # A person's verb: what an agent made comes in with its job, and only so.
    tx.require(Action.VERSION_REGISTER, Resource("version", name, checked(namespace, "namespace"), body.zone))
    files = []
    tags = set(body.tags)
    for file in body.files:
        placed = registered.placement(tx, file.digest, body.zone)
        verdict = rules.formats.by_name(file.path, file.role)
        if verdict.verdict is Verdict.REFUSED:
            raise FormatRefused(f"{file.path}: {verdict.reason}", advice=verdict.advice, format=verdict.format)
        if placed.size != file.size:
            raise Malformed(f"{file.path} has {placed.size} bytes in the zone, not {file.size}")
        tags.update(placed.tags)
        files.append({**file.model_dump(mode="json"), "format": verdict.format, "verdict": verdict.verdict.value})
    parents = [_parent(tx, text) for text in body.parents]
    bases = [base for digest in body.bases for base in registered.made_of(tx, digest)]
    for made_from in (*parents, *bases):
        tags.update(made_from.tags)
    artifacts.decide_movement(tx, MovementKind.PLACE, body.zone, body.zone, sorted(tags), rules)
    row = versions.register(
        tx,
        namespace,
        name,
        manifests.manifest_of(files, body.bases),
        zone=body.zone,
        tags=sorted(tags),
        parents=[
            *((parent.ref, parent.KIND) for parent in parents),
            *((base.ref, "base") for base in bases),
            *((f"artifact:{file.digest}", file.role.value) for file in body.files),
        ],
        by=tx.actor.ref,
    )
    request_scan(tx, row, by=tx.actor.ref)
    return row


def request_scan(tx: Transaction, version: ModelVersion, *, by: str) -> Job:
    """Ask the version's zone to scan its files."""
    return work.request(
        tx,
        JobKind.SCAN,
        namespace=version.namespace,
        zone=version.zone,
        about=version.ref,
        spec={"version": version.path, "digest": version.digest, "files": version.files},
        by=by,
        priority=work.URGENT,
    )


def revoke(tx: Transaction, path: str, *, because: str) -> ModelVersion:
    """Revoke a version and stop everything that serves it."""
    row = registered.numbered(tx, ModelVersion, path, for_update=True)
    versions.revoke(tx, row, because=because)
    history.note(tx, row, REVOKED, because=because)
    deployments.stop_all_of(tx, row, because=f"revoked: {because}")
    return row


def evidence_of(reader: Reader, path: str) -> list[Evidence]:
    """Return the evidence about a version that the actor may read."""
    return queries.evidence_of(reader, registered.numbered(reader, ModelVersion, path).ref)


def approvals_of(reader: Reader, path: str) -> list[Approval]:
    """Return the approvals of a version that the actor may read."""
    return queries.approvals_of(reader, registered.numbered(reader, ModelVersion, path).ref)


def gate_report(  # noqa: PLR0913 - a version, a transition, a zone, and what decides
    reader: Reader, path: str, transition: Transition, *, zone: str, notary: Notary, rules: PolicyBundle
) -> proofs.GateReport:
    """Say what a transition requires and what of it is met."""
    version = registered.numbered(reader, ModelVersion, path)
    known = facts.facts_of(reader, version, zone=zone or version.zone, notary=notary, rules=rules)
    decision = gates.evaluate(rules.gates, transition, known, reader.now)
    return proofs.GateReport(
        gate=transition.value,
        is_open=bool(decision),
        met=[dict(one.as_members()) for one in decision.met],
        unmet=[dict(one.as_members()) for one in decision.unmet],
        excepted=[dict(one.as_members()) for one in decision.excepted],
        binding=gates.binding_of(rules.gates, transition, known).digest,
    )


def _parent(tx: Transaction, text: str) -> DatasetVersion | FeatureViewVersion | ModelVersion:
    kind, _, path = text.partition(":")
    Path.numbered(path)
    match kind:
        case "dataset":
            return registered.numbered(tx, DatasetVersion, path)
        case "features":
            return registered.numbered(tx, FeatureViewVersion, path)
        case "version":
            return registered.numbered(tx, ModelVersion, path)
        case _:
            raise Malformed(f"a parent is dataset:…, features:… or version:…, not {text[:80]!r}")
