# SPDX-License-Identifier: Apache-2.0
"""The contexts of the lists: models, the ledger, one entry of it.  A fixed number of queries each."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select

from audit import entries as codec
from audit import export, ledger_tables
from audit import queries as ledger
from audit.transaction import Reader
from gateway.console import contexts, labels, parts
from gateway.console.lines import entry_lines, names_in
from governance import queries as decided
from governance.tables import Approval
from khatim.vocabulary import Access, Action, Actor, Stage, VersionStatus
from policies.facts import Transition
from policies.loading import PolicyBundle
from policies.requirements import Kind
from registry import queries
from registry.tables import Model, ModelVersion
from registry.vault import Vault

PAGE = 50


# --- models ---


def models_page(
    reader: Reader, chrome: contexts.Chrome, rules: PolicyBundle, *, search: str, after: str
) -> contexts.ModelsPage:
    """Return one page of the models that the actor may read, with the latest version of each: three queries."""
    found, following = queries.models(reader, search=search.strip(), cursor=after, limit=PAGE)
    newest = queries.newest_versions(reader, [(model.namespace, model.name) for model in found])
    approvals: dict[str, list[Approval]] = {}
    for row in decided.approvals_of_many(reader, [version.ref for version in newest.values()]):
        approvals.setdefault(row.about, []).append(row)
    lines = []
    for model in found:
        version = newest.get((model.namespace, model.name))
        mine = approvals.get(version.ref, []) if version else []
        lines.append(_line(model, version, tally(model, version, mine, rules, reader.now)))
    return contexts.ModelsPage(chrome, search, tuple(lines), after, following or "")


def _line(model: Model, version: ModelVersion | None, approvals: contexts.Tally) -> contexts.ModelLine:
    return contexts.ModelLine(
        namespace=model.namespace,
        name=model.name,
        version=version.number if version else None,
        stage=Stage(version.stage) if version else Stage.NONE,
        status=VersionStatus(version.status) if version else VersionStatus.PENDING,
        zone=version.zone if version else "",
        tags=tuple(version.tags) if version else (),
        approvals=approvals,
        changed_at=version.registered_at if version else model.created_at,
    )


def tally(
    model: Model, version: ModelVersion | None, approvals: Sequence[Approval], rules: PolicyBundle, at: datetime
) -> contexts.Tally:
    """Count the approvals in force against those that the gate to production asks for."""
    if version is None:
        return contexts.Tally("none")
    asked = rules.gates.between(Transition.PRODUCTION, model.tier, frozenset(version.tags)).values()
    needed = sum(one.count for one in asked if one.kind is Kind.APPROVALS)
    live = {row.approver for row in approvals if row.state == "active" and row.expires_at > at}
    given = min(len(live), needed)
    if any(row.state == "suspended" for row in approvals):
        return contexts.Tally("suspended", given, needed)
    if given >= needed:
        return contexts.Tally("complete", given, needed)
    if approvals and not live:
        return contexts.Tally("expired", given, needed)
    return contexts.Tally("waiting" if approvals else "none", given, needed)


# --- the ledger ---


def ledger_page(  # noqa: PLR0913 - the filters of one page
    reader: Reader,
    chrome: contexts.Chrome,
    vault: Vault,
    *,
    kind: str,
    resource: str,
    only_refusals: bool,
    before: int | None,
) -> contexts.LedgerPage:
    """Return one page of the ledger, newest first."""
    found = ledger.page(
        reader, kind=kind, resource=resource.strip(), refusals=only_refusals, before=before, limit=PAGE + 1
    )
    shown = found[:PAGE]
    return contexts.LedgerPage(
        chrome=chrome,
        entries=entry_lines(shown, names_in(reader, vault, shown)),
        checkpoint=checkpoint(reader),
        kinds=tuple(sorted(labels.LABELS["kind"])),
        kind=kind,
        resource=resource,
        only_refusals=only_refusals,
        before=before,
        next_before=shown[-1].index if len(found) > PAGE else None,
    )


def entry_page(reader: Reader, chrome: contexts.Chrome, vault: Vault, index: int) -> contexts.EntryPage:
    """Return one entry with its bytes, and the proof that it stands in the ledger once a checkpoint covers it."""
    answer = ledger.entry(reader, index)
    table = ledger_tables.entries
    raw, leaf = next((bytes(row.entry), bytes(row.leaf)) for row in reader.rows(
        select(table.c.entry, table.c.leaf).where(table.c.index == index)
    ))  # fmt: skip
    newest = reader.scalar(select(func.max(table.c.index)))
    covering = checkpoint(reader)
    return contexts.EntryPage(
        chrome=chrome,
        entry=entry_lines([answer], names_in(reader, vault, [answer]))[0],
        raw=json.dumps(json.loads(raw), indent=2, ensure_ascii=False),
        previous=codec.parse(raw, index).prev.hex(),
        leaf=leaf.hex(),
        checkpoint=covering,
        proof=_proof(reader, index) if covering and index < covering.size else None,
        newer=index + 1 if index < newest else None,
        older=index - 1 if index else None,
    )


def _proof(reader: Reader, index: int) -> parts.Proof:
    found = export.inclusion(reader.connection(), index)
    return parts.Proof(found.size, found.root.hex(), tuple(one.hex() for one in found.proof))


def checkpoint(reader: Reader) -> parts.Checkpoint | None:
    """Return the latest checkpoint; None before the first."""
    row = ledger.checkpoint(reader)
    if row is None:
        return None
    opening = ledger.entry(reader, 0).body.get("payload", {})
    return parts.Checkpoint(
        origin=str(opening.get("origin", "")),
        size=row.size,
        root=base64.b64encode(bytes(row.root)).decode(),
        note=row.note,
        vkey=str(opening.get("vkey", "")),
        at=row.at,
        pending=int(reader.scalar(select(func.count()).select_from(ledger_tables.outbox)) or 0),
    )


def sees_ledger(access: Access, actor: Actor) -> bool:
    """Whether the actor may read the ledger."""
    return bool(access.decide(actor, Action.LEDGER_READ, ledger.LEDGER))
