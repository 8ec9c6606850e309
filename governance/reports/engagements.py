# SPDX-License-Identifier: Apache-2.0
"""Engagements: everything about a version as one signed file that an auditor takes home and verifies there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from psycopg.rows import tuple_row
from sqlalchemy import select

from audit import endorsements, stored
from audit import entries as codec
from audit import export as ledger
from audit.checkpoint import Checkpoint
from audit.ledger_tables import outbox
from audit.queries import LEDGER as THE_LEDGER
from audit.tiles import ENDORSED
from audit.transaction import Transaction
from audit.witness_policy import WitnessPolicy
from governance.events import EngagementExported
from governance.reports import archive, attestations, contents, document, manifest, populations, scope, sheets
from governance.reports.attestations import Attestation
from governance.reports.manifest import Listed, Manifest
from governance.reports.populations import Population
from governance.reports.sheets import Sheet
from khatim.errors import LedgerInvalid, NotFound, SignatureInvalid, Unavailable
from khatim.vocabulary import Action, Basis, Resource
from policies.loading import PolicyBundle
from registry import lineage, queries, revocations, standing
from registry.notary import Notary
from registry.signing import bases, statements, trust
from registry.signing.bases import Circumstances
from registry.signing.verification import verify_bundle
from registry.tables import ModelVersion, Statement


@dataclass(frozen=True)
class Desk:
    """What exports are made with; built once by the composition root.

    *trust_config* is what clients of Sigstore need, *vkey* the verifier key of the ledger, *arabic* puts a sentence of
    the policies into Arabic (and returns what it does not know as it is).  *witnesses* says which checkpoints count.
    """

    notary: Notary
    rules: PolicyBundle
    trust_config: Mapping[str, Any]
    vkey: str
    arabic: Callable[[str], str]
    witnesses: WitnessPolicy = field(default_factory=WitnessPolicy)


@dataclass(frozen=True)
class Engagement:
    """A finished bundle: its bytes, read once through `chunks`, and what its manifest says."""

    manifest: Manifest
    size: int
    file: BinaryIO

    @property
    def filename(self) -> str:
        """Return what the file may be called."""
        return f"engagement-{self.manifest.subject.partition(':')[2].replace('/', '-').replace('@', '-')}.zip"

    @property
    def headers(self) -> dict[str, str]:
        """Return what is told of the file before it comes."""
        return {"Content-Length": str(self.size), "Content-Disposition": f'attachment; filename="{self.filename}"'}

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes and close the file."""
        with self.file:
            while chunk := self.file.read(archive.CHUNK):
                yield chunk


def export(tx: Transaction, path: str, *, desk: Desk) -> Engagement:
    """Export everything about a version as one signed bundle.  *tx* is a snapshot, begun when the ledger was settled.

    The whole ledger goes along, so the actor must be allowed to read it, and everything in the version's lineage.
    Raises `Unavailable` when something in scope was committed but has no place in the ledger yet.
    """
    version = queries.numbered(tx, ModelVersion, path)
    tx.require(Action.ENGAGEMENT_EXPORT, version.resource)
    tx.require(Action.LEDGER_READ, THE_LEDGER)
    nodes = lineage.of(tx, version.ref)
    for node in nodes:
        tx.require(Action.READ, _resource(node))
    at = _checkpoint(tx)
    refs = _scope(tx, version, nodes, at)
    values = _values(version, refs, at, desk.rules)
    found = {one.name: _sheet(tx, one, values) for one in populations.ALL}
    attested = _attested(tx, found, desk.notary)
    told = contents.gather(
        tx, version, nodes, found, attested, at, notary=desk.notary, rules=desk.rules, vkey=desk.vkey
    )
    with archive.Draft() as draft:
        _put_ledger(tx, draft, at, desk.witnesses)
        _put_populations(draft, found, at, values)
        for one in attested:
            draft.add(one.file, one.bundle.encode())
        draft.add(manifest.TRUST_CONFIG, trust.dumps(desk.trust_config).encode())
        draft.add(manifest.TRUSTED_ROOT, trust.dumps(desk.notary.trusted_root).encode())
        if said := desk.notary.trust.appointments:
            draft.add(manifest.APPOINTMENTS, f"{json.dumps(list(said))}\n".encode())
        draft.add(manifest.VKEY, f"{desk.vkey}\n".encode())
        draft.add(manifest.POLICY, desk.rules.canonical)
        draft.add(manifest.REVOCATIONS, revocations.signed(tx, desk.notary).encode())
        draft.add(manifest.REPORT, document.render(told, desk.arabic))
        return _sealed(tx, version, refs, at, draft, desk)


def _put_ledger(tx: Transaction, draft: archive.Draft, at: Checkpoint, witnesses: WitnessPolicy) -> None:
    """Put the whole ledger into the file, and the largest checkpoint that others vouch for, if there is one."""

    def keep(path: str, data: bytes) -> None:
        draft.add(manifest.LEDGER + path, data)

    ledger.export_ledger(tx.connection(), keep, at.size)
    with suppress(NotFound):
        keep(ENDORSED, endorsements.latest_endorsed(tx.connection(), witnesses))


