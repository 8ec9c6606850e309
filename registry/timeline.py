# SPDX-License-Identifier: Apache-2.0
"""Where an artifact's copies are, and every movement that was allowed, with its basis: what an auditor replays."""

from __future__ import annotations

from sqlalchemy import select

from audit import queries as ledger
from audit.transaction import Reader
from khatim.errors import NotFound
from khatim.vocabulary import Action
from khatim.wire import proofs, transfers
from registry import queries
from registry.tables import Placement

_MOVES = ("artifact.placed", "artifact.upload_authorised", "artifact.download_authorised")


def of(reader: Reader, digest: str) -> transfers.Timeline:
    """Return the copies and movements of *digest* in the zones that the actor may read; raises `NotFound`."""
    rows = list(reader.scalars(select(Placement).where(Placement.digest == digest).order_by(Placement.placed_at)))
    if not rows or not queries.is_ours(reader, rows[0]):
        raise NotFound(f"no zone holds {digest[:80]}")
    copies = [row for row in rows if reader.may(Action.READ, row.resource)]
    reader.require(Action.READ, (copies or rows)[0].resource)
    zones = {row.zone for row in copies}
    told = ledger.about(reader, [f"artifact:{digest}"])
    return transfers.Timeline(
        digest=digest,
        copies=[transfers.Copy.model_validate(row) for row in copies],
        movements=[_movement(one) for one in told if one.kind in _MOVES and one.zone in zones],
    )


def _movement(entry: proofs.Entry) -> transfers.Movement:
    payload = entry.body.get("payload", {})
    return transfers.Movement(
        entry=entry.index,
        at=entry.at,
        kind=entry.kind,
        by=entry.actor,
        zone=entry.zone,
        to_zone=str(payload.get("to_zone", entry.zone)),
        rule=str(payload.get("rule") or payload.get("basis", "")),
        because=str(payload.get("because", "")),
        policy=str(payload.get("policy", "")),
    )
