# SPDX-License-Identifier: Apache-2.0
"""Aliases: movable names of versions.  Protected ones move only to what may be served, by those who may move them."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import select

from audit.transaction import Transaction
from governance import promotion
from governance.history_tables import AliasMove
from khatim.errors import Conflict
from khatim.vocabulary import Action
from policies.loading import PolicyBundle
from registry import queries as registered
from registry.events import AliasMoved
from registry.naming import checked
from registry.notary import Notary
from registry.tables import Alias, ModelVersion


def move(  # noqa: PLR0913 - what points where, why, and what decides
    tx: Transaction, path: str, alias: str, *, because: str, notary: Notary, rules: PolicyBundle
) -> Alias:
    """Point *alias* at a version; `latest` and `v<digits>` are reserved (as in MLflow).

    Raises `Forbidden` for a protected alias whoever may move others only, and `GateNotSatisfied` for a version that its
    gate does not let pass.
    """
    version = registered.numbered(tx, ModelVersion, path, for_update=True)
    protection = rules.gates.protecting(alias)
    action = Action.ALIAS_MOVE_PROTECTED if protection else Action.ALIAS_SET
    tx.require(action, replace(version.resource, alias=alias))
    checked(alias, "alias")
    if alias == "latest" or (alias.startswith("v") and alias[1:].isdigit()):
        raise Conflict(f"the alias {alias!r} is reserved")
    for transition in sorted({one.gate for one in protection.values()}):
        promotion.require_open(tx, version, transition, zone=version.zone, notary=notary, rules=rules)
    tx.lock(f"alias:{version.namespace}/{version.name}@{alias}")
    key = (Alias.namespace == version.namespace, Alias.model == version.name, Alias.alias == alias)
    row: Alias | None = tx.scalar(select(Alias).where(*key).with_for_update())
    before = row.number if row else None
    if row is None:
        row = Alias(
            namespace=version.namespace, model=version.name, alias=alias, number=version.number, set_by=tx.actor.ref,
            set_at=tx.now,
        )  # fmt: skip
        tx.add(row)
    row.number, row.set_by, row.set_at = version.number, tx.actor.ref, tx.now
    tx.add(
        AliasMove(
            id=tx.new_id(), namespace=row.namespace, model=row.model, alias=alias, number=row.number, because=because,
            moved_by=tx.actor.ref, at=tx.now,
        )
    )  # fmt: skip
    tx.record(
        AliasMoved(
            about=row.ref, namespace=row.namespace, zone=version.zone, number=version.number, before=before,
            because=because, protected_by=sorted(protection), policy=str(rules.digest) if protection else "",
        )
    )  # fmt: skip
    return row
