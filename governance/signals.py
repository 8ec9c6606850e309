# SPDX-License-Identifier: Apache-2.0
"""Insider-threat signals: patterns in the ledger that become findings about the person, once for each occurrence."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, select

from audit.ledger_tables import entries
from audit.transaction import Reader, Transaction
from governance import findings
from governance.tables import Finding
from khatim.vocabulary import SERVICE, Resource
from policies.findings import Entry, FindingRules
from policies.runtime import Reaction

KIND: Final = "signal:"
_REFUSED: Final = ".refused"
_AT_MOST: Final = 50_000  # entries at once; the newest count


def look(tx: Transaction, rules: FindingRules) -> int:
    """Open a finding for every signal that was not told yet; the calling verb asked the permission."""
    seen = rules.seen(_entries(tx, tx.now - rules.longest), _told(tx), tx.now)
    for one in seen:
        signal = rules.signals[one.signal]
        findings.open_(
            tx,
            about=Resource("person", one.actor),
            kind=KIND + one.signal,
            severity=signal.severity,
            summary=f"{signal.title}: {one.count} entries within {signal.minutes} minutes",
            details={"people": [one.actor], "count": one.count, "first": one.first, "last": one.last},
            consequence=Reaction.WARN,
            rule=f"findings/{one.signal}",
            rules=rules,
        )
    return len(seen)


def _entries(reader: Reader, since: datetime) -> list[Entry]:
    columns = (entries.c.index, entries.c.kind, entries.c.actor, entries.c.at, entries.c.entry)
    query = select(*columns).where(entries.c.at > since, entries.c.actor.not_in(["nobody", SERVICE.ref]))
    found = reader.rows(query.order_by(entries.c.index.desc()).limit(_AT_MOST))
    return [_entry(row) for row in found if not str(row.actor).startswith("agent:")]


def _entry(row: Row[Any]) -> Entry:
    index, kind, actor, at, entry = (value for value in row)
    error = str(json.loads(entry)["event"].get("payload", {}).get("error", "")) if kind.endswith(_REFUSED) else ""
    return Entry(index, kind, actor, at, error)


def _told(reader: Reader) -> dict[tuple[str, str], int]:
    """Return the last index that a finding tells of each signal and person, whether it is open or resolved."""
    query = select(Finding.kind, Finding.details).where(Finding.kind.startswith(KIND, autoescape=True))
    told: dict[tuple[str, str], int] = {}
    for kind, details in reader.rows(query):
        key = kind.removeprefix(KIND), str(details["people"][0])
        told[key] = max(told.get(key, -1), int(details["last"]))
    return told