def _put_populations(
    draft: archive.Draft, found: Mapping[str, Sheet], at: Checkpoint, values: Mapping[str, Any]
) -> None:
    shown = {**values, "refs": "the scope of manifest.json", "rules": "the rules of policy/bundle.json"}
    for name, sheet in found.items():
        data = sheet.csv()
        draft.add(f"{manifest.POPULATIONS}{name}.csv", data)
        draft.add(f"{manifest.POPULATIONS}{name}.json", sheet.page(data, at, shown))


def _resource(node: lineage.Node) -> Resource:
    namespace, _, name = node.ref.partition(":")[2].rpartition("/")
    return Resource(node.kind, name, namespace, node.zone, node.tags)


def _checkpoint(tx: Transaction) -> Checkpoint:
    return Checkpoint.parse(ledger.latest_note(tx.connection()).rpartition("\n\n")[0] + "\n")


def _scope(tx: Transaction, version: ModelVersion, nodes: list[lineage.Node], at: Checkpoint) -> frozenset[str]:
    """Derive the scope from the ledger; raises when rows and ledger do not tell the same."""
    conn = tx.connection()
    refs = scope.of(
        version.ref,
        lambda: enumerate(stored.entries_between(conn, 0, at.size)),
        lambda digest: ledger.payload(conn, digest),
    )
    for row in tx.rows(select(outbox.c.body)):
        event = codec.event_of(row.body, "an event that waits")
        payload = event.get("payload") or {}
        is_revocation = str(event.get("kind")).startswith("revocation.")
        if is_revocation or not refs.isdisjoint(
            [event.get("resource"), payload.get("subject"), payload.get("deployment")]
        ):
            raise Unavailable("the ledger lags behind what was committed", advice="Try again in a moment.")
    strange = sorted({node.ref for node in nodes} - refs)
    if strange:
        raise LedgerInvalid(f"the lineage names {strange[0]}, which the ledger does not", place=strange[0])
    return refs


def _values(version: ModelVersion, refs: frozenset[str], at: Checkpoint, rules: PolicyBundle) -> dict[str, Any]:
    texts = {
        name: {"title": f"{rule.title}.", "basis": rule.basis, "certainty": rule.certainty.value}
        for name, rule in rules.residency.transfers.rules.items()
    }
    return {
        "refs": sorted(refs),
        "namespace": version.namespace,
        "size": at.size,
        "policy": str(rules.digest),
        "rules": json.dumps(texts),
    }


def _sheet(tx: Transaction, population: Population, values: Mapping[str, Any]) -> Sheet:
    with tx.connection().cursor(row_factory=tuple_row) as cursor:
        cursor.execute(sheets.placeholders(population.query), values)
        return Sheet(population, tuple(column.name for column in cursor.description), cursor.fetchall())


def _rests(text: str, notary: Notary, tx: Transaction) -> tuple[tuple[str, ...], bool]:
    """Return whom a statement rests on, by codes, and whether it stands."""
    try:
        verified = verify_bundle(text, notary.root, notary.policy())
    except SignatureInvalid:
        return (Basis.DECLARED.value,), False
    found = bases.bases_of(verified, notary.instance, Circumstances(is_in_ledger=True))
    return tuple(basis.value for basis in found), standing.book_of(tx).verdict(verified.marks, tx.now).holds


def _attested(tx: Transaction, found: Mapping[str, Sheet], notary: Notary) -> tuple[Attestation, ...]:
    records = found["statements"].records
    texts = {
        str(row.id): row.bundle
        for row in tx.scalars(select(Statement).where(Statement.id.in_([record["id"] for record in records])))
    }
    words = {str(row["statement"]): str(row["evidence_kind"]) for row in found["evidence"].records}
    words |= {str(row["statement"]): f"approval-{row['role']}" for row in found["approvals"].records}
    return attestations.named(records, texts, words, lambda text: _rests(text, notary, tx))


def _sealed(  # noqa: PLR0913, PLR0917 - what a manifest is made of
    tx: Transaction, version: ModelVersion, refs: frozenset[str], at: Checkpoint, draft: archive.Draft, desk: Desk
) -> Engagement:
    """Write and sign the manifest, record the export, and close the file."""
    said = Manifest(
        instance=desk.notary.instance,
        issuer=desk.notary.issuer,
        subject=version.ref,
        digest=version.digest,
        scope=tuple(sorted(refs)),
        ledger=at,
        policy=desk.rules.digest,
        created_at=tx.now,
        created_by=tx.actor.ref,
        files={name: Listed(member.digest, member.size) for name, member in draft.members.items()},
    )
    digest = draft.add(manifest.MANIFEST, said.dumps())
    about = str(Resource("engagement", str(tx.new_id()), version.namespace))
    signed = desk.notary.attest(
        tx, about, desk.notary.service(), statements.ENGAGEMENT, [(manifest.MANIFEST, digest)], said.predicate()
    )
    draft.add(manifest.SIGNATURE, signed.bundle.encode())
    tx.record(
        EngagementExported(
            about=about,
            namespace=version.namespace,
            zone=version.zone,
            tree_size=at.size,
            subject=version.ref,
            manifest=str(digest),
        )
    )
    file = draft.write()
    size = file.seek(0, 2)
    file.seek(0)
    return Engagement(said, size, file)
