# SPDX-License-Identifier: Apache-2.0
"""The context of the version page: everything needed to decide about one version, in a fixed number of queries."""

from __future__ import annotations

from audit import queries as ledger
from audit.transaction import Reader
from gateway.console import contexts, deciding, evidence, parts
from gateway.console.deciding import Case
from gateway.console.lines import entry_lines, names_in
from gateway.console.names import Names, signer_of
from gateway.console.wording import because_of
from governance import facts, queries
from governance.tables import Deployment
from khatim.vocabulary import Assurance, Stage, VersionStatus
from khatim.wire import proofs
from policies.loading import PolicyBundle
from registry import lineage, standing
from registry import queries as registered
from registry.notary import Notary
from registry.tables import ModelVersion
from registry.vault import Vault

HISTORY = 50


def version_page(  # noqa: PLR0913 - what one page is made of
    reader: Reader, chrome: contexts.Chrome, path: str, *, notary: Notary, rules: PolicyBundle, vault: Vault
) -> contexts.VersionPage:
    """Return the page of a version that the actor may read; every signature on it is verified now."""
    version = registered.numbered(reader, ModelVersion, path)
    case = Case(
        reader,
        rules,
        version,
        facts.facts_of(reader, version, zone=version.zone, notary=notary, rules=rules),
        lineage.of(reader, version.ref),
        queries.evidence_of(reader, version.ref),
        queries.approvals_of(reader, version.ref),
        queries.deployments_of(reader, version.ref),
    )
    model = registered.model(reader, version.namespace, version.name)
    siblings = registered.versions_of(reader, version.namespace, version.name)
    aliases = registered.aliases_of(reader, version.namespace, version.name)
    deployed = registered.statements_of(reader, [row.ref for row in case.deployments])
    everything = [row for node in case.nodes for row in node.statements]
    by_id = {row.id: row.digest for row in everything}
    history = _history(case)
    told = [one for one in reversed(history) if one.resource == version.ref][:HISTORY]
    names = names_in(
        reader,
        vault,
        told,
        version.registered_by,
        *(ref for row in case.approvals for ref in (row.approver, row.stands_in_for) if ref),
        *(row.submitted_by for row in case.evidence),
        *(row.agent for row in case.deployments),
        *(signer_of(row.identity) for row in (*everything, *deployed)),
    )
    book = standing.book_of(reader)
    signed = evidence.signatures([*everything, *deployed], notary, names, book=book, at=reader.now)
    about = {row.digest for row in (*case.nodes[0].statements, *deployed)}
    holds = {one.statement: one.is_verified for one in signed}
    verified: dict[str, bool] = {}
    for row in (*everything, *deployed):
        verified[row.about] = verified.get(row.about, True) and holds[row.digest]
    deployments = tuple(_deployment(row, names) for row in reversed(case.deployments))
    approve, why_not = deciding.approve_form(case)
    gate = deciding.gate_of(case)
    return contexts.VersionPage(
        chrome=chrome,
        namespace=version.namespace,
        model=version.name,
        number=version.number,
        numbers=tuple(row.number for row in siblings),
        digest=version.digest,
        stage=Stage(version.stage),
        is_alone=version.assurance == Assurance.SELF_ATTESTED,
        status=VersionStatus(version.status),
        status_message="" if version.status == VersionStatus.READY.value else version.status_message,
        revoked=version.revoked_because or next(
            (one.because for one in book.forbids(facts.bytes_of(version, case.nodes), reader.now).reasons), ""
        ),
        zone=version.zone,
        tags=tuple(version.tags),
        tier=model.tier,
        aliases=tuple(row.alias for row in aliases if row.number == version.number),
        registered_at=version.registered_at,
        registered_by=names.who(version.registered_by),
        description=model.description,
        step=deciding.step(case, gate, approve),
        gate=gate,
        approvals=tuple(
            evidence.approval(row, names, by_id.get(row.statement_id, ""), "server-attested", reader.now)
            for row in reversed(case.approvals)
        ),
        evaluations=tuple(
            evidence.evaluation(
                row, names, by_id.get(row.statement_id, "") if row.statement_id else "",
                str(version.training.get("holdout", "")),
            )
            for row in reversed(case.evidence)
            if row.kind == "evaluation"
        ),
        scan=next((evidence.scan(row) for row in reversed(case.evidence) if row.kind == "scan"), None),
        signatures=tuple(one for one in signed if one.statement in about),
        files=evidence.files(version, rules),
        lineage=evidence.lineage(version.ref, case.nodes, deployments, verified),
        deployments=deployments,
        residency=evidence.residency(history, version.zone, rules),
        history=entry_lines(told, names),
        approve=approve,
        why_not_approve=why_not,
        promote_to=deciding.promote_to(case),
    )  # fmt: skip


def _history(case: Case) -> list[proofs.Entry]:
    """Return the entries about the version, its deployments and its files: oldest first."""
    refs = [case.version.ref, *(row.ref for row in case.deployments)]
    return ledger.about(case.reader, [*refs, *(f"artifact:{file['digest']}" for file in case.version.files)])


def _deployment(row: Deployment, names: Names) -> parts.Deployment:
    return parts.Deployment(
        ref=row.ref,
        endpoint=row.endpoint,
        zone=row.zone,
        state=row.state,  # type: ignore[arg-type]  # a check constraint holds it
        since=row.changed_at,
        agent=names.who(row.agent) if row.agent else None,
        reason=because_of(row.because),
        finding=f"finding:{row.finding_id}" if row.finding_id else "",
    )
