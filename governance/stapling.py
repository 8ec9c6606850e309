# SPDX-License-Identifier: Apache-2.0
"""The signed status of a zone's endpoints, which an agent keeps for the time when the registry does not answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import select

from audit.events import moment
from audit.transaction import Reader
from governance.tables import Deployment
from registry.notary import Notary
from registry.signing import endpoint_status
from registry.tables import ModelVersion

_LISTED = ("serving", "suspended")


def listed(reader: Reader, zone: str) -> list[dict[str, Any]]:
    """Return the deployments of *zone* that serve or could serve again, as the status says them."""
    query = (
        select(Deployment, ModelVersion.digest)
        .join(ModelVersion, ModelVersion.id == Deployment.version_id)
        .where(Deployment.zone == zone, Deployment.state.in_(_LISTED))
        .order_by(Deployment.id)
    )
    return [
        {
            "deployment": str(row.id),
            "version": row.version_ref,
            "digest": digest,
            "state": row.state,
            "changedAt": moment(row.changed_at),  # so that the same state again is another status, and a newer one
            "approvedUntil": moment(row.approved_until) if row.approved_until else None,
            "runtime": row.runtime,
        }
        for row, digest in reader.rows(query)
    ]


def mark_of(endpoints: Sequence[dict[str, Any]]) -> str:
    """Return a short text that differs when the status does: an agent that knows another fetches it anew."""
    return hashlib.sha256(json.dumps(endpoints, sort_keys=True).encode()).hexdigest()[:16]


def signed(reader: Reader, notary: Notary, zone: str) -> tuple[str, str]:
    """Return the mark of the status and the status as the registry signs it; the calling query asked the permission.

    It is signed once in `RENEWED_S` for each zone and state, in each process, and only when an agent asks.
    """
    issue = _Issue(notary, zone, listed(reader, zone), reader)
    signed_at, bundle = _signed(issue, int(reader.now.timestamp()) // endpoint_status.RENEWED_S)
    if signed_at > reader.now:  # the clock was set back: an agent that boots would doubt its own by such a status
        bundle = issue.signed()
    return issue.mark, bundle


class _Issue:
    """One state of a zone, compared by what it lists and by whose it is; when it is signed makes no difference."""

    def __init__(self, notary: Notary, zone: str, endpoints: Sequence[dict[str, Any]], reader: Reader) -> None:
        self.notary = notary
        self.zone = zone
        self.endpoints = endpoints
        self.at = reader.now
        self.mark = mark_of(endpoints)
        self._key = (notary.instance, id(notary.root), zone, self.mark)

    def signed(self) -> str:
        """Return the bundle of the status as of when it was asked for."""
        statement = endpoint_status.statement_of(self.zone, self.endpoints, at=self.at)
        return self.notary.signer_for(self.notary.service()).sign(statement)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Issue) and other._key == self._key


@lru_cache(maxsize=64)
def _signed(issue: _Issue, period: int) -> tuple[datetime, str]:
    del period  # it is part of the key: a new period, a new issue
    return issue.at, issue.signed()
